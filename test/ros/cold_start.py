"""A node that builds its first engine on an empty cache, with all processes that it starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import TIMEOUT, wait_until

MARK = "ESPNET_TEST_FAMILY"


class ColdStart:
    """A node that builds its first engine, and all processes that it starts, which inherit a mark.

    Args:
        folder: folder for the cache and the log.
        cache: folder of the engines; by default an empty one in ``folder``.
    """

    def __init__(self, folder, cache=None):
        self.cache = cache or folder / "engines"
        self._log = folder / "log.txt"
        self._mark = f"{MARK}={folder}".encode()
        parameters = {"engine_cache": self.cache, "weights": "street", "backend": "openvino", "autostart": "true"}
        options = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "espnet_ros.ros.node", "--ros-args", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, MARK: str(folder)},
                start_new_session=True,
            )

    @property
    def log(self):
        return self._log.read_text(errors="replace")

    def family(self):
        """Ids of the living processes that the node and its children are."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # ended meanwhile, or of another user
                continue
        return found

    def unfinished(self):
        return list(self.cache.glob(".*unfinished*"))

    def wait_for_converter(self):
        wait_until(lambda: len(self.family()) > 1 and self.unfinished(), "a child converts the network")

    def press_ctrl_c(self, number=signal.SIGINT):
        """Send a signal as the terminal does: to all processes of the foreground group."""
        os.killpg(self.process.pid, number)

    def wait(self):
        """Wait until all processes are gone, and return the node's exit code."""
        try:
            return self.process.wait(TIMEOUT)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            wait_until(lambda: not self.family(), "no process is left")
