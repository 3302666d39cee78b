from types import SimpleNamespace

import pytest

from espnet_ros.demo.switcher import AlphaSwitcher

REPLACING, ACTIVE, FAILED = 3, 2, 4
FRAMES = 9


def _status(alpha, state=ACTIVE, answered=0, engine_time=0.02, message="what it does"):
    """An espnet_ros/EngineStatus."""
    return SimpleNamespace(
        ACTIVE=ACTIVE,
        FAILED=FAILED,
        state=state,
        alpha=alpha,
        answered=answered,
        inference_time=engine_time,
        message=message,
    )


class Recorder:
    """Remembers what it was told."""

    def __init__(self):
        self.events, self.engine_times = [], {}

    def begin_switch(self, alpha, _now):
        self.events.append(f"begin {alpha}")

    def end_switch(self, _now, failure=""):
        self.events.append(f"end {failure}".strip())

    def record_engine_time(self, alpha, seconds):
        self.engine_times[alpha] = seconds


class Drive:
    """A switcher over 9 frames, and the alphas that it asked for."""

    def __init__(self, *alphas):
        self.recorder, self.asked, self.refuse = Recorder(), [], None
        self.at_request = lambda alpha: None
        self.switcher = AlphaSwitcher(alphas, FRAMES, self.recorder, self._request)
        self.switcher.on_status(_status(alphas[0]))

    def _request(self, alpha, on_refusal):
        self.asked.append(alpha)
        self.at_request(alpha)
        self.refuse = on_refusal

    def send(self, *indices):
        for index in indices:
            self.switcher.before_frame(index)

    @property
    def events(self):
        return self.recorder.events


def test_each_alpha_is_asked_for_when_its_share_begins():
    drive = Drive(8, 5, 3)
    drive.send(0, 1, 2)
    assert drive.asked == []
    drive.send(3)
    assert drive.asked == [5]
    drive.switcher.on_status(_status(5))
    drive.send(4, 5)
    assert drive.asked == [5]
    drive.send(6)
    drive.switcher.on_status(_status(3))
    drive.send(7, 8)
    assert drive.asked == [5, 3]
    drive.switcher.finish()
    assert drive.events == ["begin 5", "end", "begin 3", "end"]
    assert list(drive.switcher.engines) == [8, 5, 3]


def test_with_one_alpha_none_is_asked_for():
    drive = Drive(8)
    drive.send(*range(FRAMES))
    drive.switcher.finish()
    assert drive.asked == drive.events == []


def test_the_recorder_knows_of_a_switch_before_the_node_does():
    drive = Drive(8, 5)
    drive.at_request = lambda alpha: drive.events.append(f"ask for {alpha}")
    drive.send(5)
    assert drive.events == ["begin 5", "ask for 5"]


def test_a_switch_lasts_until_the_node_says_that_the_alpha_is_active():
    drive = Drive(8, 5)
    drive.send(5)
    drive.switcher.on_status(_status(8))  # on its way when the alpha was asked for
    drive.switcher.on_status(_status(8, REPLACING))
    drive.switcher.on_status(_status(5, REPLACING))
    assert drive.events == ["begin 5"]
    drive.switcher.on_status(_status(5))
    drive.switcher.on_status(_status(5))
    assert drive.events == ["begin 5", "end"]


def test_the_next_alpha_waits_for_a_switch_that_takes_long():
    drive = Drive(8, 5, 3)
    drive.send(3, 6, 7)
    assert drive.asked == [5]
    drive.switcher.on_status(_status(5))
    drive.send(8)
    assert drive.asked == [5, 3]


def test_an_alpha_that_was_refused_ends_the_switching():
    drive = Drive(8, 5, 3)
    drive.send(3)
    drive.refuse("it has none")
    drive.send(*range(4, FRAMES))
    drive.switcher.finish()
    assert drive.asked == [5]
    assert drive.events == ["begin 5", "end the node refused alpha 5: it has none"]


def test_an_engine_that_cannot_be_built_ends_the_switching():
    drive = Drive(8, 5, 3)
    drive.send(3)
    drive.switcher.on_status(_status(8, FAILED, message="no such file"))
    drive.switcher.on_status(_status(8, FAILED, message="no such file"))
    drive.send(6)
    assert drive.asked == [5]
    assert drive.events == ["begin 5", "end the node could not build an engine with alpha 5: no such file"]


def test_an_alpha_that_comes_too_late_has_failed():
    drive = Drive(8, 5)
    drive.send(5)
    drive.switcher.on_status(_status(8, REPLACING, message="building"))
    drive.switcher.finish()
    drive.switcher.on_status(_status(5))
    assert drive.events == ["begin 5", "end alpha 5 was not in use yet when the drive ended: building"]


@pytest.mark.parametrize(
    ("answered", "expected"),
    # alpha 8 gave 41 answers: 40 that are counted, and one under way
    [(41, {8: 0.03}), (42, {8: 0.03, 5: 0.01})],
)
def test_the_engine_time_of_an_alpha_is_over_its_own_answers(answered, expected):
    drive = Drive(8, 5)
    drive.switcher.on_status(_status(8, answered=38, engine_time=0.03))
    drive.send(5)
    drive.switcher.on_status(_status(5, answered=40, engine_time=0.03))
    drive.switcher.on_status(_status(5, answered=answered, engine_time=0.01))
    assert drive.recorder.engine_times == expected


def test_without_answers_there_is_no_engine_time():
    assert Drive(8).recorder.engine_times == {}
