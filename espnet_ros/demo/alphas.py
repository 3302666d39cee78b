"""Which alphas a drive goes through, and their engines, made ready before it begins."""

from __future__ import annotations

from typing import Callable, Sequence, Tuple

from espnet_ros.config import NodeConfig, rule_of
from espnet_ros.engines import EngineSpec, build_engine, choose_backend
from espnet_ros.errors import ParameterError
from espnet_ros.model.checkpoint import list_registry, select_checkpoint

ALL_ALPHAS: Tuple[int, ...] = tuple(sorted(rule_of("alpha").choices, reverse=True))
"""From the most accurate to the fastest."""
SECONDS_EACH = 2.0
"""What each alpha gets of a drive at least, where nobody named them: time for a switch, and for some answers."""

_CACHED_BACKENDS = ("native", "openvino")


def parse_alphas(text: str) -> Tuple[int, ...]:
    """Alphas in the order of a drive, from the option ``--alphas``.

    Raises:
        ParameterError: it is not a list of alphas between commas, or has one twice in a row.
    """
    parts = [part.strip() for part in text.split(",")]
    if not set(parts) <= set(map(str, ALL_ALPHAS)):
        choices = ", ".join(map(str, rule_of("alpha").choices))
        raise ParameterError(f"--alphas must be one or more of {choices}, with commas between them, is {text!r}")
    if any(before == after for before, after in zip(parts, parts[1:])):
        raise ParameterError(f"--alphas must not have one alpha twice in a row, is {text!r}")
    return tuple(map(int, parts))


def check_alphas(alphas: Sequence[int], config: NodeConfig, num_frames: int) -> None:
    """Check alphas that a user named for a drive.

    Args:
        alphas: in their order.
        config: the node's parameters; its alpha does not matter.
        num_frames: of the drive; 0 where that is not known.

    Raises:
        ParameterError: there are too few frames, or the weights are a single checkpoint, which has another alpha.
        WeightsError: the weights are unknown, or are a family without one of the alphas.
    """
    if not num_frames and len(alphas) > 1:
        raise ParameterError("--alphas shares a drive out evenly, so it needs --limit where its images are not counted")
    if 0 < num_frames < len(alphas):
        raise ParameterError(f"--alphas must name at most one for each image, {num_frames}, names {len(alphas)}")
    for alpha in alphas:
        own = select_checkpoint(config.weights, config.network, alpha).alpha
        if own != alpha:
            raise ParameterError(f"--alphas must be {own}, which the weights '{config.weights}' have, has {alpha}")


def default_alphas(config: NodeConfig, seconds: float) -> Tuple[int, ...]:
    """The alphas of a drive that nobody named any for.

    Args:
        config: the node's parameters.
        seconds: that the drive lasts.

    Returns:
        All of them, where the weights are a family with a network for each and the drive is long enough; else the one
        of the configuration.
    """
    family = [entry for entry in list_registry() if entry.family == config.weights]
    offered = {entry.alpha for entry in family if entry.network == config.network}
    if offered.issuperset(ALL_ALPHAS) and seconds >= SECONDS_EACH * len(ALL_ALPHAS):
        return ALL_ALPHAS
    return (config.alpha,)


def build_ahead(specs: Sequence[EngineSpec], say: Callable[[str], None]) -> None:
    """Build engines into the cache of engines, so that the node finds them there.

    A backend that keeps nothing in the cache has nothing to build ahead.

    Args:
        specs: what to build from.
        say: gets a line before each.

    Raises:
        EngineError, WeightsError: see ``build_engine``.
    """
    for spec in specs:
        if choose_backend(spec.backend).backend in _CACHED_BACKENDS:
            checkpoint = spec.checkpoint
            say(f"making the engine for alpha {checkpoint.alpha} ready: {checkpoint.name} at {spec.input_size}")
            build_engine(spec).close()
