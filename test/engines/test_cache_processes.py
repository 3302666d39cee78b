"""Several processes and one cache: every builder here is a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from espnet_ros.engines import cache as cache_module
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.cache_entry import entry_name

pytestmark = pytest.mark.process

KEY = {"backend": "openvino", "alpha": "8"}
NAME = entry_name(KEY)
TIMEOUT = 60.0

# Builds an entry in two halves. Between them it waits for a file, so that the test decides how long building takes.
_BUILDER = """
import sys, time
from pathlib import Path
from espnet_ros.engines.cache import EngineCache
folder, who, gate = sys.argv[1], sys.argv[2], Path(sys.argv[3])
def build(unfinished):
    (unfinished / "first").write_text(who)
    print("building", flush=True)
    while not gate.exists():
        time.sleep(0.01)
    (unfinished / "second").write_text(who)
print("starting", flush=True)
entry = EngineCache(folder).find_or_build({"backend": "openvino", "alpha": "8"}, build)
print((entry / "first").read_text() + (entry / "second").read_text(), flush=True)
"""


class Builder:
    """A process that wants the entry of KEY."""

    def __init__(self, cache, who, gate):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", _BUILDER, str(cache.folder), who, str(gate)]
        self._log = gate.with_name(f"{who}.log")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    @property
    def lines(self):
        return self._log.read_text().splitlines()

    def wait_for(self, text):
        deadline = time.monotonic() + TIMEOUT
        while not any(text in line for line in self.lines):
            assert time.monotonic() < deadline and self.process.poll() is None, f"no '{text}' in {self.lines}"
            time.sleep(0.01)

    def end(self):
        assert self.process.wait(TIMEOUT) == 0, self.lines
        return self.lines[-1]


@pytest.fixture
def cache(tmp_path):
    return EngineCache(str(tmp_path / "engines"))


@pytest.fixture
def gate(tmp_path):
    """Building goes on once this file is there."""
    return tmp_path / "gate"


@pytest.fixture
def start(cache, gate):
    builders = []

    def start_one(who):
        builders.append(Builder(cache, who, gate))
        return builders[-1]

    yield start_one
    for builder in builders:
        builder.process.kill()
        builder.process.wait()


def _unfinished(cache):
    return [path for path in cache.folder.iterdir() if ".unfinished-" in path.name]


def test_of_two_processes_one_builds_and_both_get_the_entry(cache, gate, start):
    first = start("a")
    first.wait_for("building")
    second = start("b")
    second.wait_for(f"engine cache: another process is building {cache.folder / NAME}; waiting for it")
    gate.touch()
    assert (first.end(), second.end()) == ("aa", "aa")
    assert "building" not in second.lines
    (entry,) = cache.entries()
    assert cache.verify(entry) == ""
    assert _unfinished(cache) == []


def test_of_processes_that_start_at_once_one_builds(cache, gate, start):
    gate.touch()
    builders = [start(who) for who in "abcd"]
    ends = {builder.end() for builder in builders}
    assert len(ends) == 1 and ends < {"aa", "bb", "cc", "dd"}
    assert sum("building" in builder.lines for builder in builders) == 1
    assert len(cache.entries()) == 1


def test_when_the_builder_is_killed_the_one_that_waits_builds(cache, gate, start):
    first = start("a")
    first.wait_for("building")
    second = start("b")
    second.wait_for("waiting for it")
    assert [(path / "first").read_text() for path in _unfinished(cache)] == ["a"]
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(TIMEOUT)
    second.wait_for("building")
    gate.touch()
    assert second.end() == "bb"
    assert _unfinished(cache) == []
    assert cache.find(KEY) is not None


def test_what_a_dead_builder_left_is_removed_with_the_next_entry_of_any_key(cache, gate, start):
    builder = start("a")
    builder.wait_for("building")
    builder.process.kill()
    builder.process.wait(TIMEOUT)
    assert len(_unfinished(cache)) == 1
    cache.find_or_build({**KEY, "alpha": "3"}, lambda folder: (folder / "model.bin").write_text("x"))
    assert _unfinished(cache) == []


def test_the_files_of_a_living_builder_are_left_alone(cache, gate, start):
    builder = start("a")
    builder.wait_for("building")
    cache.find_or_build({**KEY, "alpha": "3"}, lambda folder: (folder / "model.bin").write_text("x"))
    assert [(path / "first").read_text() for path in _unfinished(cache)] == ["a"]
    gate.touch()
    assert builder.end() == "aa"


def test_another_entry_is_built_meanwhile(cache, gate, start):
    start("a").wait_for("building")
    entry = cache.find_or_build({**KEY, "alpha": "3"}, lambda folder: (folder / "model.bin").write_text("x"))
    assert (entry / "model.bin").read_text() == "x"


def test_a_process_that_waits_too_long_builds_for_itself(cache, gate, start, monkeypatch, caplog):
    start("a").wait_for("building")
    monkeypatch.setattr(cache_module, "LOCK_TIMEOUT", 0.1)
    entry = cache.find_or_build(KEY, lambda folder: (folder / "first").write_text("mine"))
    assert (entry / "first").read_text() == "mine" and entry.parent != cache.folder
    assert f"has {NAME} locked by a process that does not finish; this engine will not be cached" in caplog.text


_READER = """
import sys
from pathlib import Path
from espnet_ros.engines.cache import EngineCache
cache, key, stop = EngineCache(sys.argv[1]), {"backend": "openvino", "alpha": "8"}, Path(sys.argv[2])
while not stop.exists():
    entry = cache.find(key)
    try:
        found = None if entry is None else {(entry / name).read_text() for name in ("first", "second")}
    except FileNotFoundError:  # replaced since it was found
        continue
    assert found in (None, {"1"}, {"2"}), found
    if found is not None:
        print("read", flush=True)
"""


def test_readers_see_a_whole_entry_or_none_while_it_is_built_again(cache, tmp_path):
    def build(folder):
        for name in ("first", "second"):
            (folder / name).write_text("2")
            time.sleep(0.01)

    def write_first(folder):
        for name in ("first", "second"):
            (folder / name).write_text("1")

    cache.find_or_build(KEY, write_first)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _READER, str(cache.folder), str(tmp_path / "stop")]
    log = tmp_path / "reader.log"
    with log.open("w") as output:
        reader = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + TIMEOUT
    rebuilt = 0
    try:
        while rebuilt < 10 or log.read_text().count("read\n") < 20:
            assert time.monotonic() < deadline and reader.poll() is None, log.read_text()
            # the other files stay, so a reader that has found this entry before sees nothing of the damage
            (cache.folder / NAME / "manifest.json").write_text("{")
            cache.find_or_build(KEY, build)
            rebuilt += 1
            time.sleep(0.05)
    finally:
        (tmp_path / "stop").touch()
        assert reader.wait(TIMEOUT) == 0, log.read_text()


def test_threads_of_one_process_build_an_entry_once(cache):
    built = []

    def build(folder):
        built.append(folder)
        time.sleep(0.2)
        (folder / "model.bin").write_text("x")

    threads = [threading.Thread(target=cache.find_or_build, args=(KEY, build)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(built) == 1
    assert Path(cache.folder / NAME / "model.bin").read_text() == "x"
