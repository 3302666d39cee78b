"""Parameters of power: the mode, what is measured, what is worth a warning, and the governor's promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Tuple

from espnet_ros.config.rules import SIZE_MULTIPLE, parameter
from espnet_ros.errors import ParameterError

ALPHAS = (3, 5, 8)


def _level(quantity: str, unit: str, maximum: float, default: float = 0.0, side: str = "above") -> Any:
    return parameter(
        default,
        f"{quantity} {side} this is worth it on /diagnostics; 0: never.",
        unit=unit,
        minimum=0.0,
        maximum=maximum,
        live=True,
    )


@dataclass(frozen=True)
class PowerParameters:
    """The power mode, what is measured, what is worth a warning, and the governor's promise."""

    power_mode: str = parameter(
        "",
        "Power mode: a profile (max_q, max_p, max_n, balanced, ..., those of power_profiles), or a name or id of the "
        "board's own modes; empty: left as it is.",
        live=True,
    )
    power_profiles: str = parameter("", "YAML file of further power profiles; empty: none.")
    telemetry: bool = parameter(True, "Measure watts, temperatures and clocks, from the best source there is.")
    telemetry_period: float = parameter(
        1.0, "Time between two measurements of telemetry.", unit="s", minimum=0.1, maximum=2.5
    )
    warn_temperature: float = _level("Warning: hottest sensor", "°C", 200.0, 90.0)
    error_temperature: float = _level("Error: hottest sensor", "°C", 200.0, 100.0)
    warn_power: float = _level("Warning: power", "W", 10000.0)
    error_power: float = _level("Error: power", "W", 10000.0)
    warn_energy: float = _level("Warning: energy of an image", "J", 10000.0)
    error_energy: float = _level("Error: energy of an image", "J", 10000.0)
    warn_latency: float = _level("Warning: 95th percentile of the latency", "s", 60.0)
    error_latency: float = _level("Error: 95th percentile of the latency", "s", 60.0)
    warn_rate: float = _level("Warning: images answered a second", "Hz", 1000.0, side="below")
    error_rate: float = _level("Error: images answered a second", "Hz", 1000.0, side="below")
    governor: str = parameter(
        "off",
        "What the governor holds: off, rate (governor_rate with the largest alpha that can), power (the most accuracy "
        "under governor_power), latency (governor_latency), thermal (below governor_max_temperature).",
        choices=("off", "rate", "power", "latency", "thermal"),
        live=True,
    )
    governor_rate: float = parameter(
        10.0, "Images answered a second at least, for governor rate.", unit="Hz", minimum=0.1, maximum=1000.0, live=True
    )
    governor_power: float = parameter(
        7.5, "Power at most, for governor power.", unit="W", minimum=0.1, maximum=10000.0, live=True
    )
    governor_latency: float = parameter(
        0.2,
        "95th percentile, at most, of the time from an image's arrival to its labels, for governor latency.",
        unit="s",
        minimum=0.001,
        maximum=60.0,
        live=True,
    )
    governor_max_temperature: float = parameter(
        85.0,
        "Under every governor but off the node steps down before the hottest sensor reaches this.",
        unit="°C",
        minimum=20.0,
        maximum=200.0,
        live=True,
    )
    governor_alphas: str = parameter("3, 5, 8", "Alphas that the governor may choose.", live=True)
    governor_sizes: str = parameter(
        "",
        "Input sizes (HEIGHTxWIDTH in pixels, such as 256x512, 512x1024) that the governor may choose; empty: the "
        "present one stays.",
        live=True,
    )
    governor_rates: str = parameter(
        "",
        "Values of max_rate in Hz that the governor may choose, 0: no limit; empty: the present one stays.",
        live=True,
    )
    governor_modes: str = parameter(
        "",
        "Power modes, by name or id of the board or by profile, that the governor may choose; empty: the present one "
        "stays.",
        live=True,
    )
    governor_hold: float = parameter(
        12.0,
        "How long something better must fit before the governor tries it.",
        unit="s",
        minimum=1.0,
        maximum=600.0,
        live=True,
    )
    governor_table: str = parameter(
        "",
        "Table that `espnet_ros benchmark power` measured on this board (power.csv), for the governor; empty: a "
        "prediction.",
        live=True,
    )

    def check_power(self) -> None:
        """Check the lists.

        Raises:
            ParameterError: one of them cannot be read.
        """
        self.allowed_alphas()
        self.allowed_sizes()
        self.allowed_rates()

    def allowed_alphas(self) -> Tuple[int, ...]:
        """Alphas that the governor may choose, rising.

        Raises:
            ParameterError: the list holds something else, or nothing.
        """
        rule = f"governor_alphas must be a list of {', '.join(map(str, ALPHAS))}, such as '3, 8'"
        texts = split(self.governor_alphas)
        if not texts or any(text not in map(str, ALPHAS) for text in texts):
            raise ParameterError(f"{rule}, is '{self.governor_alphas}'")
        return tuple(sorted({int(text) for text in texts}))

    def allowed_sizes(self) -> Tuple[Tuple[int, int], ...]:
        """Sizes (height, width) that the governor may choose; empty: the present one.

        Raises:
            ParameterError: the list holds something else.
        """
        sizes = []
        for text in split(self.governor_sizes):
            height, _, width = text.lower().partition("x")
            size = (int(height), int(width)) if height.isdecimal() and width.isdecimal() else (0, 0)
            if any(not 0 < side <= 8192 or side % SIZE_MULTIPLE for side in size):
                raise ParameterError(
                    f"governor_sizes must be a list of HEIGHTxWIDTH, multiples of {SIZE_MULTIPLE} up to 8192 such as "
                    f"'256x512, 512x1024', is '{self.governor_sizes}'"
                )
            sizes.append(size)
        return tuple(dict.fromkeys(sizes))

    def allowed_rates(self) -> Tuple[float, ...]:
        """Values of max_rate, in Hz, that the governor may choose, 0 for no limit; empty: the present one.

        Raises:
            ParameterError: the list holds something else.
        """
        rates = []
        for text in split(self.governor_rates):
            try:
                rate = float(text)
            except ValueError:
                rate = -1.0
            if not 0.0 <= rate <= 1000.0:
                raise ParameterError(
                    f"governor_rates must be a list of Hz from 0 to 1000 such as '5, 10, 0', is '{self.governor_rates}'"
                )
            rates.append(rate)
        return tuple(dict.fromkeys(rates))


def split(text: str) -> List[str]:
    """The entries of a list that is written with commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]
