"""A program: a node and its camera in a /dev/shm of their own. Prints the node's diagnostic and its log as JSON.

Arguments: size of /dev/shm in MiB, number of images to send, folder for the log. Started by ``unshare --mount``.
"""

import json
import subprocess
import sys
from pathlib import Path

from robot import NodeProcess, Robot, make_image
from waiting import wait_until

NODE = {"backend": "fake", "weights": "cityscapes", "input_height": 48, "input_width": 64, "autostart": True}


def main(mebibytes, images, folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", "/dev/shm"], check=True)
    node = NodeProcess(Path(folder) / "log.txt", NODE)
    robot = Robot()
    try:
        labels = robot.listen("label_image")
        wait_until(lambda: robot.state() == "active", "the node is active")
        robot.ask(make_image(), [labels])
        for _ in range(int(images)):
            robot.send(make_image(height=512, width=1024), labels)
        status, _ = wait_until(lambda: robot.diagnostic("images"), "the diagnostic of the images")
        print(json.dumps({"level": ord(status.level), "message": status.message, "log": node.log}))
    finally:
        robot.close()
        node.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
