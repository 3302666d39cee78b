"""The choice of a source, and the thread that reads it: sources that raise, hang, or cost too much."""

import math
import sys
import threading
import time

import pytest
from kernel_files import add_zone
from waiting import wait_until

from espnet_ros.errors import PowerError
from espnet_ros.telemetry.rapl import RaplReader
from espnet_ros.telemetry.sampler import (
    PowerReading,
    TelemetrySampler,
    TelemetrySource,
    default_sources,
    open_first_available,
)


class Reader:
    """Gives its name and watts. ``failures`` are raised one at a read; a set ``hang`` holds reads back."""

    def __init__(self, name="steady", watts=5.0, failures=()):
        self.name = name
        self.watts = watts
        self.failures = list(failures)
        self.hang = threading.Event()
        self.let_go = threading.Event()
        self.closed = threading.Event()
        self.reads = 0

    def read(self):
        self.reads += 1
        if self.hang.is_set():
            self.let_go.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        return PowerReading(time.monotonic(), self.watts)

    def close(self):
        self.closed.set()

    @property
    def source(self):
        return TelemetrySource(self.name, lambda: self)


def refusing(name, error):
    def refuse():
        raise error

    return TelemetrySource(name, refuse)


@pytest.fixture
def sample():
    """Starts a sampler that is closed with the test."""
    samplers = []

    def start(*sources, **options):
        samplers.append(TelemetrySampler(sources, **{"period": 0.01, **options}))
        return samplers[-1]

    yield start
    for sampler in samplers:
        sampler.close(0.1)


def wait_for(condition):
    wait_until(condition, "what the sampler must do")


def test_the_first_source_that_is_there_is_taken_and_the_others_say_why_not():
    reader, other = Reader("nvml"), Reader("rapl")
    gone = refusing("jetson-stats", PowerError("jetson-stats: not installed"))
    broken = refusing("ina3221", ZeroDivisionError("division by zero"))
    opened = open_first_available([gone, broken, reader.source, other.source])
    assert opened.reader is reader
    assert opened.refusals == ("jetson-stats: not installed", "ina3221: ZeroDivisionError: division by zero")
    assert [source.name for source in opened.rest] == ["rapl"]


def test_jetsons_are_tried_before_nvidia_desktops_before_x86():
    assert [source.name for source in default_sources()] == ["jetson-stats", "ina3221", "nvml", "rapl"]


def test_a_device_without_any_source_says_why_for_each(monkeypatch, tmp_path):
    for package in ("jtop", "pynvml"):
        monkeypatch.setitem(sys.modules, package, None)
    opened = open_first_available(default_sources(root=tmp_path))
    assert opened.reader is None
    assert [reason.split(":")[0] for reason in opened.refusals] == ["jetson-stats", "ina3221", "nvml", "rapl"]


def test_an_x86_without_graphics_card_is_read_by_rapl(monkeypatch, tmp_path):
    for package in ("jtop", "pynvml"):
        monkeypatch.setitem(sys.modules, package, None)
    add_zone(tmp_path, ":0", "package-0")
    assert isinstance(open_first_available(default_sources(root=tmp_path)).reader, RaplReader)


def test_the_newest_reading_and_its_age_are_told(sample):
    now = [100.0]
    reader = Reader()
    reader.read = lambda: PowerReading(100.5, 7.0)
    sampler = sample(reader.source, clock=lambda: now[0], period=30.0)
    wait_for(lambda: sampler.latest().reading is not None)
    now[0] = 103.5
    latest = sampler.latest()
    assert (latest.source, latest.reading.watts_total, latest.age) == ("steady", 7.0, 3.0)
    assert not latest.stalled


def test_it_reads_again_and_again_until_it_is_closed(sample):
    reader = Reader()
    sampler = sample(reader.source)
    wait_for(lambda: reader.reads >= 3)
    assert sampler.close()
    assert reader.closed.is_set()
    reads = reader.reads
    time.sleep(0.05)
    assert reader.reads == reads


def test_without_a_source_it_says_none_and_is_not_stalled(sample):
    sampler = sample(refusing("rapl", PowerError("rapl: no counters")), start_time=0.0)
    wait_for(lambda: sampler.latest().source == "none")
    latest = sampler.latest()
    assert latest.reading is None and not latest.stalled
    assert latest.refusals == ("rapl: no counters",)
    assert sampler.close()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PowerError("nvml: the graphics card no longer answers"), "nvml: the graphics card no longer answers"),
        (KeyError("power"), "first: KeyError: 'power'"),
    ],
)
def test_a_source_that_fails_is_dropped_and_named_and_the_next_takes_over(sample, error, message):
    first, second = Reader("first", failures=[error]), Reader("second", watts=9.0)
    sampler = sample(refusing("absent", PowerError("absent: not here")), first.source, second.source)
    wait_for(lambda: sampler.latest().reading is not None)
    latest = sampler.latest()
    assert (latest.source, latest.reading.watts_total) == ("second", 9.0)
    assert latest.dropped == (message,)
    assert latest.refusals == ("absent: not here", message)
    wait_for(first.closed.is_set)
    assert first.reads == 1


def test_when_the_last_source_fails_its_reading_is_not_shown_any_longer(sample):
    reader = Reader()
    sampler = sample(reader.source)
    wait_for(lambda: sampler.latest().reading is not None)
    reader.failures = [PowerError("steady: gone")]
    wait_for(lambda: sampler.latest().source == "none")
    latest = sampler.latest()
    assert latest.reading is None
    assert latest.dropped == ("steady: gone",)


def test_a_source_that_hangs_is_noticed_and_nobody_waits_for_it(sample):
    reader = Reader()
    sampler = sample(reader.source, period=0.05)
    wait_for(lambda: sampler.latest().reading is not None)
    assert not sampler.latest().stalled
    reader.hang.set()
    wait_for(lambda: sampler.latest().stalled)
    assert sampler.latest().age > 3 * 0.05
    started = time.monotonic()
    for _ in range(1000):
        sampler.latest()
    assert not sampler.close(0.1)
    assert time.monotonic() - started < 25  # the source hangs for 30 s
    reader.let_go.set()
    assert sampler.close(10)


def test_a_source_that_answers_again_is_not_stalled(sample):
    reader = Reader()
    reader.hang.set()
    sampler = sample(reader.source, period=0.05, start_time=0.05)
    wait_for(lambda: sampler.latest().stalled)
    reader.hang.clear()
    reader.let_go.set()
    wait_for(lambda: not sampler.latest().stalled)
    assert sampler.latest().reading.watts_total == 5.0


def test_a_source_that_hangs_while_it_is_opened_is_noticed_too(sample):
    let_go = threading.Event()

    def hang():
        let_go.wait(30)
        raise PowerError("slow: not here")

    started = time.monotonic()
    sampler = sample(TelemetrySource("slow", hang), start_time=0.05)
    assert time.monotonic() - started < 25  # the source hangs for 30 s
    wait_for(lambda: sampler.latest().stalled)
    assert sampler.latest().source == ""
    let_go.set()
    assert sampler.close(10)


def test_a_source_that_fails_and_hangs_at_its_end_does_not_hold_up_the_next(sample):
    first, second = Reader("first", failures=[PowerError("first: gone")]), Reader("second")
    first.close = lambda: first.let_go.wait(30)
    sampler = sample(first.source, second.source)
    wait_for(lambda: sampler.latest().source == "second")
    first.let_go.set()


@pytest.mark.parametrize("period", [0.0, -1.0, math.inf, math.nan])
def test_a_period_that_is_none_is_refused(period):
    with pytest.raises(PowerError, match="telemetry: the period must be above 0 s"):
        TelemetrySampler([], period)
