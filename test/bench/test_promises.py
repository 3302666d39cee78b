import importlib
import time

import pytest
from promise import CLOSE, KEPT, MISSED, SHARE_ROOM, Promise, failures_as_promises, has_missed

from espnet_ros.telemetry.reading import PowerReading


@pytest.mark.parametrize(
    ("asked", "reached", "is_limit", "verdict"),
    [
        (8.0, 8.0, False, KEPT),
        (8.0, 7.9, False, CLOSE),
        (8.0, 4.0, False, CLOSE),
        (8.0, 3.9, False, MISSED),
        (2.0, 2.0, True, KEPT),
        (2.0, 4.0, True, CLOSE),
        (2.0, 4.1, True, MISSED),
    ],
)
def test_a_promise_is_missed_only_beyond_a_factor_of_two(asked, reached, is_limit, verdict):
    promise = Promise("speed", asked, reached, is_limit)
    assert promise.verdict == verdict
    assert has_missed([promise]) == (verdict == MISSED)


def test_what_cannot_be_measured_is_listed_with_its_reason_and_fails_nothing():
    promise = Promise("speed", 8.0, reason="needs torch")
    assert promise.row == "| speed | at least 8 | - | not run: needs torch |"
    assert not has_missed([promise])


def test_an_error_in_a_measurement_is_a_missed_promise_and_keeps_those_before_it():
    def measured():
        yield Promise("speed", 8.0, 9.0)
        raise ValueError("no clock")

    kept, failed = failures_as_promises(measured())
    assert kept.verdict == KEPT
    assert failed.verdict == f"{MISSED}: ValueError: no clock"
    assert has_missed([kept, failed])
    assert failed.row == "| the rest of these measurements | at least 1 | - | MISSED: ValueError: no clock |"


def test_the_row_of_an_error_names_what_was_measured_in_one_line():
    def measured():
        raise AssertionError("no answer\nto | an image")
        yield

    (failed,) = failures_as_promises(measured(), "the demo")
    assert failed.what == "the demo"
    assert failed.verdict == f"{MISSED}: AssertionError: no answer to | an image"


def test_a_share_of_images_has_less_room():
    assert Promise("share", 1.0, 0.81, room=SHARE_ROOM).verdict == CLOSE
    assert Promise("share", 1.0, 0.79, room=SHARE_ROOM).verdict == MISSED


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["engine_promises", "load_promises", "node_promises", "power_promises", "python_promises"]
)
def test_what_measures_can_be_imported(module):
    pytest.importorskip("torch", reason="needs PyTorch")
    importlib.import_module(module)


@pytest.mark.slow
def test_telemetry_that_costs_more_than_is_promised_is_found_out():
    pytest.importorskip("torch", reason="needs PyTorch")
    from python_promises import SHARE_OF_A_CORE, seconds_per_reading

    class Busy:
        name = "busy"

        def close(self):
            pass

        def read(self):
            end = time.thread_time() + 2.5 * SHARE_OF_A_CORE
            while time.thread_time() < end:
                pass
            return PowerReading(time.monotonic(), 5.0, covers="module")

    seconds, covers = seconds_per_reading(Busy(), 10)
    assert covers == "module"
    assert Promise("telemetry", SHARE_OF_A_CORE, seconds, is_limit=True).verdict == MISSED
