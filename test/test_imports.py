"""Imports point down only: the core knows neither ROS nor the command line, and torch stays where networks are."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "espnet_ros"
ROS = ("rclpy", "cv_bridge", "launch", "launch_ros", "tf2_ros", "vision_msgs", "espnet_ros.msg", "espnet_ros.ros")
MAY_IMPORT_ROS = ("ros/",)
MAY_IMPORT_TORCH = (
    "model/espnet.py",
    "model/channels_last_graph.py",
    "model/graph.py",
    "model/int8.py",
    "model/loading.py",
    "engines/native/lowering.py",
    "engines/native/packing.py",
    "engines/native/ranges.py",
    "engines/tensorrt/graph.py",
    "engines/torch_engine.py",
    "benchmark/published.py",
    "benchmark/usual.py",
    "training/",
)


def _modules():
    return sorted(PACKAGE.rglob("*.py"))


def _name(path):
    return path.relative_to(PACKAGE).as_posix()


def _imports(tree, top_level_only):
    nodes = _top_level(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _top_level(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            node.body = []
    return ast.walk(tree)


def _starts_with(module, names):
    return any(module == name or module.startswith(name + ".") for name in names)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_the_core_does_not_import_ros(path):
    if _name(path).startswith(MAY_IMPORT_ROS):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        module
        for module in _imports(tree, top_level_only=True)
        if _starts_with(module, ROS) or module.split(".")[0].endswith("_msgs")
    ]
    assert found == []


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_torch_is_imported_only_where_networks_are(path):
    if _name(path).startswith(MAY_IMPORT_TORCH):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    forbidden = ("torch", "espnet_ros.model.espnet", "espnet_ros.model.graph", "espnet_ros.model.loading")
    assert [module for module in _imports(tree, top_level_only=True) if _starts_with(module, forbidden)] == []


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_nobody_but_the_command_line_exits_the_process(path):
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    exits = [call for call in calls if call in ("sys.exit", "exit", "quit", "os._exit")]
    is_program = 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    assert exits == (["sys.exit"] if is_program else [])


def test_the_generated_package_names_stay_free():
    assert not any((PACKAGE / name).exists() for name in ("msg", "srv", "action"))
