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
    recorder = DriveRecorder(CAMVID, has_labels)
    for index in range(num_frames):
        recorder.note_sent(_frame(index, 3 if has_labels else None), 1000 + index, 5.0 + 0.1 * index)
        if is_answered(index):
            recorder.note_answer(1000 + index, _labels(3), 5.02 + 0.1 * index)
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
    recorder = DriveRecorder(CAMVID, False)
    recorder.note_sent(_frame(0), 1, 0.0)
    recorder.note_sent(_frame(1), 2, 0.1)
    for stamp in (7, 2, 2, 1):
        recorder.note_answer(stamp, _labels(0), 0.2)
    assert recorder.answered == 1


def test_latency_percentiles_are_between_the_values():
    recorder = DriveRecorder(CAMVID, False)
    for index, latency in enumerate((0.010, 0.020, 0.030)):
        recorder.note_sent(_frame(index), index, float(index))
        recorder.note_answer(index, _labels(0), index + latency)
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
    recorder = DriveRecorder(CAMVID, True)
    with pytest.raises(DatasetError, match="labels of frame 0: ids must be 0..11"):
        recorder.note_sent(_frame(0, 99), 1, 0.0)


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
    recorder = DriveRecorder(CAMVID, False)
    recorder.note_sent(Frame("wide", 1, np.zeros((600, 1920, 3), np.uint8)), 1, 0.0)
    recorder.note_answer(1, np.zeros((600, 1920), np.uint8), 0.1)
    (sample,) = recorder.report().samples
    assert sample.image.shape == sample.overlay.shape == sample.labels.shape == (300, 960, 3)


def test_a_drive_without_answers_has_no_latency():
    report = _drive(3, is_answered=lambda _index: False).report()
    assert report.frame_rate == 0.0
    assert report.latency(50) is None
    assert report.as_dict()["latency_p95"] is None
