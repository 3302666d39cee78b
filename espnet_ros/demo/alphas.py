"""Choose the alphas of a drive, and build their engines before it starts."""

from __future__ import annotations

from typing import Callable, Sequence, Tuple

from espnet_ros.config import NodeConfig, rule_of
from espnet_ros.engines import EngineSpec, build_engine, choose_backend
from espnet_ros.errors import ParameterError
from espnet_ros.model.checkpoint import list_registry, select_checkpoint

ALL_ALPHAS: Tuple[int, ...] = tuple(sorted(rule_of("alpha").choices, reverse=True))
"""All alphas, from the most accurate to the fastest."""
SECONDS_EACH = 2.0
"""Shortest time per alpha if the user names none: enough for a switch and some answers."""

_CACHED_BACKENDS = ("native", "openvino")


def parse_alphas(text: str) -> Tuple[int, ...]:
    """Parse the option ``--alphas``: alphas in the order of the drive.

    Raises:
        ParameterError: the text is not a comma-separated list of alphas, or repeats one twice in a row.
    """
    parts = [part.strip() for part in text.split(",")]
    if not set(parts) <= set(map(str, ALL_ALPHAS)):
        choices = ", ".join(map(str, rule_of("alpha").choices))
        raise ParameterError(f"--alphas must be one or more of {choices}, separated by commas, is {text!r}")
    if any(before == after for before, after in zip(parts, parts[1:])):
        raise ParameterError(f"--alphas must not repeat an alpha twice in a row, is {text!r}")
    return tuple(map(int, parts))


def check_alphas(alphas: Sequence[int], config: NodeConfig, num_frames: int) -> None:
    """Check the alphas that the user chose for a drive.

    Args:
        alphas: in the order of the drive.
        config: parameters of the node; its alpha is ignored.
        num_frames: number of frames of the drive; 0 if unknown.

    Raises:
        ParameterError: there are too few frames, or the weights are a single checkpoint with another alpha.
        WeightsError: the weights are unknown, or their family lacks one of the alphas.
    """
    if not num_frames and len(alphas) > 1:
        raise ParameterError(
            "--alphas divides the drive evenly, so it needs --limit if the number of images is unknown"
        )
    if 0 < num_frames < len(alphas):
        raise ParameterError(
            f"--alphas must name at most as many alphas as there are images, {num_frames}, names {len(alphas)}"
        )
    for alpha in alphas:
        own = select_checkpoint(config.weights, config.network, alpha).alpha
        if own != alpha:
            raise ParameterError(
                f"--alphas must be {own}, the only alpha of the weights '{config.weights}', has {alpha}"
            )


def default_alphas(config: NodeConfig, seconds: float) -> Tuple[int, ...]:
    """Return the alphas of a drive if the user names none.

    Args:
        config: parameters of the node.
        seconds: length of the drive.

    Returns:
        All alphas if the weights are a family that has them all and the drive is long enough; otherwise the alpha of
        the configuration.
    """
    family = [entry for entry in list_registry() if entry.family == config.weights]
    offered = {entry.alpha for entry in family if entry.network == config.network}
    if offered.issuperset(ALL_ALPHAS) and seconds >= SECONDS_EACH * len(ALL_ALPHAS):
        return ALL_ALPHAS
    return (config.alpha,)


def build_ahead(specs: Sequence[EngineSpec], log: Callable[[str], None]) -> None:
    """Build engines into the engine cache, where the node finds them. Backends that cache nothing are skipped.

    Args:
        specs: of the engines.
        log: gets a line before each engine.

    Raises:
        EngineError, WeightsError: see ``build_engine``.
    """
    for spec in specs:
        if choose_backend(spec.backend).backend in _CACHED_BACKENDS:
            checkpoint = spec.checkpoint
            log(f"building the engine for alpha {checkpoint.alpha}: {checkpoint.name} at {spec.input_size}")
            build_engine(spec).close()
