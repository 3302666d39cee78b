import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from reporting.svg_reader import read_groups, read_texts

from espnet_ros.classes import load_class_table
from espnet_ros.demo.alpha_table import format_alphas
from espnet_ros.demo.drive import DriveRecorder
from espnet_ros.demo.page import headline_numbers, write_page
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import Frame

CAMVID = load_class_table("camvid")
FACTS = {"weights": "espnet_alpha8_camvid", "engine": "fake <none>"}
VOID_ELEMENTS = ("meta", "img", "input")


class Checker(HTMLParser):
    """Every element is closed; remembers what the page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        """<line/> and its like in SVG."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _report(num_frames=3, has_labels=True):
    recorder = DriveRecorder(CAMVID, has_labels, 8)
    for index in range(num_frames):
        truth = np.full((18, 32), 3, np.uint8) if has_labels else None
        frame = Frame(f"a<{index}>", index, np.full((18, 32, 3), 90, np.uint8), truth)
        recorder.record_sent(frame, index, 0.1 * index)
        recorder.record_answer(index, np.full((18, 32), 3, np.uint8), 0.1 * index + 0.025)
    return recorder.report()


def _page(tmp_path, **options):
    return write_page(_report(**options), "drive & images", CAMVID, FACTS, tmp_path / "out")


def _check(page):
    checker = Checker()
    checker.feed(page.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker.references


def _events(text):
    """Names of the events in the latency chart, each with its line."""
    chart = re.search(r"<svg.*?</svg>", text, re.DOTALL).group()
    names = [name for name in read_texts(chart) if name.startswith("alpha ")]
    assert len(names) == len(read_groups(chart, "event-"))
    return names


def test_the_page_refers_only_to_files_beside_it(tmp_path):
    page = _page(tmp_path)
    references = _check(page)
    files = [reference for reference in references if reference.startswith("frames/")]
    assert len(files) >= 4
    assert all((page.parent / file).is_file() for file in files)
    assert set(references) - set(files) == {"report.json", "node.log"}
    text = re.sub(r'xmlns(:xlink)?="http://www.w3.org/[^"]*"', "", page.read_text(encoding="utf-8"))
    assert "http" not in text


def test_the_page_shows_the_numbers_the_classes_and_what_ran(tmp_path):
    text = _page(tmp_path).read_text(encoding="utf-8")
    for _, value in headline_numbers(_report()):
        assert f"<dd>{value}</dd>" in text
    for row in CAMVID.classes:
        assert "background:#{:02x}{:02x}{:02x}".format(*row.color) in text
        assert f"</span>{row.name}</li>" in text
    assert "<td>espnet_alpha8_camvid</td>" in text
    assert text.count("<svg") == 2


def test_foreign_text_is_escaped(tmp_path):
    text = _page(tmp_path).read_text(encoding="utf-8")
    assert "drive &amp; images" in text
    assert "fake &lt;none&gt;" in text
    assert 'title="a&lt;0&gt;"' in text


def test_every_sample_has_its_images(tmp_path):
    page = _page(tmp_path)
    samples = json.loads(re.search(r"const samples = (.*);\n", page.read_text(encoding="utf-8")).group(1))
    assert len(samples) == 3
    for sample in samples:
        assert {"image", "overlay", "labels", "truth", "thumbnail", "name", "latency"} == set(sample)
        assert sample["latency"] == "25.0"


def test_without_labels_there_is_no_truth_and_no_iou(tmp_path):
    page = _page(tmp_path, has_labels=False)
    text = page.read_text(encoding="utf-8")
    assert "true labels" not in text
    assert "IoU" not in text
    assert not list(page.parent.glob("frames/*truth*"))


def test_images_of_an_earlier_drive_are_replaced(tmp_path):
    _page(tmp_path, num_frames=9)
    page = _page(tmp_path, num_frames=2)
    assert len(list(page.parent.glob("frames/*_overlay.jpg"))) == 2


def test_the_numbers_are_in_a_file_too(tmp_path):
    numbers = json.loads((_page(tmp_path).parent / "report.json").read_text())
    assert numbers["frames_sent"] == 3
    assert numbers["frame_rate"] == pytest.approx(10.0)
    assert numbers["latency_p50"] == pytest.approx(0.025)
    assert numbers["mean_iou"] == 1.0
    assert numbers["config"]["weights"] == "espnet_alpha8_camvid"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DatasetError, match=r"page .*index\.html: cannot be written"):
        _page(tmp_path)


def test_headline_numbers_have_units():
    assert headline_numbers(_report()) == [
        ("frame rate", "10.0 Hz"),
        ("latency p50", "25.0 ms"),
        ("latency p95", "25.0 ms"),
        ("dropped frames", "0 of 3"),
        ("mean IoU", "1.0000"),
    ]


def _switching_report(failure="", engine_time=None):
    """Alpha 8, a switch to alpha 5 half a second later, and alpha 5, one frame each."""
    recorder = DriveRecorder(CAMVID, True, 8)
    for index in range(3):
        if index == 1:
            recorder.begin_switch(5, 0.5)
        elif index == 2:
            recorder.end_switch(1.75, failure)
        truth = np.full((18, 32), 3, np.uint8)
        recorder.record_sent(Frame(str(index), index, np.full((18, 32, 3), 90, np.uint8), truth), index, float(index))
        recorder.record_answer(index, truth, index + 0.025)
    if engine_time is not None:
        recorder.record_engine_time(8, engine_time)
    return recorder.report()


def test_the_numbers_of_each_alpha_are_an_aligned_table():
    assert format_alphas(_switching_report())[:4] == [
        "alpha  answered  mean IoU  latency p50",
        "    8    1 of 1    1.0000      25.0 ms",
        "    5    1 of 1    1.0000      25.0 ms",
        "switch to alpha 5: in use 1.25 s after the request; 1 of 1 images were answered meanwhile",
    ]


def test_an_engine_time_that_is_not_known_is_explained():
    lines = format_alphas(_switching_report(engine_time=0.02))
    assert [line.split()[-1] for line in lines[1:3]] == ["ms", "-"]
    assert lines[0].endswith("engine's own time")
    assert any("once per second" in line for line in lines)
    assert not any("once per second" in line for line in format_alphas(_switching_report()))


def test_the_page_shows_each_alpha_and_its_switches(tmp_path):
    page = write_page(_switching_report(), "drive", CAMVID, FACTS, tmp_path / "out")
    _check(page)
    text = page.read_text(encoding="utf-8")
    assert "<tr><td>5</td><td>1 of 1</td><td>1.0000</td><td>25.0 ms</td></tr>" in text
    assert "<li>switch to alpha 5: in use 1.25 s after the request" in text
    assert _events(text) == ["alpha 8", "alpha 5"]


def test_a_switch_that_failed_is_told_with_its_reason(tmp_path):
    page = write_page(_switching_report(failure="a <reason>"), "drive", CAMVID, FACTS, tmp_path / "out")
    _check(page)
    text = page.read_text(encoding="utf-8")
    assert "<li>switch to alpha 5 failed: a &lt;reason&gt;; 1 of 1 images were answered meanwhile</li>" in text
    assert _events(text) == ["alpha 8"]


def test_a_drive_with_one_alpha_has_no_table_of_alphas(tmp_path):
    text = _page(tmp_path).read_text(encoding="utf-8")
    assert "By alpha" not in text
    assert _events(text) == []
