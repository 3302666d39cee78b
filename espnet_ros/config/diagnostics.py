"""Parameters of start-up and /diagnostics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espnet_ros.config.declaration import Section, parameter


def _threshold(kind: str, condition: str, unit: str, maximum: float, default: float = 0.0) -> Any:
    action = {"warn": "Warn on /diagnostics", "error": "Report an error on /diagnostics"}[kind]
    return parameter(
        default, f"{action} when {condition} this. 0 disables.", unit=unit, minimum=0.0, maximum=maximum, live=True
    )


_HOTTEST = ("the hottest sensor exceeds", "°C", 200.0)
_POWER = ("the power draw exceeds", "W", 10000.0)
_ENERGY = ("the energy per image exceeds", "J", 10000.0)
_LATENCY = ("the 95th percentile of the latency exceeds", "s", 60.0)
_RATE = ("the frame rate drops below", "Hz", 1000.0)


@dataclass(frozen=True)
class DiagnosticsParameters:
    """Automatic start, and when /diagnostics warns or reports an error."""

    autostart: bool = parameter(
        False,
        "Configure and activate the node when it starts, without a lifecycle manager. The launch file sets this to "
        "true unless told otherwise.",
    )
    bond_heartbeat_period: float = parameter(
        0.1,
        "Interval of the heartbeat on the topic bond, by which Nav2's lifecycle manager notices that the node has "
        "died. 0 for none. It needs the ROS package bond.",
        unit="s",
        minimum=0.0,
        maximum=1.0,
    )
    diagnostics_period: float = parameter(
        1.0, "Interval between messages on /diagnostics.", unit="s", minimum=0.1, maximum=60.0
    )
    image_timeout: float = parameter(
        2.0,
        "Warn on /diagnostics when no image has arrived for this long.",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
        live=True,
    )
    warn_temperature: float = _threshold("warn", *_HOTTEST, default=90.0)
    error_temperature: float = _threshold("error", *_HOTTEST, default=100.0)
    warn_power: float = _threshold("warn", *_POWER)
    error_power: float = _threshold("error", *_POWER)
    warn_energy: float = _threshold("warn", *_ENERGY)
    error_energy: float = _threshold("error", *_ENERGY)
    warn_latency: float = _threshold("warn", *_LATENCY)
    error_latency: float = _threshold("error", *_LATENCY)
    warn_rate: float = _threshold("warn", *_RATE)
    error_rate: float = _threshold("error", *_RATE)


SECTION = Section(
    "Start-up and diagnostics",
    "How the node starts, and when it warns or reports an error on /diagnostics.",
    DiagnosticsParameters,
)
