"""How small a node is that starts on an engine that is built already."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from robot import make_image

from espnet_ros.config import NodeConfig
from espnet_ros.engines import build_engine
from espnet_ros.loading import resolve_spec

MEMORY = 400e6  # bytes resident, with the 67e6 of Fast DDS's segment (config/fastdds_large_images.xml)
IMAGES = 20
SMALL, LARGE = (360, 480), (512, 1024)


@pytest.mark.timeout(900)  # where the engine is not built yet, this one builds it
@pytest.mark.parametrize(
    ("backend", "input_size", "image_sizes", "outputs"),
    [
        ("native", SMALL, (SMALL, LARGE), ("label_image", "overlay", "confidence")),
        ("native", LARGE, (LARGE, SMALL), ("label_image", "overlay")),
        ("openvino", LARGE, (LARGE,), ("label_image", "overlay")),
        ("openvino", LARGE, (LARGE,), ("label_image", "confidence")),
    ],
)
def test_a_node_on_a_built_engine_starts_without_torch_and_small(
    start_node, make_robot, engine_cache, backend, input_size, image_sizes, outputs
):
    pytest.importorskip({"native": "llvmlite"}.get(backend, backend))
    height, width = input_size
    asked = {"backend": backend, "weights": "street", "alpha": 8, "input_height": height, "input_width": width}
    build_engine(resolve_spec(NodeConfig(**asked, engine_cache=engine_cache))).close()
    namespace = f"start_{backend}_{height}_{outputs[-1]}"
    node = start_node({**asked, "engine_cache": engine_cache, "autostart": False}, namespace)
    robot = make_robot(namespace)
    recorders = [robot.listen(output) for output in outputs]
    assert robot.change_state("configure"), node.log
    assert robot.change_state("activate"), node.log
    robot.ask(make_image(height=height, width=width), recorders)
    for image_height, image_width in image_sizes:
        for brightness in range(IMAGES):
            robot.ask(make_image(brightness, image_height, image_width), recorders)
    memory = node.memory()
    assert memory < MEMORY
    assert not node.has_loaded("torch")
    assert "engine cache" not in node.log, node.log  # nothing to wait for, to build again, or to warn of
