"""Runs the node in a process of its own, and ends it cleanly whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import yaml

from espnet_ros.config import NodeConfig
from espnet_ros.errors import NodeError
from espnet_ros.resources import share_folder

_STOP_TIMEOUT_S = 10.0
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


class NodeProcess:
    """A running node.

    Attributes:
        log: file with everything the node says.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    def require_running(self) -> None:
        """Check that the node lives.

        Raises:
            NodeError: it has ended; the message has the last line that it said.
        """
        code = self._process.poll()
        if code is not None:
            raise NodeError(f"the node ended by itself with exit code {code}: {self.last_line()} (see {self.log})")

    def last_line(self) -> str:
        """Last line of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def stop(self) -> int:
        """Ask the node to end, and wait; kill it only when it does not end in time. Returns its exit code."""
        if self._process.poll() is None:
            # SIGTERM: SIGINT is ignored by whatever was started in the background of a script.
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def run_node(config: NodeConfig, domain_id: int, log: Path) -> Iterator[NodeProcess]:
    """Start the node, give it to the caller, and end it afterwards, also after an error or Ctrl-C.

    Args:
        config: its parameters.
        domain_id: ROS domain that it lives in.
        log: file for its output; overwritten.
    """
    with tempfile.TemporaryDirectory(prefix="espnet_") as folder, log.open("wb") as output:
        parameters = Path(folder) / "parameters.yaml"
        document = {"/**": {"ros__parameters": config.as_dict()}}
        parameters.write_text(yaml.safe_dump(document), encoding="utf-8")
        command = [sys.executable, "-m", "espnet_ros.ros.node", "--ros-args", "--params-file", str(parameters)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
            # A Ctrl-C in the terminal is ours; the node is told when its last frame is done with.
            start_new_session=True,
        )
        node = NodeProcess(process, log)
        try:
            yield node
        finally:
            node.stop()


def use_large_image_profile() -> None:
    """Let Fast DDS carry whole images, in this process and those it starts, unless a profile is set already."""
    profile = str(share_folder() / "config" / "fastdds_large_images.xml")
    for variable in _PROFILE_VARIABLES:
        os.environ.setdefault(variable, profile)
