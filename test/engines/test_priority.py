"""Run in processes of their own, as the rights of a process cannot be given back to it."""

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from espnet_ros.engines import priority

PROGRAM = """
import json
import threading

from espnet_ros.engines.priority import list_threads, low_priority, priority_of

found = {"usual": priority_of(0)}
stop = threading.Event()
born = []

def live():
    born.append(threading.get_native_id())
    stop.wait()

def build():
    with low_priority():
        found["lowered"] = priority_of(0)
        thread = threading.Thread(target=live)
        thread.start()
        while not born:
            pass
        found["born"] = priority_of(born[0])
    found["after"] = priority_of(0)

builder = threading.Thread(target=build)
builder.start()
builder.join()
found["born, after"] = priority_of(born[0])
found["others"] = [priority_of(thread) for thread in list_threads()]
stop.set()
print(json.dumps(found))
"""
WITHOUT_THE_RIGHT = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's priorities of threads"),
    pytest.mark.process,
]


def run(prefix=()):
    command = [*prefix, sys.executable, "-c", PROGRAM]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(result.stdout)


def test_a_thread_and_those_born_of_it_get_their_usual_priority_back():
    found = run()
    usual = found["usual"]
    assert found["lowered"] != usual
    assert found["born"] == found["lowered"]
    assert found["after"] == found["born, after"] == usual
    assert found["others"] == [usual] * len(found["others"])


def test_a_user_who_may_raise_no_priority_takes_one_that_can_be_taken_back():
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (util-linux), to drop a right of root")
    found = run(WITHOUT_THE_RIGHT if os.geteuid() == 0 else ())
    policy, niceness = found["usual"]
    assert found["lowered"] == [os.SCHED_BATCH, niceness]
    assert found["after"] == found["born, after"] == [policy, niceness]


def test_a_user_who_may_raise_priority_takes_niceness():
    found = run()
    policy, niceness = found["usual"]
    if found["lowered"][0] != policy:
        pytest.skip("needs a user who may raise niceness (CAP_SYS_NICE)")
    assert found["lowered"] == [policy, min(19, niceness + 10)]


def test_an_error_leaves_the_usual_priority():
    outcome = []

    def build():
        try:
            with priority.low_priority():
                raise ValueError
        except ValueError:
            outcome.append(priority.priority_of(0))

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert outcome == [priority.priority_of(0)]


def test_a_system_without_proc_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(priority, "TASKS", tmp_path / "none")
    usual = priority.priority_of(0)
    with priority.low_priority():
        assert priority.priority_of(0) == usual
