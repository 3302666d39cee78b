"""Run the node in its own process, and always stop it cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import yaml

from espnet_ros.bound_process import bound_command
from espnet_ros.config import NodeConfig
from espnet_ros.errors import NodeError
from espnet_ros.resources import share_folder

_STOP_TIMEOUT_S = 10.0
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


class NodeProcess:
    """A running node.

    Attributes:
        log: file with the output of the node.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self.log = log

    def require_running(self) -> None:
        """Check that the node is still running.

        Raises:
            NodeError: it has exited; the message has the last line of its log.
        """
        code = self._process.poll()
        if code is not None:
            raise NodeError(f"the node exited unexpectedly with code {code}: {self.last_line()} (see {self.log})")

    def last_line(self) -> str:
        """Return the last line of the log that is not blank."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")

    def stop(self) -> int:
        """Terminate the node and return its exit code. It is killed if it does not exit in time."""
        if self._process.poll() is None:
            # SIGTERM, because processes that a script starts in the background ignore SIGINT.
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def run_node(config: NodeConfig, domain_id: int, log: Path) -> Iterator[NodeProcess]:
    """Run the node during a ``with`` block. It is stopped at the end, also after an error, Ctrl-C or SIGKILL.

    Args:
        config: parameters of the node.
        domain_id: ROS domain of the node.
        log: file for its output; overwritten.
    """
    with tempfile.TemporaryDirectory(prefix="espnet_") as folder, log.open("wb") as output:
        parameters = Path(folder) / "parameters.yaml"
        document = {"/**": {"ros__parameters": config.as_dict()}}
        parameters.write_text(yaml.safe_dump(document), encoding="utf-8")
        arguments = ("--ros-args", "--params-file", str(parameters))
        process = subprocess.Popen(
            bound_command("espnet_ros.ros.node", *arguments, ending=signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
            # Ctrl-C in the terminal must not reach the node: it is stopped after its last frame.
            start_new_session=True,
        )
        node = NodeProcess(process, log)
        try:
            yield node
        finally:
            node.stop()


def use_large_image_profile() -> None:
    """Configure Fast DDS for large images, in this process and its children, unless a profile is already set."""
    profile = str(share_folder() / "config" / "fastdds_large_images.xml")
    for variable in _PROFILE_VARIABLES:
        os.environ.setdefault(variable, profile)
