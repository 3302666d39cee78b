"""Power profiles: what a profile is, the built-in profiles, and how a name selects one of the board's modes.

A profile combines a mode of the board with node parameters. The built-in profiles cover several boards. Their mode
names are those of the boards' own tables:

- TX2: MAXN 0, MAXQ 1, MAXP_CORE_ALL 2, MAXP_CORE_ARM 3, MAXP_CORE_DENVER 4 (published copies of its
  nvpmodel.conf).
- AGX Xavier: MAXN 0, MODE_10W 1, MODE_15W 2, MODE_30W_ALL 3, MODE_30W_6CORE 4, MODE_30W_4CORE 5, MODE_30W_2CORE 6,
  MODE_15W_DESKTOP 7 (code and notes that list its modes).
- Xavier NX: MODE_15W_2CORE 0, MODE_15W_4CORE 1, MODE_15W_6CORE 2, MODE_10W_2CORE 3, MODE_10W_4CORE 4,
  MODE_10W_DESKTOP 5, MODE_20W_2CORE 6, MODE_20W_4CORE 7, MODE_20W_6CORE 8 (output of its nvpmodel).
- AGX Orin: MAXN 0, MODE_15W 1, MODE_30W 2, MODE_50W 3 (test data of another project, a forum post).
- Orin NX: MAXN 0, 10W 1, 15W 2, 25W 3; Orin Nano: 15W 0, 7W 1, and since JetPack 6.2 15W 0, 25W 1, MAXN_SUPER 2, 7W 3
  (excerpts of nvpmodel.conf; the last id from a note).

These names were compared neither with NVIDIA's guides nor with a board.
The alphas, rates and threads of the built-in profiles are choices, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from espnet_ros.board.nvpmodel import Mode, ModeTable
from espnet_ros.config import names_where
from espnet_ros.errors import PowerError

DEFAULT_MODE = "default"
"""Name for the default mode of the board's table."""
NODE_PARAMETERS = names_where(lambda rule: rule.in_profile)
"""Parameters of the node that a profile may set."""


@dataclass(frozen=True)
class PowerProfile:
    """A board mode combined with node parameters. None leaves a parameter unchanged.

    Attributes:
        name: value of ``power_mode`` that selects the profile.
        board_modes: names or ids of board modes; the first that the board has is used. Empty leaves the board alone.
        alpha, precision, input_height, input_width, max_rate, threads: values of the node parameters of that name.
        jetson_clocks: True locks the clocks at the mode's maxima, False lets them scale.
        origin: where the profile was defined, for messages.
    """

    name: str
    board_modes: Tuple[str, ...] = ()
    alpha: Optional[int] = None
    precision: Optional[str] = None
    input_height: Optional[int] = None
    input_width: Optional[int] = None
    max_rate: Optional[float] = None
    threads: Optional[int] = None
    jetson_clocks: Optional[bool] = None
    origin: str = "built in"

    def parameters(self) -> Dict[str, Any]:
        """Return the node parameters that the profile sets, by name."""
        values = {name: getattr(self, name) for name in NODE_PARAMETERS}
        return {name: value for name, value in values.items() if value is not None}


# AGX Xavier's MODE_10W needs a reboot, so its max_q is MODE_15W. Only the TX2 has ARM and Denver cores.
_MAX_Q = ("MAXQ", "MODE_10W_4CORE", "MODE_15W", "10W", "7W")
_MAX_P_ALL = ("MAXP_CORE_ALL", "MODE_30W_ALL", "MODE_15W_6CORE", "MODE_30W", "25W", "15W")
_MAX_N = ("MAXN_SUPER", "MAXN", "MODE_20W_6CORE", "MODE_15W_6CORE", "15W")

BUILT_IN: Mapping[str, PowerProfile] = {
    profile.name: profile
    for profile in (
        PowerProfile("max_q", _MAX_Q, alpha=3, max_rate=5.0, threads=2, jetson_clocks=False),
        # The TX2's boot default, and what NVIDIA's short name for Max-P sets, is the ARM one.
        PowerProfile("max_p", ("MAXP_CORE_ARM", *_MAX_P_ALL), alpha=8, max_rate=10.0, threads=0, jetson_clocks=False),
        PowerProfile("max_p_all", _MAX_P_ALL, alpha=8, max_rate=10.0, threads=0, jetson_clocks=False),
        PowerProfile("max_p_arm", ("MAXP_CORE_ARM",), alpha=8, max_rate=10.0, threads=0, jetson_clocks=False),
        PowerProfile("max_p_denver", ("MAXP_CORE_DENVER",), alpha=8, max_rate=10.0, threads=0, jetson_clocks=False),
        PowerProfile("max_n", _MAX_N, alpha=8, max_rate=0.0, threads=0, jetson_clocks=True),
        PowerProfile("balanced", (DEFAULT_MODE,), alpha=5, max_rate=10.0, threads=0, jetson_clocks=False),
    )
}


def find_profile(name: str, profiles: Mapping[str, PowerProfile], table: ModeTable) -> PowerProfile:
    """Return the profile of that name, or a profile that only sets the board mode of that name or id.

    Args:
        name: name of a profile (case-insensitive, ``-`` equals ``_``), or name or id of a board mode.
        profiles: the known profiles by name.
        table: the board's modes; empty off a Jetson.

    Raises:
        PowerError: there is neither; the message lists the profiles and modes.
    """
    key = name.strip().lower().replace("-", "_")
    for known, profile in profiles.items():
        if known.lower().replace("-", "_") == key:
            return profile
    mode = table.find(name)
    if mode is not None:
        return PowerProfile(mode.name, (str(mode.id),), origin="the board's table")
    raise PowerError(f"there is no power mode '{name}'; profiles: {', '.join(profiles)}; modes of the board: {table}")


def board_mode(profile: PowerProfile, table: ModeTable) -> Optional[Mode]:
    """Return a profile's mode on this board; None if the profile leaves the board alone.

    Raises:
        PowerError: the board has none of the profile's modes; the message lists the board's modes.
    """
    if not profile.board_modes:
        return None
    for text in profile.board_modes:
        if text == DEFAULT_MODE:
            mode = table.by_id(table.default) if table.default is not None else None
        else:
            mode = table.find(text)
        if mode is not None:
            return mode
    raise PowerError(
        f"power mode '{profile.name}' ({profile.origin}) needs {' or '.join(profile.board_modes)}, but this board has "
        f"only {table}"
    )


def resolve_mode(name: str, table: ModeTable, profiles: Mapping[str, PowerProfile] = BUILT_IN) -> Optional[Mode]:
    """Return the board mode that a name selects, see `find_profile` and `board_mode`.

    Raises:
        PowerError: the name is unknown, or the board has no such mode.
    """
    return board_mode(find_profile(name, profiles, table), table)
