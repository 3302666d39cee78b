"""The rooms of the package: which imports which, who may use ROS and torch, and how large a file may be."""

import ast
import re
from pathlib import Path

import pytest
from dotted_names import dotted_name

PACKAGE = Path(__file__).resolve().parents[1] / "espnet_ros"
LAYERS = [
    "programs",
    "cli",
    "commands",
    "benchmark",
    "ros",
    "demo, runtime",
    "training",
    "loading",
    "calibration",
    "synthetic",
    "evaluation",
    "tiling",
    "segmenter",
    "engines",
    "governor",
    "telemetry, board",
    "model, costmap, reporting",
    "config",
    "overlay",
    "image_encoding, types",
    "classes",
    "resources, headers, yaml_files",
    "errors, stopping, bound_process",
]
"""The layers from top to bottom. A room imports only from lower rows: neither from higher ones nor from its own row."""

ROS = re.compile(r"(rclpy|cv_bridge|launch|launch_ros|tf2_ros|bond|ament_index_python|\w+_msgs|espnet_ros\.msg)(\..*)?")
USES_ROS = {"ros"}
"""Rooms that are ROS code. Rooms above them may import ROS inside functions, and rooms below them not at all."""

USES_TORCH = {"model", "engines", "training", "benchmark"}
"""Rooms that may import torch inside functions, and at the top of these modules:"""
LOADS_TORCH = (
    "model/espnet.py",
    "model/channels_last_graph.py",
    "model/graph.py",
    "model/inert_unpickler.py",
    "model/int8.py",
    "model/loading.py",
    "model/recognition.py",
    "model/state_dict.py",
    "engines/native/lowering.py",
    "engines/native/packing.py",
    "engines/native/ranges.py",
    "engines/tensorrt/graph.py",
    "engines/torch_engine.py",
    "benchmark/published.py",
    "benchmark/runtimes.py",
    "training/",
)
LOADING_TORCH = re.compile(
    r"(torch|espnet_ros\.model\."
    r"(espnet|graph|inert_unpickler|loading|int8|channels_last_graph|recognition|state_dict))(\..*)?"
)

MAX_LINES = 350
ROW_OF = {room: row for row, rooms in enumerate(LAYERS) for room in rooms.split(", ")}


def _modules():
    return sorted(PACKAGE.rglob("*.py"))


def _name(path):
    return path.relative_to(PACKAGE).as_posix()


def _room(path):
    """Room of a module: the first folder of its path, or its own name."""
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


def _parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(nodes):
    """Dotted names of all modules that the nodes import, also of submodules that are imported from their package."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            if node.module == "espnet_ros":
                yield from (f"espnet_ros.{alias.name}" for alias in node.names if alias.name != "__version__")
            else:
                yield node.module


def _modules_named(tree):
    """Modules of the package that a text names, to import them later or to run them as programs."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [text for text in texts if re.fullmatch(r"espnet_ros(\.\w+)+", text)]


def _executed_on_import(tree):
    """All nodes outside of functions and of what only a type checker reads."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and dotted_name(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def test_every_room_is_in_one_layer_and_every_layer_is_there():
    rooms = {_room(path) for path in _modules()} - {"__init__"}
    assert rooms == set(ROW_OF)
    assert len(ROW_OF) == sum(len(rooms.split(", ")) for rooms in LAYERS)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_imports_point_down(path):
    room = _room(path)
    if room == "__init__":  # the front door, which loads the public names on first use; see test_library.py
        return
    tree = _parse(path)
    imported = {
        name.split(".")[1]
        for name in [*_imports(ast.walk(tree)), *_modules_named(tree)]
        if name.startswith("espnet_ros.") and not ROS.fullmatch(name)
    }
    assert [other for other in sorted(imported - {room}) if ROW_OF[other] <= ROW_OF[room]] == []


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_ros_is_imported_by_the_ros_room_and_above_it_inside_functions(path):
    room = _room(path)
    if room in USES_ROS:
        return
    is_above = room in ROW_OF and ROW_OF[room] < min(ROW_OF[each] for each in USES_ROS)
    tree = _parse(path)
    names = _imports(_executed_on_import(tree) if is_above else ast.walk(tree))
    assert [name for name in names if ROS.fullmatch(name) or name.startswith("espnet_ros.ros.")] == []


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_torch_is_imported_only_where_networks_are(path):
    tree = _parse(path)
    if _room(path) not in USES_TORCH:
        assert [name for name in _imports(ast.walk(tree)) if LOADING_TORCH.fullmatch(name)] == []
    elif not _name(path).startswith(LOADS_TORCH):
        assert [name for name in _imports(_executed_on_import(tree)) if LOADING_TORCH.fullmatch(name)] == []


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_matplotlib_and_jinja2_are_imported_only_where_something_is_drawn_or_written(path):
    names = [name.partition(".")[0] for name in _imports(_executed_on_import(_parse(path)))]
    assert {"matplotlib", "jinja2"}.intersection(names) == set()


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_only_the_command_line_and_programs_exit_the_process(path):
    calls = [dotted_name(node.func) for node in ast.walk(_parse(path)) if isinstance(node, ast.Call)]
    exits = [call for call in calls if call in ("sys.exit", "exit", "quit", "os._exit")]
    is_program = 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    for_programs = ["os._exit"] if path.name == "stopping.py" else []  # while threads run or modules are imported
    assert exits == (["sys.exit"] if is_program else for_programs)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_no_file_is_longer_than_a_reader_can_follow(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("folder", sorted({path.parent for path in _modules()}), ids=lambda folder: folder.name)
def test_each_folder_says_what_lives_there(folder):
    text = ast.get_docstring(_parse(folder / "__init__.py"))
    assert text and 3 <= len(text.splitlines()) <= 8
    assert "Start " in text, "where to start reading"
    assert folder == PACKAGE or "ay import" in text or "mports only" in text, "what it may import"


def test_the_generated_package_names_stay_free():
    assert not any((PACKAGE / name).exists() for name in ("msg", "srv", "action"))


def test_the_architecture_page_shows_the_layers():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = page.split("```")[1].strip().splitlines()
    assert [line.split("  ")[0] for line in picture] == LAYERS
