"""Rules that the tests themselves keep. See CONTRIBUTING.md."""

import ast
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import ros_domain
from dotted_names import dotted_name
from filelock import FileLock
from lanes import LONGEST_SLEEP, assign_lanes

FOLDER = Path(__file__).parent
STANDINS = ("engines/tensorrt_backend/standin", "board/fake_board")
"""Other people's packages, played by files of ours."""
ROS = ("rclpy", "cv_bridge", "tf2_ros", "espnet_ros.ros", "espnet_ros.msg")
ROS_HELPERS = ("robot", "powered")
PUBLIC = ("_replace", "_fields", "_asdict", "_exit")
"""Names of named tuples and of os that are public in spite of their underscore."""
ALLOWED_PRIVATE = {"_Node__parameters"}  # launch_ros offers no other access to the parameters of a node


def _name(path):
    return path.relative_to(FOLDER).as_posix()


FILES = [path for path in sorted(FOLDER.rglob("*.py")) if not _name(path).startswith(STANDINS)]


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree):
    """(module, names) of each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, tuple(alias.name for alias in node.names)


def _is_private(name):
    return name.startswith("_") and not name.startswith("__")


def _private_names(tree):
    """Private names that a file reaches on something other than ``self``, a class of its own or a library."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} | {"self", "cls"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in own
            if not is_own and node.attr not in (
                "_replace",
                "_fields",
                "_asdict",
                "_exit",
            ):  # public, of named tuples and os
                yield node.attr
        elif isinstance(node, ast.Call) and dotted_name(node.func) in ("monkeypatch.setattr", "mock.patch.object"):
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            if not dotted_name(node.args[0]).startswith("torch."):
                yield from (text for text in texts if isinstance(text, str) and _is_private(text.split(".")[-1]))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_private_attribute_is_reached(path):
    tree = _tree(path)
    found = [name for name in _private_names(tree) if name not in ALLOWED_PRIVATE]
    imported = [
        name
        for module, names in _imports(tree)
        if module.startswith("espnet_ros")
        for name in names
        if _is_private(name)
    ]
    assert found + imported == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_is_imported_from_a_module_of_tests(path):
    modules = [module for module, _ in _imports(_tree(path))]
    assert [module for module in modules if module.startswith("test_") or module == "conftest"] == []


@pytest.mark.parametrize("path", [path for path in FILES if not _name(path).startswith(("ros/", "bench/"))], ids=_name)
def test_ros_is_used_in_its_folder_only(path):
    found = [
        module
        for module, names in _imports(_tree(path))
        for each in (module, *(f"{module}.{name}" for name in names))
        if each in ROS_HELPERS or any(each == ros or each.startswith(ros + ".") for ros in ROS)
    ]
    assert found == []


class Item:
    """A collected test."""

    def __init__(self, *marks, path=FOLDER / "test_a.py", fixturenames=()):
        self.nodeid, self.path, self.fixturenames = "test_a.py::test", path, fixturenames
        self.marks = list(marks)

    def get_closest_marker(self, name):
        return name if name in self.marks else None

    def add_marker(self, name):
        self.marks.append(name)


@pytest.mark.parametrize(
    ("item", "lane"),
    [
        (Item(), "fast"),
        (Item("slow"), "slow"),
        (Item("process"), "process"),
        (Item(fixturenames=["tmp_path", "tx2"]), "process"),
        (Item("slow", fixturenames=["tx2"]), "slow"),
        (Item(path=FOLDER / "ros" / "test_a.py", fixturenames=["tx2"]), "ros"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_test_is_in_exactly_one_lane(item, lane):
    assign_lanes([item])
    assert item.marks == [lane]


@pytest.mark.parametrize("item", [Item("slow", "process"), Item("slow", path=FOLDER / "ros" / "test_a.py")])
def test_a_test_in_two_lanes_is_refused(item):
    with pytest.raises(pytest.UsageError, match=r"test_a.py::test is in the lanes \w+ and slow|process and slow"):
        assign_lanes([item])


def test_the_guard_refuses_a_process_in_the_fast_lane():
    with pytest.raises(pytest.fail.Exception, match=r"the fast lane starts a process \(subprocess.Popen\(true"):
        subprocess.Popen(["true"])


def _fork():
    if os.fork() == 0:
        os._exit(0)


@pytest.mark.parametrize(
    ("start", "event"), [(_fork, "os.fork"), (lambda: os.system("true"), "os.system")], ids=["fork", "system"]
)
def test_the_guard_refuses_what_starts_a_process_without_subprocess(start, event):
    with pytest.raises(pytest.fail.Exception, match=rf"a test of the fast lane starts a process \({event}"):
        start()


def test_the_guard_names_an_event_without_arguments():
    with pytest.raises(pytest.fail.Exception, match=r"starts a process \(os.fork\): mark it 'process'"):
        sys.audit("os.fork")


def test_the_guard_refuses_a_long_sleep_in_the_fast_lane_and_lets_a_short_one_pass():
    time.sleep(0.001)
    with pytest.raises(pytest.fail.Exception, match="a test of the fast lane sleeps for 0.11 s: mark it 'process'"):
        time.sleep(LONGEST_SLEEP + 0.01)


@pytest.mark.xfail(raises=pytest.fail.Exception, strict=True, reason="the thread sleeps, and so the test fails")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_guard_fails_a_test_whose_thread_sleeps_long():
    thread = threading.Thread(target=time.sleep, args=(LONGEST_SLEEP + 0.01,))
    thread.start()
    thread.join()


@pytest.mark.process
def test_the_guard_leaves_the_other_lanes_alone():
    subprocess.run(["true"], check=True)
    time.sleep(LONGEST_SLEEP + 0.01)


def test_a_ros_domain_is_taken_once(tmp_path):
    first, lock = ros_domain.take_domain(tmp_path)
    second, other = ros_domain.take_domain(tmp_path)
    assert (first, second) == (1, 2)
    lock.release()
    assert ros_domain.take_domain(tmp_path)[0] == 1
    other.release()


def test_without_a_free_ros_domain_the_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ros_domain, "DOMAINS", range(1, 2))
    with FileLock(str(tmp_path / "espnet_ros_test_domain_1.lock")), pytest.raises(
        ros_domain.NoFreeDomainError, match="ROS domains 1 to 1 are all in use"
    ):
        ros_domain.take_domain(tmp_path)
