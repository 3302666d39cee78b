"""The parameters that an engine is built from: which ones they are, and whether a change of them can work."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from espnet_ros.config import NodeConfig, names_where
from espnet_ros.engines import EngineSpec, choose_backend
from espnet_ros.errors import ParameterError
from espnet_ros.loading import resolve_spec
from espnet_ros.model.checkpoint import is_family, select_checkpoint

ENGINE_NAMES = names_where(lambda rule: rule.changes_engine)
"""Parameters that take another engine when they change."""


def engine_values(config: NodeConfig) -> Tuple[Any, ...]:
    """Values of the parameters that take another engine when they change."""
    return tuple(getattr(config, name) for name in ENGINE_NAMES)


def changes_engine(before: NodeConfig, after: NodeConfig) -> bool:
    """Whether two configurations take two engines."""
    return engine_values(before) != engine_values(after)


def check_change(current: NodeConfig, changes: Mapping[str, Any]) -> NodeConfig:
    """Check all that can be known of a change without building an engine.

    Registry weights that are not on this machine are downloaded.

    Returns:
        The configuration after the change.

    Raises:
        EspnetError: what forbids it.
    """
    config = current.changed(changes)
    if changes_engine(current, config):
        _check_fits_single_checkpoint(config, changes)
        check_engine(config)
    return config


def check_engine(config: NodeConfig) -> EngineSpec:
    """Check that the weights, the class table and the backend are there, and fit.

    Raises:
        EspnetError: what is missing or does not fit.
    """
    choose_backend(config.backend)
    return resolve_spec(config)


def _check_fits_single_checkpoint(config: NodeConfig, changes: Mapping[str, Any]) -> None:
    """A family has a checkpoint for each network and alpha; a single checkpoint has one of each for good."""
    if is_family(config.weights):
        return
    checkpoint = select_checkpoint(config.weights, config.network, config.alpha)
    for name in ("network", "alpha"):
        own = getattr(checkpoint, name)
        if name in changes and changes[name] != own:
            raise ParameterError(
                f"{name} must be {own}, which the checkpoint '{config.weights}' has, is {changes[name]!r}; "
                f"set weights to a family such as 'cityscapes', or to a checkpoint with {name} {changes[name]}"
            )


def follow_weights(config: NodeConfig) -> NodeConfig:
    """The configuration with the network and alpha of its weights, where those are a single checkpoint.

    Raises:
        WeightsError: the weights are unknown.
    """
    checkpoint = select_checkpoint(config.weights, config.network, config.alpha)
    return config.changed({"network": checkpoint.network, "alpha": checkpoint.alpha})
