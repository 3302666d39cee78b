"""Power profiles from YAML files: the shipped files in ``config/`` and the user's file."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from espnet_ros.board.profiles import BUILT_IN, NODE_PARAMETERS, PowerProfile
from espnet_ros.config import check_value, default_of
from espnet_ros.errors import ParameterError, PowerError
from espnet_ros.resources import expand_user, share_folder
from espnet_ros.yaml_files import read_yaml

SHIPPED_FILES = ("tx2_max_q.yaml", "tx2_max_p.yaml", "power_modes.yaml")
KEYS = ("board_modes", *NODE_PARAMETERS, "jetson_clocks")


def known_profiles(user_file: str = "") -> Dict[str, PowerProfile]:
    """Return all profiles by name: built-in, shipped, and the user's, which override the others.

    Args:
        user_file: path of a YAML file, ``~`` is expanded; "" for none.

    Raises:
        PowerError: a file cannot be read or breaks a rule; the message names the file, the key, the rule and the value.
    """
    profiles = dict(BUILT_IN)
    folder = share_folder() / "config"
    for name in SHIPPED_FILES:
        profiles.update(load_profiles(folder / name))
    if user_file:
        profiles.update(load_profiles(expand_user(user_file)))
    return profiles


def load_profiles(path: Path) -> Dict[str, PowerProfile]:
    """Read the profiles of one file by name.

    Raises:
        PowerError: the file cannot be read, is not YAML or breaks a rule.
    """
    try:
        document = read_yaml(path)
    except ValueError as error:
        raise PowerError(f"power profiles: {error}") from error
    return parse_profiles(document, str(path))


def parse_profiles(document: Any, origin: str) -> Dict[str, PowerProfile]:
    """Convert a parsed YAML document into power profiles.

    Args:
        document: ``{profiles: {NAME: {board_modes: [name or id, ...], alpha: int, precision: str, input_height: int,
            input_width: int, max_rate: float, threads: int, jetson_clocks: bool}}}``, all keys optional.
        origin: where the document came from, for messages.

    Raises:
        PowerError: the document breaks a rule.
    """
    where = f"power profiles {origin}"
    entries = document.get("profiles") if isinstance(document, Mapping) else None
    if not isinstance(entries, Mapping) or not entries:
        raise PowerError(f"{where}: must be a mapping whose key 'profiles' is a mapping with at least one entry")
    return {str(name).strip(): _parse_profile(name, entry, where, origin) for name, entry in entries.items()}


def _parse_profile(name: Any, entry: Any, where: str, origin: str) -> PowerProfile:
    if not isinstance(name, str) or not name.strip() or name.strip().isdecimal():
        found = reprlib.repr(name)
        raise PowerError(f"{where}: a profile's name must be a non-empty string that is not a number, is {found}")
    where = f"{where}, profile '{name}'"
    if not isinstance(entry, Mapping) or not entry:
        raise PowerError(f"{where}: must be a mapping with at least one of {', '.join(KEYS)}, is {reprlib.repr(entry)}")
    for key in entry:
        if key not in KEYS:
            raise PowerError(f"{where}: unknown key '{key}', must be one of {', '.join(KEYS)}")
    values = {key: _parse_value(key, entry[key], where) for key in NODE_PARAMETERS if key in entry}
    clocks = entry.get("jetson_clocks")
    if "jetson_clocks" in entry and not isinstance(clocks, bool):
        raise PowerError(f"{where}: jetson_clocks must be true or false, is {reprlib.repr(clocks)}")
    modes = _parse_modes(entry["board_modes"], where) if "board_modes" in entry else ()
    return PowerProfile(name.strip(), modes, jetson_clocks=clocks, origin=origin, **values)


def _parse_value(key: str, value: Any, where: str) -> Any:
    if isinstance(default_of(key), float) and type(value) is int:
        value = float(value)
    try:
        check_value(key, value)
    except ParameterError as error:
        raise PowerError(f"{where}: {error}") from error
    return value


def _parse_modes(value: Any, where: str) -> Tuple[str, ...]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        is_name = isinstance(entry, str) and entry.strip() != ""
        is_id = type(entry) is int and entry >= 0
        if not (is_name or is_id):
            raise PowerError(
                f"{where}: board_modes must be the name or id of a mode, 'default', or a list of these, "
                f"is {reprlib.repr(value)}"
            )
    return tuple(str(entry).strip() for entry in entries)
