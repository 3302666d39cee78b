"""Waiting for an event. A test waits for what must happen, never for a time that should be enough."""

import time

TIMEOUT = 120.0
"""Seconds after which an event counts as never happening, on a machine that may be busy."""


def wait_until(condition, what, timeout=TIMEOUT):
    """Poll until ``condition()`` is true and return it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.01)
