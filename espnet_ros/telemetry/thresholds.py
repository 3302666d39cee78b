"""Which of the measured values are worth a warning or an error."""

from __future__ import annotations

from typing import List, NamedTuple

from espnet_ros.config import NodeConfig, rule_of
from espnet_ros.telemetry.frame_statistics import FrameSummary
from espnet_ros.telemetry.reading import PowerReading


class Excess(NamedTuple):
    """A value beyond a level."""

    is_error: bool
    text: str


def judge_reading(config: NodeConfig, reading: PowerReading) -> List[Excess]:
    """Compare what the telemetry says with the levels in the parameters; what is not known passes."""
    sensor = f"hottest sensor {reading.hottest}"
    found = _judge(config, "temperature", reading.temperature, sensor)
    return found + _judge(config, "power", reading.watts_total, "power")


def judge_frames(config: NodeConfig, frames: FrameSummary, is_wanted: bool) -> List[Excess]:
    """The same for what the images cost.

    Args:
        config: the node's parameters.
        frames: the images of the last seconds.
        is_wanted: the node is active long enough, and somebody listens, so that a low rate means something.
    """
    found = _judge(config, "energy", frames.joules_per_frame, "energy of an image")
    found += _judge(config, "latency", frames.latency_p95, "95th percentile of the latency")
    if is_wanted:
        found += _judge(config, "rate", frames.frame_rate, "rate of answers", below=True)
    return found


def _judge(config: NodeConfig, quantity: str, value: float, what: str, below: bool = False) -> List[Excess]:
    for kind in ("error", "warn"):
        name = f"{kind}_{quantity}"
        level = getattr(config, name)
        # NaN compares as false on either side
        if level > 0 and (value < level if below else value > level):
            unit = rule_of(name).unit
            return [Excess(kind == "error", f"{what} is {value:.4g} {unit}, {name} is {level:g} {unit}")]
    return []
