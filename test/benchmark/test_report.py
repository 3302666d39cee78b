"""Hand-made timings: what the table, the JSON and the chart make of them."""

import json

import pytest
from reporting.svg_reader import read_groups, read_path, read_texts, width

from espnet_ros.benchmark.comparison import Comparison, Row
from espnet_ros.benchmark.interleaved import Timing
from espnet_ros.benchmark.report import as_document, comparison_chart, format_table
from espnet_ros.types import ImageSize


@pytest.fixture
def comparison():
    rows = (
        Row("published", False, "published pipeline, eager PyTorch", Timing((0.2, 0.24, 0.3)), 1.0),
        Row("openvino", False, "published network, OpenVINO", Timing((0.08, 0.05, 0.06)), 0.995),
        Row("openvino/auto", True, "espnet_ros, openvino bf16", Timing((0.03, 0.02, 0.04)), 0.9876),
    )
    return Comparison(8, ImageSize(256, 512), rows, {"tensorrt/auto": "no NVIDIA device"})


def test_ratios_are_of_medians_and_the_best_usual_way_is_none_of_ours(comparison):
    published, usual, ours = comparison.rows
    assert comparison.over_published(ours) == pytest.approx(0.24 / 0.03)
    assert comparison.over_best_runtime(ours) == pytest.approx(0.06 / 0.03)
    assert comparison.over_best_runtime(usual) == 1.0
    assert comparison.over_best_runtime(published) == pytest.approx(0.06 / 0.24)


def test_the_table_has_a_line_for_each_contender_and_says_what_did_not_run(comparison):
    lines = format_table([comparison, comparison]).splitlines()
    assert lines[4] == "| 8 | 256x512 | espnet_ros, openvino bf16 | 30.0 | 20.0 | 33.3 | 8.00 | 2.00 | 98.76% |"
    assert len({line.count("|") for line in lines[:8]}) == 1
    assert lines[8:] == ["", "Not run:", "", "- tensorrt/auto: no NVIDIA device"]


def test_the_json_has_every_call_and_what_it_depends_on(comparison):
    document = json.loads(json.dumps(as_document([comparison], "cityscapes", 3, "synthetic street"), allow_nan=False))
    assert document["machine"] and document["versions"]["numpy"]
    (entry,) = document["comparisons"]
    assert (entry["alpha"], entry["input_height"], entry["input_width"]) == (8, 256, 512)
    assert entry["not_run"] == {"tensorrt/auto": "no NVIDIA device"}
    assert entry["rows"][1] == {
        "contender": "openvino",
        "is_ours": False,
        "title": "published network, OpenVINO",
        "median_seconds": 0.06,
        "best_seconds": 0.05,
        "over_published": 4.0,
        "over_best_usual": 1.0,
        "same_labels": 0.995,
        "seconds": [0.08, 0.05, 0.06],
    }


def test_the_bars_of_the_chart_are_as_long_as_the_medians(comparison):
    chart = comparison_chart([comparison])
    widths = [width(read_path(group)) for group in read_groups(chart, "bar-").values()]
    assert [each / widths[0] for each in widths] == pytest.approx([1, 60 / 240, 30 / 240], abs=1e-3)
    texts = read_texts(chart)
    assert "alpha 8, 256x512: milliseconds per image" in texts
    assert "30.0 ms, 8.0x" in texts
