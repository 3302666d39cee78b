import re

import pytest
from reporting.svg_reader import read_groups, read_marks, read_path, read_texts, texts_outside, width

from espnet_ros.reporting.charts import (
    Bar,
    Mark,
    bar_groups_chart,
    class_iou_chart,
    latency_chart,
    trade_off_chart,
    training_chart,
)

ANSWERS = [(0.0, 10.0), (5.0, 20.0), (10.0, 40.0)]
PERCENTILES = [("p50", 20.0), ("p95", 38.0)]


def test_the_latency_chart_is_to_scale_and_named():
    svg = latency_chart(ANSWERS, PERCENTILES)
    (x0, y0), (x1, y1), (x2, y2) = read_path(read_groups(svg, "latency")["latency"])
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.01)
    assert y1 - y2 == pytest.approx(2 * (y0 - y1), abs=0.01)
    assert read_path(read_groups(svg, "p50")["p50"]) == [(x0, pytest.approx(y1)), (x2, pytest.approx(y1))]
    texts = read_texts(svg)
    for text in ("seconds into the drive", "latency (ms)", "p50 20 ms", "p95 38 ms"):
        assert text in texts


def test_events_are_vertical_lines_within_the_chart():
    svg = latency_chart(ANSWERS, PERCENTILES, [(5.0, "alpha <5> $x$"), (10.5, "too late")])
    (event,) = read_groups(svg, "event-").values()
    middle = read_path(read_groups(svg, "latency")["latency"])[1][0]
    assert [x for x, _ in read_path(event)] == pytest.approx([middle, middle])
    assert "alpha <5> $x$" in read_texts(svg)
    assert "too late" not in read_texts(svg)


def test_a_single_answer_can_be_drawn():
    assert "latency (ms)" in read_texts(latency_chart([(0.0, 10.0)], [("p50", 10.0), ("p95", 10.0)]))


def test_charts_in_a_page_take_the_colours_of_its_style_sheet():
    svg = latency_chart(ANSWERS, PERCENTILES, [(5.0, "alpha 5")])
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) == {
        "none",
        *(f"var(--{name})" for name in ("ink", "quiet", "rule", "accent", "warm")),
    }


def test_class_bars_are_sorted_and_a_class_that_was_not_seen_has_none():
    svg = class_iou_chart([("low", "#111111", 0.25), ("unseen", "#222222", None), ("high", "#333333", 1.0)])
    bars = read_groups(svg, "iou-")
    assert list(bars) == ["iou-high", "iou-low"]
    assert width(read_path(bars["iou-low"])) == pytest.approx(width(read_path(bars["iou-high"])) / 4, abs=0.01)
    assert [text for text in read_texts(svg) if text in ("high", "low", "unseen")] == ["high", "low", "unseen"]
    assert [text for text in read_texts(svg) if text in ("100.0", "25.0", "not seen")] == ["100.0", "25.0", "not seen"]


def test_the_training_chart_has_loss_and_mean_iou_with_their_last_values():
    svg = training_chart([(0, 2.0), (50, 1.0)], {"val": [(50, 0.25)], "hold <out>": [(25, 0.1), (50, 0.5)]}, 100)
    assert list(read_groups(svg, "loss ")) == ["loss training"]
    assert list(read_groups(svg, "mean IoU ")) == ["mean IoU val", "mean IoU hold <out>"]
    texts = read_texts(svg)
    for text in ("loss", "mean IoU", "steps", "training 1.000", "val 0.250", "hold <out> 0.500"):
        assert text in texts


def test_the_training_chart_can_be_drawn_before_the_first_validation():
    assert "training 2.000" in read_texts(training_chart([(1, 2.0)], {}, 1))
    assert "loss" in read_texts(training_chart([], {}, 0))


def test_the_bars_of_all_groups_share_one_scale():
    bars = [Bar("slow", 240.0, "240 ms", "theirs"), Bar("fast", 30.0, "30 ms", "ours")]
    svg = bar_groups_chart({"first": bars, "second": bars[1:]}, {"theirs": "#888888", "ours": "#1f6fb4"}, "times")
    widths = {name: width(read_path(group)) for name, group in read_groups(svg, "bar-").items()}
    assert widths["bar-0-1"] == pytest.approx(widths["bar-0-0"] / 8, abs=0.01)
    assert widths["bar-1-0"] == pytest.approx(widths["bar-0-1"], abs=0.01)
    texts = read_texts(svg)
    for text in ("first", "second", "slow", "fast", "240 ms", "30 ms", "theirs", "ours"):
        assert text in texts


def test_the_trade_off_chart_has_a_line_per_series_and_hollow_marks():
    lines = {"one": [Mark(4.0, 20.0, "3", False), Mark(5.0, 10.0, "8", False)], "two": [Mark(8.0, 40.0, "3", True)]}
    svg = trade_off_chart(lines, "power (W)", "frame rate (frames/s)", "a note")
    first = read_marks(read_groups(svg, "marks-0")["marks-0"])
    (hollow,) = read_marks(read_groups(svg, "marks-1")["marks-1"])
    assert [fill == "#ffffff" for _, _, fill in (*first, hollow)] == [False, False, True]
    assert hollow[0] - first[1][0] == pytest.approx(3 * (first[1][0] - first[0][0]), abs=0.01)
    assert first[0][1] - hollow[1] == pytest.approx(2 * (first[1][1] - first[0][1]), abs=0.01)
    assert len(read_groups(svg, "line-")) == 2
    texts = read_texts(svg)
    for text in ("power (W)", "frame rate (frames/s)", "a note", "one", "two", "3", "8"):
        assert text in texts


LONG = "espnet_ros, onnxruntime fp32, 4 threads"
"""As long a name as the programs draw."""
CHARTS = {
    "latency": lambda: latency_chart(ANSWERS, PERCENTILES, [(0.0, "alpha 8"), (5.0, "alpha 5"), (9.9, "alpha 3")]),
    "slow latency": lambda: latency_chart([(0.0, 12345.6)], [("p50", 12345.6), ("p95", 12345.6)]),
    "class IoU": lambda: class_iou_chart(
        [("traffic light and its pole", "#111111", 0.25), ("unseen", "#222222", None), ("high", "#333333", 1.0)]
    ),
    "training": lambda: training_chart([(0, 2.0), (50, 1.0)], {LONG: [(50, 0.25)], "val": [(25, 0.1)]}, 100_000),
    "bars": lambda: bar_groups_chart(
        {LONG: [Bar(LONG, 12345.0, "12345.0 ms, 100.0x", "theirs"), Bar("fast", 30.0, "30 ms", "ours")]},
        {"theirs": "#888888", "ours": "#1f6fb4"},
        "times",
    ),
    "trade-off": lambda: trade_off_chart(
        {
            f"MAXP_CORE_DENVER, {LONG}": [Mark(4.0, 20.0, "3", False), Mark(5.0, 10.0, "8", True)],
            "MAXN": [Mark(8.0, 40.0, "8", False)],
        },
        "power (W)",
        "frame rate (frames/s)",
        "hollow: heat or over-current throttled the clocks",
    ),
}


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS.keys())
def test_no_text_of_a_chart_is_cut_off(chart):
    assert texts_outside(chart()) == []


def test_a_text_that_is_cut_off_is_found():
    svg = bar_groups_chart({"first": [Bar("slow", 240.0, "240 ms", "ours")]}, {"ours": "#1f6fb4"}, "times")
    assert texts_outside(svg) == []
    (anchor,) = re.findall(r'x="([\d.]+)" y="[\d.]+"[^>]*>240 ms<', svg)
    assert texts_outside(svg.replace(f'x="{anchor}"', 'x="930"')) == ["240 ms"]
    assert texts_outside(svg.replace('viewBox="0 0 960 104"', 'viewBox="0 0 960 90"')) == ["ours"]


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings():
    import matplotlib

    first = latency_chart(ANSWERS, PERCENTILES)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert latency_chart(ANSWERS, PERCENTILES) == first
        assert matplotlib.rcParams["font.size"] == 30
    assert first.startswith("<svg ")
    assert "<metadata" not in first
