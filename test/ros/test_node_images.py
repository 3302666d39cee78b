import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from array import array

from diagnostic_msgs.msg import DiagnosticStatus
from image_messages import damaged, encode
from robot import CAMERA, make_image, to_array
from sensor_msgs.msg import CompressedImage, Image
from waiting import wait_until

from espnet_ros.classes import load_class_table

CITYSCAPES = load_class_table("cityscapes")


def expected_class(brightness):
    """What the fake engine says of an even grey image."""
    return brightness * len(CITYSCAPES) // 256


def test_labels_come_with_the_stamp_and_frame_of_the_image(robot, label_images):
    image = make_image(brightness=200, frame_id="front_camera")
    (labels,) = robot.ask(image, [label_images])
    assert labels.header == image.header
    assert (labels.encoding, labels.height, labels.width, labels.step) == ("mono8", 48, 64, 64)
    assert (to_array(labels) == expected_class(200)).all()


@pytest.mark.parametrize(("height", "width"), [(30, 100), (480, 640)])
def test_labels_have_the_size_of_the_image_whatever_the_engine_takes(robot, label_images, height, width):
    (labels,) = robot.ask(make_image(height=height, width=width), [label_images])
    assert to_array(labels).shape == (height, width)


def test_rgb_and_bgr_are_told_apart(robot, label_images):
    overlays = robot.listen("overlay")
    image = make_image(encoding="rgb8")
    image.data = array("B", np.full((48, 64, 3), (250, 0, 0), np.uint8).tobytes())
    _, overlay = robot.ask(image, [label_images, overlays])
    robot.unlisten(overlays)
    assert overlay.encoding == "rgb8"
    class_color = np.array(CITYSCAPES.classes[expected_class(250 // 3)].color)
    blended = (class_color + np.array((250, 0, 0))) / 2
    assert np.abs(to_array(overlay)[0, 0] - blended).max() <= 1


def test_nv12_is_answered(robot, label_images):
    image = make_image()
    image.encoding, image.step = "nv12", 64
    # Y of grey 130: 16 + 130 * 219 / 255
    image.data = array("B", bytes([128]) * (48 * 64) + bytes([128]) * (24 * 64))
    (labels,) = robot.ask(image, [label_images])
    assert (to_array(labels) == expected_class(130)).all()


def test_confidence_comes_when_someone_listens_with_the_same_header(robot, label_images):
    confidences = robot.listen("confidence")
    image = make_image(brightness=7)
    labels, confidence = robot.ask(image, [label_images, confidences])
    robot.unlisten(confidences)
    assert labels.header == confidence.header == image.header
    assert (to_array(confidence) == 255).all()  # the fake engine is certain of grey


def test_a_best_effort_reader_is_served_too(robot):
    readers = robot.listen("label_image", qos=CAMERA)
    robot.ask(make_image(), [readers])
    robot.unlisten(readers)


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("encoding", {"encoding": "32FC1"}, "image encoding must be one of"),
        ("step", {"step": 100}, "image step must be at least 192"),
        ("data", {"height": 49}, "image data must have at least"),
        ("size", {"width": 0}, "must be above 0"),
    ],
)
def test_a_bad_image_is_counted_shown_warned_about_once_and_survived(node, robot, label_images, kind, changes, reason):
    def refused():
        values = (robot.diagnostic("images") or (None, {}))[1]
        return int(values.get(f"refused, {kind}", 0))

    camera = robot.camera()
    seen = 0
    for _ in range(3):
        image = make_image()
        for name, value in changes.items():
            setattr(image, name, value)
        camera.publish(image)
        wait_until(lambda: refused() > seen, f"a bad {kind} on /diagnostics")  # noqa: B023
        seen = refused()
    assert any(
        status.level == DiagnosticStatus.WARN and reason in status.message
        for message in robot.diagnostics.messages
        for status in message.status
    )
    assert node.log.count(reason) == 1
    robot.ask(make_image(), [label_images])


def test_an_image_nobody_waits_for_is_dropped_and_costs_nothing(robot, label_images):
    robot.unlisten(label_images)
    camera = robot.camera()

    def drops():
        return int(robot.diagnostic("images")[1].get("dropped, nobody listens", 0))

    def publish_until_drops_exceed(count):
        wait_until(lambda: camera.publish(make_image()) or drops() > count, "drops for want of a listener")

    publish_until_drops_exceed(drops())
    before = robot.status()
    publish_until_drops_exceed(drops() + 3)
    after = robot.wait_for_status(lambda status: status.received > before.received + 3, "images received")
    assert after.answered == before.answered


def test_silence_is_warned_about_with_its_reason_and_logged_once(start_node, make_robot):
    node = start_node({}, namespace="silent")
    robot = make_robot("silent")
    other = robot.node.create_publisher(Image, "another_camera/image_raw", CAMERA)

    def wait_for_warning(*texts):
        def warns():
            status, _ = robot.diagnostic("images") or (DiagnosticStatus(), {})
            return status.level == DiagnosticStatus.WARN and all(text in status.message for text in texts)

        wait_until(warns, f"a warning with {texts}")

    wait_for_warning("no image on /silent/image for", "nobody publishes it; images are on ", other.topic_name)
    robot.ask(make_image(), [robot.listen("label_image")])
    wait_for_warning("no image on /silent/image for", "its publisher sends nothing")
    assert node.log.count("no image on /silent/image for") == 2


def test_every_image_is_accounted_for(robot):
    status = robot.status()
    assert status.received == status.answered + status.dropped + status.refused + status.failed
    assert status.failed == 0


def test_compressed_images_are_answered(start_node, make_robot):
    start_node({"image_transport": "compressed"}, namespace="compressed")
    robot = make_robot("compressed")
    labels = robot.listen("label_image")
    _, data = cv2.imencode(".png", np.full((40, 72, 3), 130, np.uint8))
    image = CompressedImage(format="png", data=array("B", data.tobytes()), header=make_image().header)
    (answer,) = robot.ask(image, [labels], "image/compressed")
    assert to_array(answer).shape == (40, 72)
    assert (to_array(answer) == expected_class(130)).all()
    assert answer.header == image.header


def test_damaged_files_are_refused_and_the_next_good_image_is_answered(start_node, make_robot):
    node = start_node({"image_transport": "compressed"}, namespace="damaged")
    robot = make_robot("damaged")
    labels = robot.listen("label_image")
    camera = robot.camera("image/compressed")
    random = np.random.default_rng(15)
    noise = random.integers(0, 256, (40, 72, 3), np.uint8)
    files = [encode(suffix, noise) for suffix in (".jpg", ".png", ".webp", ".tiff")]

    def publish_until_refused(count):
        file = damaged(files[int(random.integers(0, len(files)))], random)
        camera.publish(CompressedImage(format="jpeg", data=array("B", file), header=make_image().header))
        return robot.status().refused >= count

    wait_until(lambda: publish_until_refused(30), "30 damaged images refused")
    good = encode(".png", np.full((40, 72, 3), 130, np.uint8))
    image = CompressedImage(format="png", data=array("B", good), header=make_image().header)
    (answer,) = robot.ask(image, [labels], "image/compressed")
    assert (to_array(answer) == expected_class(130)).all()
    assert robot.status().failed == 0
    assert "Traceback" not in node.log


def test_two_nodes_in_two_namespaces_do_not_hear_each_other(start_node, make_robot):
    sides = ("left", "right")
    for side in sides:
        start_node(namespace=side)
    robots = {side: make_robot(side) for side in sides}
    listeners = {side: robots[side].listen("label_image") for side in sides}
    for side, brightness in (("left", 10), ("right", 240)):
        image = make_image(brightness=brightness, frame_id=side)
        (labels,) = robots[side].ask(image, [listeners[side]])
        assert (to_array(labels) == expected_class(brightness)).all()
    for side in sides:
        assert {message.header.frame_id for message in listeners[side].messages} == {side}
        wait_until(lambda: robots[side].diagnostic("engine"), "diagnostics under its own name")  # noqa: B023
