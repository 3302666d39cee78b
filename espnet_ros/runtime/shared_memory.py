"""Checks that Fast DDS can make its shared-memory segment. Without one, images go over UDP, and large ones are lost."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Mapping, Optional

FOLDER = Path("/dev/shm")
DEFAULT_SEGMENT = 512 << 10  # bytes; Fast DDS without a profile
_OVERHEAD = 1.05  # measured: a segment of 64 MiB takes 67.0 MiB, one of 512 KiB takes 537 KiB
_PORTS = 1 << 20  # bytes; the files beside the segments
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def find_shared_memory_problem(environment: Mapping[str, str] = os.environ, folder: Path = FOLDER) -> str:
    """Return why this process will not get a shared-memory segment, for a warning; "" if it will or needs none.

    Call this before the process joins ROS.

    Args:
        environment: variables that choose the middleware and its profile.
        folder: where the system keeps shared memory.
    """
    segment = _segment_size(environment)
    if segment is None:
        return ""
    needed = segment * _OVERHEAD + _PORTS
    try:
        status = os.statvfs(str(folder))
    except OSError as error:
        reason = error.strerror
    else:
        free = status.f_bavail * status.f_frsize
        if not os.access(str(folder), os.W_OK | os.X_OK):
            reason = "it cannot be written"
        elif free < needed:
            reason = f"{free / 2**20:.0f} MiB are free, {needed / 2**20:.0f} MiB are needed"
        else:
            return ""
    return (
        f"no shared memory for images in {folder}: {reason}. Images come over UDP instead, where large ones are lost. "
        "Enlarge it (docker run --shm-size), remove what killed processes left (fastdds shm clean), or choose a "
        "smaller segment_size: docs/robot.md"
    )


def _segment_size(environment: Mapping[str, str]) -> Optional[int]:
    """Return the size in bytes of the segment that Fast DDS will make; None if it makes none, or is not used."""
    if not environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps").startswith("rmw_fastrtps"):
        return None
    if environment.get("FASTDDS_BUILTIN_TRANSPORTS", "").startswith(("UDP", "NONE")):
        return None
    for variable in _PROFILE_VARIABLES:
        profile = environment.get(variable, "")
        if profile:
            return _segment_of_profile(profile)
    return DEFAULT_SEGMENT


def _segment_of_profile(profile: str) -> Optional[int]:
    try:
        root = ET.parse(profile).getroot()
    except (OSError, ET.ParseError):
        return DEFAULT_SEGMENT  # Fast DDS reports the file and goes on without it
    sizes = []
    for transport in root.iterfind(".//{*}transport_descriptor"):
        if (transport.findtext("{*}type") or "").strip() == "SHM":
            text = (transport.findtext("{*}segment_size") or "").strip()
            sizes.append(int(text) if text.isdigit() else DEFAULT_SEGMENT)
    is_builtin = [(e.text or "").strip() in ("true", "1") for e in root.iterfind(".//{*}useBuiltinTransports")]
    if not all(is_builtin):
        return max(sizes, default=None)
    return max([*sizes, DEFAULT_SEGMENT])
