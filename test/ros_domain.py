"""A ROS domain that no other test run on this machine uses."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

DOMAINS = range(1, 102)
"""Higher domains have ports that Linux hands out to any program; 0 is where a user's own nodes are."""


class NoFreeDomainError(RuntimeError):
    """Every ROS domain has a test run in it."""


def take_domain(folder=None):
    """Lock the first free ROS domain of the machine.

    Args:
        folder: where the lock files lie; None for the system's folder for temporary files.

    Returns:
        The domain and its lock, which holds while the object exists: until it is released or the process ends.

    Raises:
        NoFreeDomainError: all domains are taken.
    """
    folder = Path(folder or tempfile.gettempdir())
    for domain in DOMAINS:
        lock = FileLock(str(folder / f"espnet_ros_test_domain_{domain}.lock"), timeout=0)
        try:
            lock.acquire()
        except (Timeout, PermissionError):  # a file of another user cannot be opened
            continue
        return domain, lock
    raise NoFreeDomainError(
        f"ROS domains {DOMAINS[0]} to {DOMAINS[-1]} are all in use by other test runs: "
        f"{folder}/espnet_ros_test_domain_*.lock are locked"
    )


def use_own_domain():
    """Keep this process and its children in a domain of their own. Returns the lock to hold on to."""
    domain, lock = take_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return lock
