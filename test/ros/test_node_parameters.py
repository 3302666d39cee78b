import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from diagnostic_msgs.msg import DiagnosticStatus
from robot import make_image, to_array
from waiting import wait_until

from espnet_ros.msg import EngineStatus
from espnet_ros.types import UNLABELLED

BROKEN_FACTS = """
network: espnet
alpha: 3
classes: cityscapes
mean_bgr: [70, 80, 70]
std_bgr: [40, 40, 40]
input_size: [48, 64]
"""


@pytest.fixture(autouse=True)
def defaults(robot):
    """Each test finds the node as it started."""
    yield
    assert robot.set_together(weights="cityscapes", alpha=8, network="espnet", backend="fake") == ""
    assert robot.set_together(input_height=48, input_width=64, max_rate=0.0, min_confidence=0.0) == ""
    robot.wait_for_status(
        lambda s: (s.weights, s.input_height, s.state) == ("espnet_alpha8_cityscapes", 48, EngineStatus.ACTIVE),
        "the engine of the defaults",
    )


def test_alpha_changes_while_images_flow(robot, label_images):
    robot.ask(make_image(), [label_images])
    assert robot.set(alpha=3) == ""
    status = robot.wait_for_status(lambda s: s.alpha == 3, "alpha 3")
    assert status.weights == "espnet_alpha3_cityscapes"
    robot.ask(make_image(), [label_images])


def test_weights_of_other_classes_change_the_labels(robot, label_images):
    assert robot.set(weights="camvid") == ""
    robot.wait_for_status(lambda s: s.class_table == "camvid", "CamVid's classes")
    (labels,) = robot.ask(make_image(brightness=255), [label_images])
    assert (to_array(labels) == 11).all()


def test_the_size_of_the_input_changes_one_side_at_a_time(robot, label_images):
    assert robot.set(input_height=0) == ""
    assert robot.set(input_width=0) == ""
    robot.wait_for_status(lambda s: (s.input_height, s.input_width) == (512, 1024), "the trained size")
    assert robot.set(input_width=128) == ""
    robot.wait_for_status(lambda s: (s.input_height, s.input_width) == (64, 128), "the size in the trained shape")
    (labels,) = robot.ask(make_image(height=30, width=100), [label_images])
    assert to_array(labels).shape == (30, 100)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("alpha", 4, "alpha must be one of 3, 5, 8, is 4"),
        ("network", "unet", "network must be one of espnet, espnet_c, is 'unet'"),
        ("weights", "kitti", "neither a file"),
        ("weights", "/nowhere/net.pth", "weights /nowhere/net.pth: cannot be read: No such file or directory"),
        ("classes", "camvid", "class table 'camvid' has 12 classes, but checkpoint"),
        ("input_width", 100, "100"),
        ("input_width", -8, "-8"),
        ("max_rate", -1.0, "-1.0"),
        ("max_rate", "fast", "max_rate must be of type float, is 'fast' (str)"),
        ("alpha", "3", "Wrong parameter type"),
        ("image_transport", "compressed", "read-only"),
    ],
)
def test_a_bad_value_is_refused_with_a_reason_and_nothing_changes(robot, name, value, reason):
    before, status = robot.get(name), robot.status()
    assert reason in robot.set(**{name: value})
    assert robot.get(name) == before
    after = robot.wait_for_status(lambda s: s.header.stamp != status.header.stamp, "another status")
    assert (after.state, after.weights, after.input_width) == (status.state, status.weights, status.input_width)


def test_one_bad_value_refuses_all_that_are_set_together(robot):
    assert "alpha must be one of" in robot.set_together(network="espnet_c", alpha=4)
    assert robot.get("network", "alpha") == ["espnet", 8]


def test_a_single_checkpoint_sets_network_and_alpha(node, robot):
    assert robot.set(weights="espnet_c_alpha3_cityscapes") == ""
    wait_until(lambda: robot.get("network", "alpha") == ["espnet_c", 3], "parameters that match the checkpoint")
    robot.wait_for_status(lambda s: (s.network, s.alpha) == ("espnet_c", 3), "the checkpoint's network")
    assert "set network espnet_c, alpha 3 to match weights 'espnet_c_alpha3_cityscapes'" in node.log
    assert "set weights to a family, such as 'cityscapes'" in robot.set(alpha=5)


def test_a_whole_number_is_taken_for_max_rate_and_limits_the_rate(robot, label_images):
    assert robot.set(max_rate=5) == ""
    camera = robot.camera()
    camera.publish(make_image())
    first, start = len(label_images.messages), time.monotonic()

    def has_answered():
        camera.publish(make_image())
        return len(label_images.messages) >= first + 8

    wait_until(has_answered, "answers at the limited rate")
    assert 2 + 5 * (time.monotonic() - start) >= 8
    wait_until(lambda: int(robot.diagnostic("images")[1].get("dropped, max_rate", 0)) > 50, "drops by max_rate")


def test_min_confidence_applies_at_once(robot, label_images):
    assert robot.set(min_confidence=0.9) == ""
    image = make_image()
    image.data[0] = 255  # the fake engine is less certain of a colour than of grey
    wait_until(
        lambda: to_array(robot.ask(make_image_with(image), [label_images])[0])[0, 0] == UNLABELLED, "an unsure pixel"
    )


def make_image_with(image):
    """The same pixels with a new stamp."""
    copy = make_image()
    copy.data = image.data
    return copy


def test_many_changes_in_a_row_end_with_the_last(robot, label_images):
    for alpha in (3, 5, 8, 3, 5):
        assert robot.set(alpha=alpha) == ""
    robot.wait_for_status(lambda s: s.alpha == 5 and s.state == EngineStatus.ACTIVE, "the last change")
    assert robot.get("alpha") == 5
    robot.ask(make_image(), [label_images])


def test_when_a_build_fails_the_old_engine_goes_on_and_the_parameters_go_back(node, robot, label_images, tmp_path):
    torch = pytest.importorskip("torch", reason="needs PyTorch, whose engine is made to fail")
    broken = tmp_path / "broken.pth"
    torch.save({"weight": torch.zeros(3)}, broken)  # passes until a network is built from it
    broken.with_suffix(".yaml").write_text(BROKEN_FACTS, encoding="utf-8")
    robot.ask(make_image(), [label_images])

    assert robot.set_together(weights=str(broken), backend="torch") == ""
    robot.wait_for_status(lambda s: s.state == EngineStatus.REPLACING, "building")
    robot.ask(make_image(), [label_images])
    status = robot.wait_for_status(lambda s: s.state == EngineStatus.FAILED, "the failure")

    assert "broken.pth" in status.message
    assert (status.weights, status.backend) == ("espnet_alpha8_cityscapes", "fake")
    wait_until(lambda: robot.get("weights", "backend", "alpha") == ["cityscapes", "fake", 8], "the old parameters")
    wait_until(lambda: robot.diagnostic("engine")[0].level == DiagnosticStatus.ERROR, "an error on /diagnostics")
    assert "keeping the current engine" in node.log
    robot.ask(make_image(), [label_images])
    assert robot.set(alpha=3) == ""
    robot.wait_for_status(lambda s: s.alpha == 3 and s.state == EngineStatus.ACTIVE, "another try that works")


def test_a_bad_value_at_start_ends_the_node_with_its_reason(start_node):
    node = start_node({"alpha": 4}, namespace="wrong")
    assert node.wait() == 1
    assert "alpha must be one of 3, 5, 8, is 4" in node.log
    assert "Traceback" not in node.log


def test_a_value_of_the_wrong_type_at_start_ends_the_node_with_its_reason(start_node):
    node = start_node({"alpha": "many"}, namespace="wrong")
    assert node.wait() == 1
    assert "alpha must be of type int" in node.log
    assert "Traceback" not in node.log
