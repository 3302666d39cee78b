"""Parameters of the governor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from espnet_ros.config.declaration import SIZE_MULTIPLE, Section, parameter, split_list
from espnet_ros.config.engine import ALPHAS
from espnet_ros.errors import ParameterError

_ALPHAS_TEXT = ", ".join(map(str, ALPHAS))


@dataclass(frozen=True)
class GovernorParameters:
    """What the governor regulates, and what it may change."""

    governor: str = parameter(
        "off",
        "What the governor regulates: off, rate, power, latency or thermal. rate keeps at least governor_rate, with "
        "the largest alpha that reaches it; power keeps at most governor_power, with the best accuracy; latency keeps "
        "at most governor_latency; thermal stays below governor_max_temperature.",
        choices=("off", "rate", "power", "latency", "thermal"),
        live=True,
        option="build",
        is_launch_argument=True,
        is_plain_text=True,
        is_basic=True,
    )
    governor_rate: float = parameter(
        10.0, "Minimum frame rate, with governor rate.", unit="Hz", minimum=0.1, maximum=1000.0, live=True
    )
    governor_power: float = parameter(
        7.5, "Maximum power draw, with governor power.", unit="W", minimum=0.1, maximum=10000.0, live=True
    )
    governor_latency: float = parameter(
        0.2,
        "Maximum latency, from an image's arrival to its labels (95th percentile), with governor latency.",
        unit="s",
        minimum=0.001,
        maximum=60.0,
        live=True,
    )
    governor_max_temperature: float = parameter(
        85.0,
        "Maximum temperature of the hottest sensor. Every governor except off reduces the load before it is reached.",
        unit="°C",
        minimum=20.0,
        maximum=200.0,
        live=True,
    )
    governor_alphas: str = parameter(
        _ALPHAS_TEXT,
        "Values of alpha that the governor may choose, separated by commas.",
        live=True,
        option="build",
        is_plain_text=True,
    )
    governor_sizes: str = parameter(
        "",
        "Input sizes that the governor may choose, as HEIGHTxWIDTH in pixels, such as '256x512, 512x1024'. Empty keeps "
        "the current one.",
        live=True,
        option="build",
        is_plain_text=True,
    )
    governor_rates: str = parameter(
        "",
        "Values of max_rate in Hz that the governor may choose, such as '5, 10, 0', where 0 is no limit. Empty keeps "
        "the current one.",
        live=True,
        is_plain_text=True,
    )
    governor_modes: str = parameter(
        "",
        "Power modes that the governor may choose, each a profile or the name or id of one of the board's modes. Empty "
        "keeps the current one.",
        live=True,
        is_plain_text=True,
    )
    governor_hold: float = parameter(
        12.0,
        "How long a better setting must fit, and how long ago the last change must be, before the governor tries it.",
        unit="s",
        minimum=1.0,
        maximum=600.0,
        live=True,
    )
    governor_table: str = parameter(
        "",
        "Table that `espnet_ros benchmark power` measured on this board (power.csv). Empty predicts the costs.",
        live=True,
    )

    def check_governor(self) -> None:
        """Check the lists.

        Raises:
            ParameterError: one of them cannot be read.
        """
        self.allowed_alphas()
        self.allowed_sizes()
        self.allowed_rates()

    def allowed_alphas(self) -> Tuple[int, ...]:
        """Return the values of alpha that the governor may choose, ascending.

        Raises:
            ParameterError: the list is empty or has another entry.
        """
        rule = f"governor_alphas must be a list of {_ALPHAS_TEXT}, such as '3, 8'"
        texts = split_list(self.governor_alphas)
        if not texts or any(text not in map(str, ALPHAS) for text in texts):
            raise ParameterError(f"{rule}, is '{self.governor_alphas}'")
        return tuple(sorted({int(text) for text in texts}))

    def allowed_sizes(self) -> Tuple[Tuple[int, int], ...]:
        """Return the input sizes (height, width) in pixels that the governor may choose; empty keeps the current one.

        Raises:
            ParameterError: an entry is no size.
        """
        sizes = []
        for text in split_list(self.governor_sizes):
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
        """Return the values of max_rate (Hz, 0 for no limit) that the governor may choose; empty keeps the current one.

        Raises:
            ParameterError: an entry is no rate.
        """
        rates = []
        for text in split_list(self.governor_rates):
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


SECTION = Section(
    "Governor",
    "The governor changes alpha, input size, rate and power mode to keep a frame rate, a power, a latency or a "
    "temperature.",
    GovernorParameters,
    guide="docs/governor.md",
)
