import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.demo.drive import DriveRecorder
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.frames import Frame

CAMVID = load_class_table("camvid")
SIZE = (6, 10)


def _frame(index, label=None):
    truth = None if label is None else np.full(SIZE, label, np.uint8)
    return Frame(f"frame {index}", index, np.full((*SIZE, 3), 100, np.uint8), truth)


def _labels(label):
    return np.full(SIZE, label, np.uint8)


def _drive(num_frames, is_answered=lambda _index: True, has_labels=False):
    """Frames 0.1 s apart, each answered 0.02 s later."""
    recorder = DriveRecorder(CAMVID, has_labels, 8)
    for index in range(num_frames):
        recorder.record_sent(_frame(index, 3 if has_labels else None), 1000 + index, 5.0 + 0.1 * index)
        if is_answered(index):
            recorder.record_answer(1000 + index, _labels(3), 5.02 + 0.1 * index)
    return recorder


def test_rate_and_latency_are_of_the_answers():
    report = _drive(11).report()
    assert (report.sent, report.answered, report.dropped) == (11, 11, 0)
    assert report.frame_rate == pytest.approx(10.0)
    assert report.latency(50) == pytest.approx(0.02)
    assert report.answers[10].sent == pytest.approx(1.0)


def test_frames_without_an_answer_are_dropped_frames():
    report = _drive(10, is_answered=lambda index: index % 2 == 0).report()
    assert (report.answered, report.dropped) == (5, 5)
    assert report.frame_rate == pytest.approx(5.0)


def test_an_answer_to_an_unknown_or_older_frame_is_not_counted():
    recorder = DriveRecorder(CAMVID, False, 8)
    recorder.record_sent(_frame(0), 1, 0.0)
    recorder.record_sent(_frame(1), 2, 0.1)
    for stamp in (7, 2, 2, 1):
        recorder.record_answer(stamp, _labels(0), 0.2)
    assert recorder.answered == 1


def test_latency_percentiles_are_between_the_values():
    recorder = DriveRecorder(CAMVID, False, 8)
    for index, latency in enumerate((0.010, 0.020, 0.030)):
        recorder.record_sent(_frame(index), index, float(index))
        recorder.record_answer(index, _labels(0), index + latency)
    assert recorder.report().latency(50) == pytest.approx(0.020)
    assert recorder.report().latency(95) == pytest.approx(0.029)
    assert recorder.recent_latency() == pytest.approx(0.020)


def test_labels_are_scored_over_the_answers_alone():
    report = _drive(4, is_answered=lambda index: index != 2, has_labels=True).report()
    assert report.mean_iou == 1.0
    assert report.class_iou["road"] == 1.0
    assert report.class_iou["sky"] is None


def test_without_true_labels_there_is_no_iou():
    report = _drive(3).report()
    assert report.mean_iou is None
    assert report.class_iou == {}


def test_true_labels_outside_the_table_are_refused():
    recorder = DriveRecorder(CAMVID, True, 8)
    with pytest.raises(DatasetError, match="labels of frame 0: ids must be 0..11"):
        recorder.record_sent(_frame(0, 99), 1, 0.0)


@pytest.mark.parametrize(("num_frames", "num_samples", "step"), [(5, 5, 1), (24, 24, 1), (25, 13, 2), (100, 13, 8)])
def test_samples_are_evenly_spread_and_few(num_frames, num_samples, step):
    samples = _drive(num_frames).report().samples
    assert [sample.name for sample in samples] == [f"frame {step * index}" for index in range(num_samples)]


def test_a_sample_shows_the_image_the_overlay_and_the_colours_of_the_classes():
    sample = _drive(1, has_labels=True).report().samples[0]
    assert sample.image[0, 0].tolist() == [100, 100, 100]
    assert sample.labels[0, 0].tolist() == [128, 64, 128]
    assert sample.truth[0, 0].tolist() == [128, 64, 128]
    assert sample.overlay[0, 0].tolist() == [114, 82, 114]


def test_large_images_are_shrunk_for_the_page():
    recorder = DriveRecorder(CAMVID, False, 8)
    recorder.record_sent(Frame("wide", 1, np.zeros((600, 1920, 3), np.uint8)), 1, 0.0)
    recorder.record_answer(1, np.zeros((600, 1920), np.uint8), 0.1)
    (sample,) = recorder.report().samples
    assert sample.image.shape == sample.overlay.shape == sample.labels.shape == (300, 960, 3)


def test_a_drive_without_answers_has_no_latency():
    report = _drive(3, is_answered=lambda _index: False).report()
    assert report.frame_rate == 0.0
    assert report.latency(50) is None
    assert report.as_dict()["latency_p95"] is None


def _switching_drive(failure=""):
    """Alpha 8 answers two frames, and alpha 5 two; five are sent around the switch, and one of those is dropped.

    Frames are 1 s apart. Those of alpha 8 are answered after 0.1 s, those around the switch after 0.2 s, those after it
    after 0.3 s; the labels of the latter are wrong.
    """
    recorder = DriveRecorder(CAMVID, True, 8)

    def send(*indices):
        for index in indices:
            recorder.record_sent(_frame(index, 3), index, 50.0 + index)

    def answer(index, latency, label):
        recorder.record_answer(index, _labels(label), 50.0 + index + latency)

    send(0, 1)
    answer(0, 0.1, 3)
    answer(1, 0.1, 3)
    send(2, 3)
    recorder.begin_switch(5, 53.5)
    send(4, 5)
    answer(2, 0.2, 3)
    answer(4, 0.2, 3)
    send(6)
    recorder.end_switch(56.75, failure)
    answer(5, 0.2, 3)
    send(7, 8)
    answer(6, 0.2, 3)
    answer(7, 0.3, 4)
    answer(8, 0.3, 4)
    return recorder.report()


def test_frames_around_a_switch_belong_to_neither_alpha():
    report = _switching_drive()
    assert [(entry.alpha, entry.sent, entry.answered) for entry in report.alphas] == [(8, 2, 2), (5, 2, 2)]
    (switch,) = report.switches
    # 2 and 3 had no answer when alpha 5 was asked for; 4, 5 and 6 were sent before it was in use
    assert (switch.alpha, switch.sent, switch.answered) == (5, 5, 4)
    assert (switch.asked, switch.duration, switch.failure) == (3.5, 3.25, "")
    assert (report.sent, report.answered) == (9, 8)


def test_each_alpha_has_its_own_latency_and_iou():
    eight, five = _switching_drive().alphas
    assert (eight.latency_p50, five.latency_p50) == (pytest.approx(0.1), pytest.approx(0.3))
    assert (eight.mean_iou, five.mean_iou) == (1.0, 0.0)


def test_after_a_failed_switch_the_alpha_before_goes_on():
    report = _switching_drive(failure="refused")
    (eight,) = report.alphas
    assert (eight.alpha, eight.sent, eight.answered) == (8, 4, 4)
    assert report.switches[0].failure == "refused"


def test_an_alpha_that_comes_back_goes_on_with_its_numbers():
    recorder = DriveRecorder(CAMVID, False, 8)
    for stamp, alpha in enumerate((5, 8, 3)):
        recorder.record_sent(_frame(stamp), stamp, float(stamp))
        recorder.record_answer(stamp, _labels(0), stamp + 0.1)
        recorder.begin_switch(alpha, stamp + 0.2)
        recorder.end_switch(stamp + 0.3)
    report = recorder.report()
    assert [(entry.alpha, entry.answered) for entry in report.alphas] == [(8, 2), (5, 1), (3, 0)]
    assert report.alphas[2].latency_p50 is report.alphas[2].mean_iou is None


def test_the_numbers_of_each_alpha_are_ready_for_json():
    numbers = _switching_drive().as_dict()
    assert numbers["by_alpha"][0] == {
        "alpha": 8,
        "frames_sent": 2,
        "frames_answered": 2,
        "frames_dropped": 0,
        "latency_p50": pytest.approx(0.1),
        "mean_iou": 1.0,
        "engine_time": None,
    }
    assert numbers["switches"] == [
        {
            "alpha": 5,
            "asked": 3.5,
            "duration": 3.25,
            "frames_sent": 5,
            "frames_answered": 4,
            "frames_dropped": 1,
            "failure": "",
        }
    ]
