"""The parameters that select the engine, and the check of a change to them."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from espnet_ros.config import NodeConfig, names_where
from espnet_ros.engines import choose_backend
from espnet_ros.errors import ParameterError
from espnet_ros.loading import resolve_spec
from espnet_ros.model.checkpoint import is_family, select_checkpoint

ENGINE_NAMES = names_where(lambda rule: rule.changes_engine)
"""Parameters that need another engine when they change."""


def engine_values(config: NodeConfig) -> Tuple[Any, ...]:
    """Return the values of the parameters that need another engine when they change."""
    return tuple(getattr(config, name) for name in ENGINE_NAMES)


def changes_engine(before: NodeConfig, after: NodeConfig) -> bool:
    """Return whether two configurations need different engines."""
    return engine_values(before) != engine_values(after)


def check_change(current: NodeConfig, changes: Mapping[str, Any]) -> NodeConfig:
    """Check a change of parameters as far as possible at once, without the network and without building an engine.

    Returns:
        The configuration after the change.

    Raises:
        EspnetError: the change is not possible.
    """
    config = current.changed(changes)
    if changes_engine(current, config):
        _check_fits_single_checkpoint(config, changes)
        check_engine(config)
    return config


def check_engine(config: NodeConfig) -> None:
    """Check that the weights, the class table and the backend are known and match.

    Published weights that are not on this machine pass. They are downloaded when the engine is built.

    Raises:
        EspnetError: one of them is missing or does not match.
    """
    choose_backend(config.backend)
    resolve_spec(config, download_missing=False)


def _check_fits_single_checkpoint(config: NodeConfig, changes: Mapping[str, Any]) -> None:
    """Reject a network or alpha that a single checkpoint does not have."""
    if is_family(config.weights):
        return
    checkpoint = select_checkpoint(config.weights, config.network, config.alpha)
    for name in ("network", "alpha"):
        own = getattr(checkpoint, name)
        if name in changes and changes[name] != own:
            raise ParameterError(
                f"{name} must be {own} with checkpoint '{config.weights}', is {changes[name]!r}; "
                f"set weights to a family, such as 'cityscapes', or to a checkpoint with {name} {changes[name]}"
            )


def follow_weights(config: NodeConfig) -> NodeConfig:
    """Return the configuration with network and alpha set to those of its weights, if these are a single checkpoint.

    Raises:
        WeightsError: the weights are unknown.
    """
    checkpoint = select_checkpoint(config.weights, config.network, config.alpha)
    return config.changed({"network": checkpoint.network, "alpha": checkpoint.alpha})
