import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec
from espnet_ros.msg import EngineStatus
from espnet_ros.ros.diagnostics import NodeHealth, diagnostic_array, engine_status
from espnet_ros.runtime.engine_exchange import EngineReport, EngineState
from espnet_ros.runtime.image_worker import ImageCounts

TALLY = ImageCounts(
    received=10,
    answered=5,
    failed=1,
    in_progress=1,
    drop_reasons={"a newer image came": 2},
    refused_kinds={"step": 1},
    silence=0.1,
    frame_rate=12.5,
    latency_p50=0.030,
    latency_p95=0.050,
    inference_time=0.025,
)
ENGINE = build_engine(resolve_spec(NodeConfig(backend="fake", weights="cityscapes", input_height=64, input_width=96)))
REPORT = EngineReport(EngineState.ACTIVE, "espnet on fake", ENGINE, ready_alphas=(5, 8))
TAKEOVER = "backend openvino failed (boom); torch took over"
HEALTHY = NodeHealth(
    report=REPORT,
    is_active=True,
    counts=TALLY,
    new_refusals=0,
    new_failures=0,
    last_refusal="",
    last_failure="",
    image_topic="/front/image",
)


def statuses(**changes):
    array = diagnostic_array(HEALTHY._replace(**changes), "/front/espnet", Time(sec=5))
    assert array.header.stamp.sec == 5
    return {status.name: status for status in array.status}


def values(status):
    return {pair.key: pair.value for pair in status.values}


def test_a_healthy_node_is_ok_and_says_what_runs():
    engine, images = statuses()["front/espnet: engine"], statuses()["front/espnet: images"]
    assert (engine.level, images.level) == (DiagnosticStatus.OK, DiagnosticStatus.OK)
    assert values(engine)["backend"] == "fake (requested)"
    assert values(engine)["input_size"] == "64x96"
    assert values(engine)["latency_p95"] == "50.0 ms"
    assert images.message == "12.5 images/s"
    assert values(images)["dropped, a newer image came"] == "2"
    assert values(images)["refused, step"] == "1"


@pytest.mark.parametrize(
    ("part", "changes", "level", "message"),
    [
        ("engine", {"report": EngineReport(EngineState.FAILED, "no device")}, DiagnosticStatus.ERROR, "no device"),
        ("engine", {"report": REPORT._replace(takeover=TAKEOVER)}, DiagnosticStatus.WARN, TAKEOVER),
        ("engine", {"report": REPORT._replace(is_broken=True)}, DiagnosticStatus.ERROR, "espnet on fake"),
        ("engine", {"new_failures": 3, "last_failure": "boom"}, DiagnosticStatus.ERROR, "3 images failed: boom"),
        ("images", {"new_refusals": 2, "last_refusal": "step"}, DiagnosticStatus.WARN, "2 images refused: step"),
        ("images", {"is_active": False}, DiagnosticStatus.OK, "not active"),
        ("images", {"silence_reason": "why"}, DiagnosticStatus.WARN, "no image on /front/image for 0.1 s: why"),
    ],
)
def test_trouble_has_a_level_and_a_reason(part, changes, level, message):
    status = statuses(**changes)[f"front/espnet: {part}"]
    assert (status.level, status.message) == (level, message)


def test_a_node_without_an_engine_has_a_status_too():
    status = engine_status(
        HEALTHY._replace(report=EngineReport(EngineState.NONE, "no engine"), counts=ImageCounts()), Time()
    )
    assert (status.state, status.network, status.alpha, status.received) == (EngineStatus.NONE, "", 0, 0)
    assert list(status.ready_alphas) == []
    engine = statuses(report=EngineReport(EngineState.NONE, "no engine"))["front/espnet: engine"]
    assert "network" not in values(engine)


def test_engine_status_says_what_runs_and_how_it_does():
    status = engine_status(HEALTHY, Time(sec=7))
    assert status.header.stamp.sec == 7
    assert (status.network, status.alpha, status.weights) == ("espnet", 8, "espnet_alpha8_cityscapes")
    assert (status.backend, status.class_table) == ("fake", "cityscapes")
    assert (status.input_height, status.input_width) == (64, 96)
    assert (status.received, status.answered, status.dropped, status.refused, status.failed) == (10, 5, 2, 1, 1)
    assert status.latency_p95 == pytest.approx(0.05)
    assert (list(status.ready_alphas), status.building, status.progress) == ([5, 8], "", -1.0)


def test_engine_status_tells_how_far_a_building_is():
    report = REPORT._replace(building="street (alpha 3): warming up", progress=0.5)
    status = engine_status(HEALTHY._replace(report=report), Time())
    assert (status.building, status.progress) == ("street (alpha 3): warming up", 0.5)
    assert values(statuses(report=report)["front/espnet: engine"])["building"] == "street (alpha 3): warming up"


def test_engine_states_have_the_values_of_the_message():
    assert {state.name: state.value for state in EngineState} == {
        name: getattr(EngineStatus, name) for name in ("NONE", "BUILDING", "ACTIVE", "REPLACING", "FAILED")
    }


def test_missing_images_are_a_warning_from_five_in_a_hundred_on():
    few, many = (
        statuses(missing_share=0.04)["front/espnet: images"],
        statuses(missing_share=1 / 3)["front/espnet: images"],
    )
    assert few.level == DiagnosticStatus.OK
    assert (many.level, values(many)["missing"]) == (DiagnosticStatus.WARN, "33%")
    assert "33% of the images on /front/image do not arrive" in many.message


def test_a_problem_of_the_transport_is_a_warning_until_there_is_a_worse_one():
    problem = "no shared memory"
    images = statuses(transport_problem=problem, missing_share=0.5)["front/espnet: images"]
    assert (images.level, images.message) == (DiagnosticStatus.WARN, problem)
    silent = statuses(transport_problem=problem, silence_reason="why")["front/espnet: images"]
    assert "no image on /front/image for 0.1 s" in silent.message
