"""The governor in the node. The engine takes the time that the test says, so any machine gives the same decisions."""

import threading
from itertools import cycle

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from robot import LATCHED, make_image
from slowed_engine import LOADED, PROGRAM, RATE, UNDISTURBED, Load
from waiting import wait_until

from espnet_ros.msg import EngineStatus, PowerStatus

CAMERA_PERIOD = 0.05  # s


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    return Load(tmp_path_factory.mktemp("load") / "slowdown")


@pytest.fixture(scope="module")
def node(start_node, load):
    return start_node(
        {"alpha": 8, "governor_alphas": "'3, 8'", "governor_hold": 3.0, "image_timeout": 5.0},
        environment=load.environment,
        program=PROGRAM,
    )


@pytest.fixture(scope="module")
def power(robot):
    return robot.listen("power_status", PowerStatus, LATCHED)


@pytest.fixture
def stream(robot, label_images):
    """A camera of 20 images per second."""
    camera, is_ending = robot.camera(), threading.Event()

    def publish():
        for image in cycle([make_image(brightness) for brightness in (60, 120)]):
            image.header.stamp = make_image().header.stamp
            camera.publish(image)
            if is_ending.wait(CAMERA_PERIOD):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    is_ending.set()
    thread.join()


@pytest.fixture(autouse=True)
def show_reasons(power):
    """What the governor said, shown where a test fails."""
    began = len(power.messages)
    yield
    told = zip(power.times[began:], power.messages[began:])
    print("\n".join(f"{when:.1f}: {message.governor_reason}" for when, message in told))


def test_rate_steps_alpha_down_under_a_load_and_up_again_after_it(robot, power, label_images, load, stream):
    wait_until(lambda: power.last and power.last.latency_p50 > 0, "a measurement of alpha 8")
    assert robot.set(governor="rate", governor_rate=RATE) == ""
    robot.wait_for_status(lambda status: list(status.ready_alphas) == [3, 8], "alpha 3 is ready")
    decided = len(power.messages)
    wait_until(lambda: len(power.messages) > decided + 3, "more decisions")
    assert robot.get("alpha") == 8
    assert power.last.governor == "rate"
    assert power.last.governor_target == RATE
    assert power.last.governor_changes == 0
    assert power.last.governor_reason.startswith("rate: ")
    assert f"{RATE:.3g}" in power.last.governor_reason

    load.set(LOADED)
    robot.wait_for_status(lambda status: status.alpha == 3, "the governor steps down")
    down = wait_until(
        lambda: next((status for status in power.messages if status.governor_changes == 1), None), "the change is told"
    )
    assert robot.get("alpha") == 3
    loaded = len(label_images.messages)
    wait_until(lambda: len(label_images.messages) > loaded + 10, "answers keep coming")
    assert "alpha 3, 48x64" in down.governor_change

    load.set(UNDISTURBED)
    robot.wait_for_status(lambda status: status.alpha == 8, "the governor steps up again")
    up = wait_until(
        lambda: next((status for status in power.messages if status.governor_changes == 2), None), "the change is told"
    )
    assert "alpha 8, 48x64" in up.governor_change
    assert robot.get("alpha") == 8
    assert robot.statuses.last.state == EngineStatus.ACTIVE
    assert robot.statuses.last.failed == 0


def test_a_person_may_change_alpha_under_the_governor_and_switch_it_off(robot, power, label_images, stream):
    assert robot.set(governor="off") == ""
    wait_until(lambda: power.last.governor == "off" and power.last.governor_reason == "", "it is off")
    assert robot.set(alpha=3) == ""
    robot.wait_for_status(lambda status: status.alpha == 3, "alpha 3")


def test_a_promise_without_its_reading_changes_nothing_and_says_so(robot, power, label_images, stream):
    if power.last.source not in ("", "none"):
        pytest.skip(f"this machine has telemetry: {power.last.source}")
    assert robot.set(governor="power", governor_power=5.0) == ""
    wait_until(lambda: "the power is unknown" in power.last.governor_reason, "it says so")
    assert robot.get("alpha") == 3
