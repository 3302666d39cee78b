import threading

import pytest
from waiting import TIMEOUT

from espnet_ros.config import NodeConfig
from espnet_ros.errors import EngineError
from espnet_ros.runtime.engine_builder import EngineBuilder


class Engine:
    def __init__(self, alpha):
        self.alpha = alpha
        self.is_closed = False

    def close(self):
        self.is_closed = True


class Workshop:
    """Builds an engine when told to."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.finished = threading.Semaphore(0)
        self.engines = []
        self.adopted = []
        self.error = None
        self.pieces = 0
        self.builder = EngineBuilder(self._build, self._adopt, self.finished.release, self._tend)

    def _build(self, config):
        self.begun.release()
        assert self.may_end.acquire(timeout=TIMEOUT)
        if self.error is not None:
            raise self.error
        self.engines.append(Engine(config.alpha))
        return self.engines[-1]

    def _adopt(self, config, engine):
        is_wanted = self.builder.requested is config
        if is_wanted:
            self.adopted.append(config.alpha)
        else:
            engine.close()
        return is_wanted

    def _tend(self):
        if self.pieces == 0:
            return False
        self.begun.release()
        assert self.may_end.acquire(timeout=TIMEOUT)
        self.pieces -= 1
        return True


@pytest.fixture
def workshop():
    workshop = Workshop()
    yield workshop
    workshop.may_end.release(100)
    workshop.builder.join(5)


def test_an_engine_is_built_and_adopted(workshop):
    workshop.builder.request(NodeConfig(alpha=3))
    assert workshop.builder.requested == NodeConfig(alpha=3)
    workshop.may_end.release()
    assert workshop.finished.acquire(timeout=TIMEOUT)
    result = workshop.builder.take_result()
    assert (result.request.alpha, result.engine, result.error) == (3, workshop.engines[0], None)
    assert workshop.adopted == [3]
    assert workshop.builder.requested is None
    assert workshop.builder.take_result() is None


def test_only_the_newest_wish_is_adopted_and_outdated_engines_are_closed(workshop):
    workshop.builder.request(NodeConfig(alpha=3))
    assert workshop.begun.acquire(timeout=TIMEOUT)
    workshop.builder.request(NodeConfig(alpha=5))
    workshop.builder.request(NodeConfig(alpha=8))
    workshop.may_end.release(2)
    assert workshop.finished.acquire(timeout=TIMEOUT)
    assert workshop.adopted == [8]
    assert [(engine.alpha, engine.is_closed) for engine in workshop.engines] == [(3, True), (8, False)]
    assert workshop.builder.take_result().request.alpha == 8


def test_a_failed_build_gives_its_error_and_the_next_one_works(workshop):
    workshop.error = EngineError("no such device")
    workshop.builder.request(NodeConfig(alpha=3))
    workshop.may_end.release()
    assert workshop.finished.acquire(timeout=TIMEOUT)
    result = workshop.builder.take_result()
    assert (result.engine, result.error) == (None, workshop.error)
    workshop.error = None
    workshop.builder.request(NodeConfig(alpha=5))
    workshop.may_end.release()
    assert workshop.finished.acquire(timeout=TIMEOUT)
    assert workshop.adopted == [5]


def test_the_failure_of_an_outdated_build_is_nobodys_business(workshop):
    workshop.error = EngineError("no such device")
    workshop.builder.request(NodeConfig(alpha=3))
    assert workshop.begun.acquire(timeout=TIMEOUT)
    workshop.builder.cancel()
    workshop.may_end.release()
    workshop.builder.join(5)
    assert workshop.builder.take_result() is None


def test_a_cancelled_engine_is_closed(workshop):
    workshop.builder.request(NodeConfig(alpha=3))
    assert workshop.begun.acquire(timeout=TIMEOUT)
    workshop.builder.cancel()
    workshop.may_end.release()
    workshop.builder.join(5)
    assert workshop.engines[0].is_closed
    assert workshop.adopted == []


def test_work_that_nobody_waits_for_is_done_when_woken_piece_by_piece(workshop):
    workshop.pieces = 3
    workshop.may_end.release(3)
    workshop.builder.wake()
    workshop.builder.join(5)
    assert workshop.pieces == 0


def test_a_wish_comes_before_what_is_left_of_such_work(workshop):
    workshop.pieces = 2
    workshop.builder.wake()
    assert workshop.begun.acquire(timeout=TIMEOUT)
    workshop.builder.request(NodeConfig(alpha=3))
    workshop.may_end.release(2)
    assert workshop.finished.acquire(timeout=TIMEOUT)
    assert (workshop.adopted, workshop.pieces) == ([3], 1)
    workshop.may_end.release()
    workshop.builder.join(5)
    assert workshop.pieces == 0


def test_a_mistake_in_such_work_does_not_end_the_building(workshop, caplog):
    workshop.pieces = "many"
    workshop.may_end.release()
    workshop.builder.wake()
    workshop.builder.join(5)
    assert "TypeError" in caplog.text
    workshop.pieces = 0
    workshop.builder.request(NodeConfig(alpha=5))
    workshop.may_end.release()
    assert workshop.finished.acquire(timeout=TIMEOUT)
    assert workshop.adopted == [5]
