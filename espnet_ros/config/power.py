"""Parameters of the power mode and telemetry."""

from __future__ import annotations

from dataclasses import dataclass

from espnet_ros.config.declaration import Section, parameter


@dataclass(frozen=True)
class PowerParameters:
    """The board's power mode, and how power and temperature are measured."""

    power_mode: str = parameter(
        "",
        "Power mode of the board: a profile, or the name or id of one of its modes; empty leaves it unchanged. "
        "Profiles are max_q, max_p, max_p_all, max_p_arm, max_p_denver, max_n, balanced, those in config/tx2_*.yaml "
        "and config/power_modes.yaml, and those in power_profiles. On a machine that is not a Jetson, a profile sets "
        "only the node's parameters.",
        live=True,
        option="build",
        is_launch_argument=True,
        is_plain_text=True,
        is_basic=True,
    )
    power_profiles: str = parameter(
        "",
        "YAML file with additional power profiles, in the format of config/tx2_max_q.yaml. Empty loads none.",
        option="build",
    )
    telemetry: bool = parameter(
        True,
        "Measure power, temperatures and clocks with the best source available (jetson-stats, INA3221, NVML or RAPL).",
    )
    telemetry_period: float = parameter(1.0, "Interval between measurements.", unit="s", minimum=0.1, maximum=2.5)


SECTION = Section(
    "Power and telemetry",
    "The board's power mode, and how power and temperature are measured.",
    PowerParameters,
    guide="docs/power.md",
)
