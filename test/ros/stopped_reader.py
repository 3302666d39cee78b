"""A reader of labels that stops reading, as a program that hangs or is stopped in a debugger does."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from waiting import wait_until

_READER = """
import sys
import rclpy
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("reader")
node.create_subscription(Image, sys.argv[1], lambda message: print("got", flush=True), 10)
rclpy.spin(node)
"""


@contextmanager
def stopped_reader(topic: str, output: Path, send: Callable[[], object]) -> Iterator[None]:
    """A process that subscribes to an image topic reliably, gets one message, and is stopped until the block ends.

    Args:
        topic: full name.
        output: file for what the process prints.
        send: makes the node publish one message.
    """
    with output.open("wb") as stream:
        reader = subprocess.Popen([sys.executable, "-c", _READER, topic], stdout=stream)

    def has_read() -> bool:
        send()
        return output.stat().st_size > 0

    try:
        wait_until(has_read, "the other reader got a message")
        reader.send_signal(signal.SIGSTOP)
        yield
    finally:
        reader.kill()
        reader.wait()
