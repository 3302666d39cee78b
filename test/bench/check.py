"""Measure what the documents promise about speed, as ratios, and print how each compares: ``make bench-check``.

Exits with 1 where a promise is missed by more than the tolerance for other programs on the machine. It is not a command
of the package, since it needs the tests' robot and stand-ins.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import tomllib  # Python 3.11

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
sys.path[:0] = [str(REPOSITORY / folder) for folder in SETTINGS["tool"]["pytest"]["ini_options"]["pythonpath"]]

import engine_promises
import load_promises
import node_promises
import power_promises
import python_promises
from node_runs import use_own_domain
from promise import HEADER, ROOM, SHARE_ROOM, failures_as_promises, has_missed
from signals import reset_signals

from espnet_ros.reporting.machine import describe_environment


def main() -> int:
    """Measure and print every promise. Returns the exit code."""
    reset_signals()
    domain_lock = use_own_domain()
    begun = time.monotonic()
    print(f"{describe_environment()['machine']}; medians of interleaved calls\n\n{HEADER}", flush=True)
    promises = []
    shared = REPOSITORY.parent / "shared"
    with tempfile.TemporaryDirectory() as cache:
        for measured in (
            engine_promises.measure(shared, cache),
            python_promises.measure(cache),
            node_promises.measure(cache),
            load_promises.measure(shared, cache),
            power_promises.measure(),
        ):
            for promise in failures_as_promises(measured):
                promises.append(promise)
                print(promise.row, flush=True)
    domain_lock.release()
    print(
        f"\n{time.monotonic() - begun:.0f} s. Fails only where a ratio is missed by a factor above {ROOM:g}, "
        f"or a share or rate of images by one above {SHARE_ROOM:g}."
    )
    return int(has_missed(promises))


if __name__ == "__main__":
    sys.exit(main())
