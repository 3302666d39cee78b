"""``espnet_ros benchmark frame``: the node's own steps, with a reader in another process."""

import json

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from espnet_ros import cli
from espnet_ros.benchmark.node_steps import camera_message, node_steps


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "jpeg"])
def test_the_nodes_own_steps_bring_the_image_through_and_somebody_reads_the_labels(encoding):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:] = (200, 30, 90)  # BGR
    with node_steps() as steps:
        message = camera_message(image, encoding)
        found = steps.convert(message)
        answer = steps.build(message.header, image[:, :, 0].copy())
        steps.publish(answer)
    blue_first = found.pixels if found.channel_order == "bgr" else found.pixels[:, :, ::-1]
    assert np.abs(blue_first.astype(int) - image).max() <= (3 if encoding == "jpeg" else 0)
    assert (answer.encoding, answer.height, answer.width, answer.data[0]) == ("mono8", 48, 64, 200)


def test_a_frame_is_written_as_table_and_json(tmp_path, capsys):
    code = cli.main(
        ["benchmark", "frame", "--backend", "fake", "--weights", "camvid", "--sizes", "48x64", "108x192",
         "--rounds", "2", "--json", str(tmp_path / "frame.json")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert "| camera | convert | resize | infer | decode | message | publish | whole frame |" in printed
    assert "| 108x192 | " in printed
    document = json.loads((tmp_path / "frame.json").read_text())
    assert document["encoding"] == "rgb8" and "fake" in document["engine"]
    assert [camera["height"] for camera in document["cameras"]] == [48, 108]
