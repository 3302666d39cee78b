import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.evaluation.metrics import ConfusionMatrix
from espnet_ros.evaluation.report import class_iou_by_name, confusion_matrix_for

VOID = 3
# 2 rows, 4 columns. By hand:
#   truth      prediction
#   0 0 1 1    0 1 1 1
#   1 2 3 3    3 2 3 0
TRUTH = np.array([[0, 0, 1, 1], [1, 2, 3, 3]], np.uint8)
LABELS = np.array([[0, 1, 1, 1], [3, 2, 3, 0]], np.uint8)


def _matrix(truth=TRUTH, labels=LABELS, num_classes=4, ignored=(VOID,)):
    matrix = ConfusionMatrix(num_classes, ignored)
    matrix.add(labels, truth)
    return matrix


def test_counts_are_pixels_by_truth_and_prediction():
    assert _matrix().counts.tolist() == [
        [1, 1, 0, 0, 0],
        [0, 2, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [1, 0, 0, 1, 0],
    ]


def test_class_iou_counts_void_on_both_sides_as_wrong():
    # class 0: 1 right; union: truth 2, predicted 2 (one of them on void), minus 1 = 3
    # class 1: 2 right; union: truth 3 (one predicted void), predicted 3, minus 2 = 4
    # class 2: 1 right of 1
    assert _matrix().class_iou() == pytest.approx([1 / 3, 2 / 4, 1.0, np.nan], nan_ok=True)


def test_mean_iou_leaves_ignored_classes_out():
    assert _matrix().mean_iou() == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)


def test_mean_iou_counts_void_as_a_class_where_it_is_not_ignored():
    assert _matrix(ignored=()).mean_iou() == pytest.approx((1 / 3 + 1 / 2 + 1 + 1 / 3) / 4)


def test_pixel_accuracy_is_over_pixels_whose_truth_is_no_ignored_class():
    assert _matrix().pixel_accuracy() == pytest.approx(4 / 6)


def test_a_class_that_occurs_nowhere_is_nan_and_not_in_the_mean():
    matrix = _matrix(np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8))
    assert matrix.class_iou() == pytest.approx([1.0, np.nan, np.nan, np.nan], nan_ok=True)
    assert matrix.mean_iou() == 1.0


def test_a_class_that_is_only_predicted_has_an_iou_of_zero():
    matrix = _matrix(np.array([[0, 0]], np.uint8), np.array([[0, 2]], np.uint8))
    assert matrix.class_iou() == pytest.approx([0.5, np.nan, 0.0, np.nan], nan_ok=True)


def test_unlabelled_predictions_are_wrong():
    matrix = _matrix(np.array([[0, 0, 1]], np.uint8), np.array([[0, 255, 1]], np.uint8))
    assert matrix.class_iou()[:2] == pytest.approx([0.5, 1.0])
    assert matrix.pixel_accuracy() == pytest.approx(2 / 3)


def test_unlabelled_truth_does_not_count():
    matrix = _matrix(np.array([[0, 255, 1]], np.uint8), np.array([[0, 1, 1]], np.uint8))
    assert matrix.class_iou()[:2] == pytest.approx([1.0, 1.0])


def test_one_matrix_over_all_images_is_not_a_mean_of_images():
    matrix = ConfusionMatrix(2)
    matrix.add(np.array([[0, 0, 0]], np.uint8), np.array([[0, 0, 0]], np.uint8))
    matrix.add(np.array([[0]], np.uint8), np.array([[1]], np.uint8))
    assert matrix.class_iou() == pytest.approx([3 / 4, 0.0])


def test_an_empty_matrix_has_no_numbers():
    matrix = ConfusionMatrix(3)
    assert np.isnan(matrix.mean_iou())
    assert np.isnan(matrix.pixel_accuracy())


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(4, 2\)"):
        _matrix(TRUTH.T, LABELS)


def test_a_true_id_outside_the_table_is_refused():
    with pytest.raises(ValueError, match=r"0\.\.3 or 255, has 7"):
        _matrix(np.array([[7]], np.uint8), np.array([[0]], np.uint8))


def test_names_come_from_the_class_table_without_void():
    table = load_class_table("camvid")
    matrix = confusion_matrix_for(table)
    matrix.add(np.array([[8, 8]], np.uint8), np.array([[8, 11]], np.uint8))
    values = class_iou_by_name(matrix, table)
    assert "void" not in values
    assert values["car"] == 0.5
    assert values["sky"] is None
