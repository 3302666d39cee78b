"""Hand-made readings and points: what the summary, the files and the plots make of them."""

import math
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from reporting.svg_reader import read_groups, read_marks, read_texts
from waiting import wait_until

from espnet_ros.benchmark import power_point
from espnet_ros.benchmark.power_board import Interruptions
from espnet_ros.benchmark.power_charts import accuracy_energy_chart, speed_power_chart
from espnet_ros.benchmark.power_networks import SweepNetwork
from espnet_ros.benchmark.power_point import Draw, ReadingLog, Run, measure_run, run_frames, summarize_draw
from espnet_ros.benchmark.power_report import as_document, format_csv, format_page, format_table, point_as_dict
from espnet_ros.benchmark.power_sweep import PowerPoint, PowerSweep
from espnet_ros.benchmark.street import FIRST_EVALUATION_SEED, EvaluationFrames, is_street_table
from espnet_ros.classes import load_class_table
from espnet_ros.config import NodeConfig
from espnet_ros.governor.cost_model import OperationCostModel
from espnet_ros.governor.measured_cost_model import read_measured_costs
from espnet_ros.telemetry.sampler import PowerReading
from espnet_ros.types import ImageSize

SIZE = ImageSize(360, 480)
MODULE = "module (VDD_IN)"


def _point(mode, alpha, rate, watts, mean_iou, throttled=False, size=SIZE, idle=2.0, joules=None):
    draw = Draw(watts, 1.5, math.nan, MODULE, watts / rate if joules is None else joules, 61.0, throttled)
    return PowerPoint(
        mode, alpha, size, "native", "bf16", Run(100, rate, 1 / rate, 1.2 / rate, 1.0, draw), idle, mean_iou
    )


@pytest.fixture
def points():
    return [
        _point("MAXQ", 3, 20.0, 4.0, 0.70),
        _point("MAXQ", 8, 10.0, 4.5, 0.75),
        _point("MAXN", 3, 40.0, 8.0, 0.70, throttled=True),
        _point("MAXN", 8, 20.0, 9.0, 0.75),
    ]


def _reading(stamp, watts, temperature=50.0, throttled=None, covers=MODULE, gpu=math.nan):
    return PowerReading(stamp, watts, gpu, covers=covers, temperatures={"CPU": temperature}, throttled=throttled)


def test_watts_and_joules_are_those_between_the_readings_inside_the_span():
    readings = [_reading(9.5, 99.0), *(_reading(10.0 + at, watts) for at, watts in ((0, 4.0), (1, 6.0), (2, 6.0)))]
    readings.append(_reading(12.5, 99.0, temperature=90.0))
    # 5 J and 6 J in 2 s, in which two frames were answered; the third came after the last reading.
    draw = summarize_draw(readings, [(10.5, 0.1), (11.5, 0.1), (12.2, 0.1)], 10.0, 12.3)
    assert (draw.watts, draw.joules_per_frame) == (5.5, 5.5)
    assert (draw.temperature, draw.covers) == (50.0, MODULE)


def test_the_hottest_and_any_throttling_count():
    readings = [_reading(0, 5, 50, False), _reading(1, 5, 70, True), _reading(2, 5, 60, False)]
    draw = summarize_draw(readings, [], 0.0, 2.0)
    assert (draw.temperature, draw.throttled) == (70, True)
    assert summarize_draw(readings[::2], [], 0.0, 2.0).throttled is False
    assert summarize_draw([_reading(0, 5), _reading(1, 5)], [], 0.0, 2.0).throttled is None


def test_what_no_reading_tells_is_not_known():
    draw = summarize_draw([], [(0.5, 0.1)], 0.0, 1.0)
    assert all(math.isnan(value) for value in (draw.watts, draw.watts_gpu, draw.joules_per_frame, draw.temperature))
    without_watts = summarize_draw([_reading(0, math.nan, gpu=1.0), _reading(1, math.nan, gpu=2.0)], [], 0.0, 1.0)
    assert math.isnan(without_watts.watts) and without_watts.watts_gpu == 1.5


def test_watts_of_two_sources_have_no_mean():
    readings = [_reading(0, 5.0), _reading(1, 5.0), _reading(2, 30.0, covers="CPU package"), _reading(3, 30.0)]
    assert math.isnan(summarize_draw(readings, [], 0.0, 3.0).watts)


def test_the_log_keeps_each_reading_once_and_none_from_before():
    before = _reading(time.monotonic() - 0.01, 1.0)
    asked = []
    sampler = SimpleNamespace(latest=lambda: asked.append(before) or SimpleNamespace(reading=before))
    with ReadingLog(sampler, 0.01) as log:
        during = _reading(time.monotonic() + 1.0, 2.0)
        wait_until(lambda: len(asked) > 2, "the log asks for readings")
        sampler.latest = lambda: asked.append(during) or SimpleNamespace(reading=during)
        wait_until(lambda: asked.count(during) > 2, "the log asks for newer readings")
    assert log.readings == [during]


def _segmenter(seconds):
    return SimpleNamespace(segment=lambda image: time.sleep(seconds))


@pytest.mark.process
def test_frames_come_at_the_rate_and_those_missed_are_not_caught_up():
    def segment(image):
        time.sleep(0.3 if image == "slow" else 0.0)

    frames = run_frames(SimpleNamespace(segment=segment), ["slow", *["fast"] * 99], 1.0, rate=20.0)
    # 0.3 s for the first, then 14 frames in 0.7 s; all 20 would be there if what was missed were caught up.
    assert 2 <= len(frames) <= 17
    assert frames[0][1] >= 0.3


def test_a_frame_longer_than_the_time_is_one_frame():
    assert len(run_frames(_segmenter(0.1), ["image"], 0.01)) == 1


def test_the_frame_rate_is_the_frames_divided_by_the_measured_time(monkeypatch):
    now = 100.0

    def sleep(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(power_point, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    segmenter = SimpleNamespace(segment=lambda image: sleep(0.25))
    sampler = SimpleNamespace(latest=lambda: SimpleNamespace(reading=None))
    # 0.25 s for each of 7 images without a pause; the last one begins at 1.5 s and ends the 1.6 s at 1.75 s.
    run = measure_run(segmenter, ["image"], 1.6, 0.0, sampler, 1.0)
    assert (run.frames, run.frames_per_second, run.median_seconds, run.busy) == (7, 4.0, 0.25, 1.0)
    # At 2 images per second every other quarter of a second is a pause: 4 images in 2 s, which take 1 s.
    run = measure_run(segmenter, ["image"], 2.0, 2.0, sampler, 1.0)
    assert (run.frames, run.frames_per_second, run.busy) == (4, 2.0, 0.5)


def test_the_energy_above_rest_is_that_of_the_watts_above_rest(points):
    # 4 W at 20 frames/s are 0.2 J a frame; 2 W of them are there at rest.
    assert points[0].joules_above_idle == pytest.approx(0.1)
    assert math.isnan(replace(points[0], idle_watts=math.nan).joules_above_idle)


@pytest.mark.parametrize(
    ("at_rest", "idle", "left_out"),
    [
        (Draw(3.0, covers=MODULE), 3.0, []),
        (Draw(4.0, covers=MODULE), 4.0, []),
        (
            Draw(4.1, covers=MODULE),
            None,
            ["4.10 W idle must be at most the 4.00 W under load; another program was busy"],
        ),
        (Draw(3.0, covers="CPU package"), None, []),
        (Draw(), None, []),
    ],
)
def test_watts_at_rest_that_are_not_those_of_the_point_are_not_known(points, tmp_path, at_rest, idle, left_out):
    sweep = PowerSweep()
    sweep.add("MAXQ", SweepNetwork(NodeConfig(alpha=3, input_height=360, input_width=480)), points[0].run, at_rest)
    assert point_as_dict(sweep.points[0])["idle_watts"] == idle
    assert [reason[: len(left_out[0])] for reason in sweep.left_out.values()] == left_out
    path = tmp_path / "power.csv"
    path.write_text(format_csv(sweep.points), encoding="utf-8")
    assert read_measured_costs(path, OperationCostModel()).frame_time(3, tuple(SIZE), "MAXQ") == 0.05


def test_the_csv_is_what_the_governor_reads(points, tmp_path):
    path = tmp_path / "power.csv"
    path.write_text(format_csv(points), encoding="utf-8")
    costs = read_measured_costs(path, OperationCostModel(), "bf16", "MAXN")
    assert costs.frame_time(8, tuple(SIZE), "MAXQ") == pytest.approx(0.1)
    assert costs.frame_time(8, tuple(SIZE), None) == pytest.approx(0.05)
    assert costs.watts(8, tuple(SIZE), "MAXQ", 5.0) == pytest.approx(2 + 2.5 / 2)  # half busy
    assert costs.watts(3, tuple(SIZE), "MAXN", math.inf) == pytest.approx(8.0)


def test_what_is_not_known_is_empty_null_or_a_dash(points):
    nan = math.nan
    point = _point("", 3, 20.0, nan, nan, throttled=None, idle=nan, joules=nan)
    document = as_document(PowerSweep([point]), {"machine": "a board"})
    (entry,) = document["points"]
    assert [entry[name] for name in ("watts", "idle_watts", "joules_per_frame", "mean_iou", "throttled")] == [None] * 5
    names, values = (line.split(",") for line in format_csv([point]).splitlines())
    cells = dict(zip(names, values))
    assert (cells["mode"], cells["watts"], cells["mean_iou"], cells["throttled"]) == ("", "", "", "")
    assert cells["frames_per_second"] == "20"
    lines = format_table(PowerSweep([point])).splitlines()
    assert lines[2] == ("| - | 3 | 360x480 | native bf16 | 20.0 | 50.0 | 60.0 | - | 1.50 | - | - | - | - | 61 | - |")
    assert lines[4] == "`-`: unknown."


def test_the_table_marks_what_was_throttled_and_lists_what_was_left_out(points):
    sweep = PowerSweep(points, {"mode MAXP (2)": "it needs a reboot"})
    lines = format_table(sweep).splitlines()
    engine = "| MAXQ | 3 | 360x480 | native bf16 |"
    assert lines[2] == f"{engine} 20.0 | 50.0 | 60.0 | 4.00 | 1.50 | - | 2.00 | 0.200 | 0.100 | 61 | 0.700 |"
    assert "| MAXN | 3 | 360x480 | native bf16 | 40.0* |" in lines[4]
    assert len({line.count("|") for line in lines[:6]}) == 1
    assert [line for line in lines if line.startswith("`*`: heat or over-current")]
    assert lines[-1] == "- mode MAXP (2): it needs a reboot"


def test_the_page_shows_its_plots(points):
    page = format_page(PowerSweep(points), ["a board"], ["speed_power.svg"], "")
    assert "- a board\n" in page
    assert page.endswith("![speed_power.svg](speed_power.svg)\n")


def _marks(chart):
    return [mark for group in read_groups(chart, "marks-").values() for mark in read_marks(group)]


def test_the_speed_chart_has_a_line_per_mode_and_every_point_at_its_place(points):
    chart = speed_power_chart(points)
    marks = _marks(chart)
    # 4, 4.5, 8 and 9 W; 20, 10, 40 and 20 frames/s
    assert [(x - marks[0][0]) / (marks[1][0] - marks[0][0]) for x, _, _ in marks] == pytest.approx([0, 1, 8, 10])
    assert [(y - marks[0][1]) / (marks[1][1] - marks[0][1]) for _, y, _ in marks] == pytest.approx([0, 1, -2, 0])
    assert [fill == "#ffffff" for _, _, fill in marks] == [False, False, True, False]
    assert len(read_groups(chart, "line-")) == 2
    texts = read_texts(chart)
    assert [text for text in texts if text.startswith("MAX")] == ["MAXQ", "MAXN"]
    assert "numbers: alpha; hollow: heat or over-current throttled the clocks" in texts
    assert "power (W)" in texts and "frame rate (frames/s)" in texts


def test_the_accuracy_chart_is_over_joules_per_frame(points):
    marks = _marks(accuracy_energy_chart(points))
    # 0.2, 0.45, 0.2 and 0.45 J per frame: the modes lie on each other.
    assert marks[0][:2] == marks[2][:2] and marks[1][:2] == marks[3][:2]
    assert marks[1][0] > marks[0][0] and marks[1][1] < marks[0][1]  # more joules, more accurate


def test_points_without_watts_are_in_no_chart(points):
    unknown = replace(points[0], run=replace(points[0].run, draw=Draw()))
    assert speed_power_chart([unknown]) == "" and accuracy_energy_chart([unknown]) == ""
    assert len(_marks(speed_power_chart([unknown, points[1]]))) == 1
    assert accuracy_energy_chart([replace(points[0], mean_iou=math.nan)]) == ""


def test_lines_are_named_by_what_differs(points):
    other = replace(points[0], size=ImageSize(240, 320), precision="fp32")
    texts = read_texts(speed_power_chart([points[0], other]))
    assert "MAXQ, 360x480, native bf16" in texts and "MAXQ, 240x320, native fp32" in texts
    assert "this machine" in read_texts(speed_power_chart([replace(points[0], mode="")]))


def test_the_judged_frames_are_the_same_for_every_network_of_a_shape():
    small, large = EvaluationFrames(ImageSize(48, 64), 1), EvaluationFrames(ImageSize(360, 480), 1)
    (frame,) = small
    assert frame.image.shape == (480, 640, 3) and frame.labels.shape == (480, 640)
    assert [each.image is frame.image for each in large] == [True]
    assert len(small) == 1 and str(FIRST_EVALUATION_SEED) in small.name


def test_only_the_streets_own_classes_are_judged():
    assert is_street_table(load_class_table("camvid"))
    assert not is_street_table(load_class_table("cityscapes"))


def test_a_signal_waits_for_the_end_of_what_holds_it_and_counts_once():
    done = []

    def hold():
        with interruptions.held():
            signal.raise_signal(signal.SIGINT)
            done.append("held")

    with Interruptions() as interruptions:
        with pytest.raises(KeyboardInterrupt):
            hold()
        signal.raise_signal(signal.SIGINT)
        done.append("after")
    assert done == ["held", "after"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_hang_up_that_nohup_ignores_stays_ignored():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruptions():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, previous)
