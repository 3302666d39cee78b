import threading
import time

import pytest
from waiting import TIMEOUT

from espnet_ros.errors import EngineError, ImageError
from espnet_ros.runtime.image_worker import (
    NEWER_CAME,
    NO_LISTENER,
    RATE_LIMIT,
    STOPPED,
    Dropped,
    EngineTime,
    ImageWorker,
)


class Engine:
    """Answers when told to, and says what it got."""

    def __init__(self):
        self.got = []
        self.entered = threading.Semaphore(0)
        self.may_leave = threading.Semaphore(0)
        self.outcome = EngineTime(0.01, 0)

    def __call__(self, image):
        self.got.append(image)
        self.entered.release()
        assert self.may_leave.acquire(timeout=TIMEOUT)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def reported():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def worker(engine, reported, clock):
    worker = ImageWorker(engine, reported.append, clock=clock)
    worker.start()
    yield worker
    engine.may_leave.release(1000)
    worker.stop(5)


def finish(worker, engine):
    """Let the image under way end."""
    before = worker.counts()
    engine.may_leave.release()
    deadline = time.monotonic() + TIMEOUT
    while worker.counts().in_progress == before.in_progress:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def answer(worker, engine, image):
    worker.offer(image)
    assert engine.entered.acquire(timeout=TIMEOUT)
    finish(worker, engine)


def is_exact(counts):
    return counts.received == counts.answered + counts.dropped + counts.refused + counts.failed + counts.in_progress


def test_the_newest_image_wins_and_the_others_count_as_dropped(worker, engine):
    worker.offer("first")
    assert engine.entered.acquire(timeout=TIMEOUT)
    for image in ("second", "third", "fourth"):
        worker.offer(image)
        assert is_exact(worker.counts())
    assert worker.counts().in_progress == 2
    engine.may_leave.release()
    assert engine.entered.acquire(timeout=TIMEOUT)
    finish(worker, engine)
    counts = worker.counts()
    assert engine.got == ["first", "fourth"]
    assert (counts.received, counts.answered, counts.in_progress) == (4, 2, 0)
    assert counts.drop_reasons == {NEWER_CAME: 2}


def test_an_image_nobody_wants_counts_as_dropped(worker, engine):
    engine.outcome = Dropped(NO_LISTENER)
    answer(worker, engine, "image")
    assert worker.counts().drop_reasons == {NO_LISTENER: 1}
    assert is_exact(worker.counts())


def test_errors_are_counted_by_kind_and_reported_and_the_next_image_is_answered(worker, engine, reported):
    outcomes = [ImageError("step", "a"), ImageError("step", "b"), EngineError("c"), ValueError("d")]
    outcomes.append(EngineTime(0.01, 0))
    for outcome in outcomes:
        engine.outcome = outcome
        answer(worker, engine, "image")
    counts = worker.counts()
    assert counts.refused_kinds == {"step": 2}
    assert (counts.refused, counts.failed, counts.answered) == (2, 2, 1)
    assert is_exact(counts)
    assert reported == outcomes[:4]


def test_stopping_drops_the_waiting_image_and_finishes_the_other(worker, engine):
    worker.offer("under way")
    assert engine.entered.acquire(timeout=TIMEOUT)
    worker.offer("waiting")
    engine.may_leave.release()
    worker.stop(5)
    worker.offer("too late")
    counts = worker.counts()
    assert engine.got in (["under way"], ["under way", "waiting"])
    assert counts.received == 3
    assert counts.drop_reasons[STOPPED] >= 1
    assert counts.in_progress == 0
    assert is_exact(counts)


def test_max_rate_answers_every_third_image_of_a_camera_three_times_as_fast_despite_jitter(worker, engine, clock):
    worker.max_rate = 10.0
    engine.may_leave.release(1000)
    start = clock.now
    for image in range(30):
        jitter = 0.01 if image % 2 else -0.01
        clock.now = start + 10 + image / 30 + jitter
        worker.offer(image)
    worker.stop(5)
    counts = worker.counts()
    assert counts.drop_reasons[RATE_LIMIT] == pytest.approx(20, abs=1)
    assert is_exact(counts)


def test_max_rate_never_lets_two_images_through_within_half_a_period(worker, engine, clock):
    worker.max_rate = 10.0
    engine.may_leave.release(1000)
    worker.offer("after a long silence")
    clock.now += 0.049
    worker.offer("at once")
    assert worker.counts().drop_reasons == {RATE_LIMIT: 1}


def test_rate_and_latency_are_those_of_the_answers(worker, engine, clock):
    engine.outcome = EngineTime(0.02, 0)
    for _ in range(5):
        worker.offer("image")
        assert engine.entered.acquire(timeout=TIMEOUT)
        clock.now += 0.025
        finish(worker, engine)
        clock.now += 0.075
    counts = worker.counts()
    assert counts.frame_rate == pytest.approx(10.0)
    assert counts.latency_p50 == pytest.approx(0.025)
    assert counts.latency_p95 == pytest.approx(0.025)
    assert counts.inference_time == pytest.approx(0.02)
    assert counts.silence == pytest.approx(0.1)


def test_the_engines_own_time_is_that_of_the_engine_that_answered_last(worker, engine):
    for seconds, number in [(0.05, 0), (0.05, 0), (0.05, 0), (0.01, 1), (0.03, 1)]:
        engine.outcome = EngineTime(seconds, number)
        answer(worker, engine, "image")
    assert worker.counts().inference_time == pytest.approx(0.02)


def test_the_rate_is_0_when_the_last_answer_is_long_ago(worker, engine, clock):
    for _ in range(3):
        answer(worker, engine, "image")
        clock.now += 0.1
    assert worker.counts(stale_after=1.0).frame_rate > 0
    clock.now += 1.0
    assert worker.counts(stale_after=1.0).frame_rate == 0


def test_counts_are_exact_with_many_cameras_at_once():
    worker = ImageWorker(lambda image: EngineTime(0.0, 0), lambda error: None)
    worker.start()
    cameras = [threading.Thread(target=lambda: [worker.offer(i) for i in range(2000)]) for _ in range(4)]
    for camera in cameras:
        camera.start()
    while any(camera.is_alive() for camera in cameras):
        assert is_exact(worker.counts())
    worker.stop(5)
    assert worker.counts().received == 8000
    assert worker.counts().in_progress == 0
    assert is_exact(worker.counts())
