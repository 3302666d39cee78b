import importlib

import pytest
from promise import CLOSE, KEPT, MISSED, Promise, failures_as_promises, has_missed


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


@pytest.mark.slow
@pytest.mark.parametrize("module", ["engine_promises", "python_promises", "node_promises"])
def test_what_measures_can_be_imported(module):
    pytest.importorskip("torch", reason="needs PyTorch")
    importlib.import_module(module)
