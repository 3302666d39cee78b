"""What the header of a ROS message says: when the message was stamped, and in which frame it is.

The rules for stamps and frame names stand here alone; images, odometry and tf all use them. `docs/nav2.md` lists what
follows from them.
"""

from __future__ import annotations

from typing import Any, Optional

NANOSECONDS = 1_000_000_000
RESTART_AFTER = NANOSECONDS
"""A message stamped this much before the newest one, or more, means that time has started again; one stamped less
before it is late.

Drivers and networks deliver out of order by milliseconds, and a running clock is corrected by fractions of a second. A
bag that starts again or a simulation that is reset goes back further. Since Jazzy, tf2 uses the same second.
"""


def stamp_nanoseconds(header: Any) -> int:
    """Return the stamp of a std_msgs/Header in nanoseconds."""
    return int(header.stamp.sec) * NANOSECONDS + int(header.stamp.nanosec)


def is_stamped(stamp: int) -> bool:
    """Return whether a stamp (nanoseconds) is a time. A message that nobody stamped has 0."""
    return stamp > 0


def is_restart(stamp: int, newest: Optional[int]) -> bool:
    """Return whether a stamp (nanoseconds) means that time has started again since the newest of its source."""
    return newest is not None and stamp <= newest - RESTART_AFTER


def describe_restart(stamp: int, newest: int) -> str:
    """Return in words how far time went back."""
    return f"time went back by {(newest - stamp) / NANOSECONDS:.1f} s"


def clean_frame(frame_id: str) -> str:
    """Return the name of a frame as tf2 knows it: without the leading slash that ROS 1 wrote."""
    return frame_id.lstrip("/")
