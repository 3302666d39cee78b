"""Checks measured values against the ``warn_...`` and ``error_...`` parameters."""

from __future__ import annotations

from typing import List, NamedTuple

from espnet_ros.config import NodeConfig, rule_of
from espnet_ros.telemetry.frame_statistics import FrameSummary
from espnet_ros.telemetry.reading import PowerReading


class ThresholdViolation(NamedTuple):
    """A value beyond its warning or error threshold."""

    is_error: bool
    text: str


def check_reading(config: NodeConfig, reading: PowerReading) -> List[ThresholdViolation]:
    """Check temperature and power against the thresholds. Unknown values pass."""
    sensor = f"hottest sensor {reading.hottest}"
    found = _check(config, "temperature", reading.temperature, sensor)
    return found + _check(config, "power", reading.watts_total, "power")


def check_frames(config: NodeConfig, frames: FrameSummary, check_rate: bool) -> List[ThresholdViolation]:
    """Check energy per frame, latency and frame rate against the thresholds. Unknown values pass.

    Args:
        config: the node's parameters.
        frames: statistics of the last seconds.
        check_rate: whether a low frame rate is a problem: the node has been active long enough and has a subscriber.
    """
    found = _check(config, "energy", frames.joules_per_frame, "energy per frame")
    found += _check(config, "latency", frames.latency_p95, "latency (95th percentile)")
    if check_rate:
        found += _check(config, "rate", frames.frame_rate, "frame rate", is_minimum=True)
    return found


def _check(
    config: NodeConfig, quantity: str, value: float, label: str, is_minimum: bool = False
) -> List[ThresholdViolation]:
    for kind in ("error", "warn"):
        name = f"{kind}_{quantity}"
        threshold = getattr(config, name)
        # Comparisons with NaN are false, so unknown values pass.
        if threshold > 0 and (value < threshold if is_minimum else value > threshold):
            unit = rule_of(name).unit
            relation = "below" if is_minimum else "above"
            text = f"{label} is {value:.4g} {unit}, {relation} {name} ({threshold:g} {unit})"
            return [ThresholdViolation(kind == "error", text)]
    return []
