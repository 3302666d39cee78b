"""Subscribe to label images until standard input closes: the receiving end of a benchmark."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress


def main(topic: str) -> int:
    """Receive and discard messages; return the exit code."""
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    from espnet_ros.ros.log_folder import log_arguments
    from espnet_ros.ros.publishers import IMAGE_QOS

    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole process group, but the benchmark stops this process
    rclpy.init(args=log_arguments(), signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("espnet_benchmark_reader")
    node.create_subscription(Image, topic, lambda _message: None, IMAGE_QOS)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    sys.stdin.read()
    executor.shutdown()
    rclpy.try_shutdown()
    thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
