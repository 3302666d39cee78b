import math

import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.classes import load_class_table
from espnet_ros.training.config import Loss, Stage
from espnet_ros.training.losses import SegmentationLoss, cross_entropy, eighth, lovasz_softmax
from espnet_ros.training.optimisation import build_optimizer, learning_rate
from espnet_ros.training.order import draw_order
from espnet_ros.training.statistics import class_weights
from espnet_ros.types import UNLABELLED


def _logits(rows):
    """(1, C, 1, P) of P pixels' scores."""
    return torch.tensor(rows).t().reshape(1, len(rows[0]), 1, len(rows))


def test_cross_entropy_is_the_weighted_mean_over_labelled_pixels():
    logits = _logits([[0.0, 0.0], [0.0, math.log(3.0)], [9.0, 0.0]])
    labels = torch.tensor([[[0, 1, UNLABELLED]]])
    # -log(1/2) of weight 1 and -log(3/4) of weight 2
    expected = (math.log(2.0) + 2 * math.log(4 / 3)) / 3
    assert cross_entropy(logits, labels, torch.tensor([1.0, 2.0])) == pytest.approx(expected, abs=1e-6)


def test_the_hardest_half_is_the_mean_of_the_larger_losses():
    logits = _logits([[0.0, 0.0], [5.0, 0.0], [0.0, 1.0], [6.0, 0.0]])
    labels = torch.tensor([[[0, 0, 0, 0]]])
    expected = (math.log(2.0) + math.log(1 + math.e)) / 2
    assert cross_entropy(logits, labels, torch.ones(2), 0.0, 0.5) == pytest.approx(expected, abs=1e-5)


def test_a_batch_without_labels_has_no_loss():
    labels = torch.full((1, 1, 2), UNLABELLED)
    logits = _logits([[1.0, 2.0], [3.0, 4.0]]).requires_grad_()
    for loss in (cross_entropy(logits, labels, torch.ones(2)), lovasz_softmax(logits, labels, [0, 1])):
        assert loss == 0
        loss.backward()
    assert (logits.grad == 0).all()


def test_lovasz_of_certain_labels_is_one_minus_mean_iou():
    # Truth 0 0 1 1, predicted for certain 0 1 1 1: IoU 1/2 and 2/3.
    logits = _logits([[50.0, 0.0], [0.0, 50.0], [0.0, 50.0], [0.0, 50.0]])
    labels = torch.tensor([[[0, 0, 1, 1]]])
    assert lovasz_softmax(logits, labels, [0, 1]) == pytest.approx(1 - (1 / 2 + 2 / 3) / 2, abs=1e-6)


def test_lovasz_follows_the_definition_between_corners():
    # One class of three pixels, truth 1 0 0, probabilities 0.5, 0.75, 0.25 for it: errors 0.5, 0.75, 0.25.
    # In falling order the truth is 0 1 0, so 1 - IoU of the growing error sets is 1/2, 1, 1: 0.75 / 2 + 0.5 / 2 = 0.625
    logits = _logits([[0.0, 0.0], [math.log(3.0), 0.0], [0.0, math.log(3.0)]])
    labels = torch.tensor([[[0, 1, 1]]])
    assert lovasz_softmax(logits, labels, [0]) == pytest.approx(0.625, abs=1e-6)


def test_lovasz_leaves_out_unlabelled_pixels_and_absent_classes():
    logits = _logits([[2.0, 0.0, 1.0], [0.0, 1.0, 0.5], [5.0, 0.0, 0.0]])
    labels = torch.tensor([[[0, 1, UNLABELLED]]])
    alone = lovasz_softmax(logits[..., :2], labels[..., :2], [0, 1])
    assert lovasz_softmax(logits, labels, [0, 1, 2]) == pytest.approx(float(alone), abs=1e-6)


def test_the_encoder_is_compared_with_the_middle_of_each_block():
    labels = torch.arange(16 * 24).reshape(1, 16, 24)
    assert eighth(labels).tolist() == [[[100, 108, 116], [292, 300, 308]]]


def test_classes_without_weight_are_left_out():
    loss = SegmentationLoss(Loss(lovasz_weight=1.0), torch.tensor([1.0, 0.0]), [0])
    logits = torch.randn(1, 2, 8, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(1, 8, 16, dtype=torch.long)
    labels[..., 8:] = 1
    cut = torch.where(labels == 1, torch.full_like(labels, UNLABELLED), labels)
    assert loss(logits, labels) == loss(logits, cut)


def test_every_part_of_the_loss_has_finite_gradients_at_both_sizes():
    settings = Loss(lovasz_weight=0.5, encoder_weight=0.5, label_smoothing=0.1, ohem_share=0.5)
    loss = SegmentationLoss(settings, torch.ones(3), [0, 1, 2])
    labels = torch.randint(0, 3, (2, 16, 24), generator=torch.Generator().manual_seed(1))
    full, scores = torch.zeros(2, 3, 16, 24, requires_grad=True), torch.zeros(2, 3, 2, 3, requires_grad=True)
    (loss(full, labels, scores) + loss(scores, labels)).backward()
    for tensor in (full, scores):
        assert tensor.grad.isfinite().all() and tensor.grad.abs().sum() > 0


def test_class_weights_are_those_of_the_papers():
    table = load_class_table("camvid")
    frequencies = torch.zeros(12, dtype=torch.float64)
    frequencies[0], frequencies[3], frequencies[8], frequencies[11] = 0.5, 0.3, 0.1, 0.1
    enet = class_weights(frequencies, table, "enet", 1.0, 0.25)
    # 1 / log(1.02 + p): 2.3864, 3.6041, 8.8273, mean 4.9393
    assert enet[[0, 3, 8]].tolist() == pytest.approx([0.4832, 0.7297, 1.7872], abs=1e-3)
    assert enet[11] == 0.25 and enet[1] == 0
    median = class_weights(frequencies, table, "median", 1.0, 0.0)
    assert (median[8] / median[0]).item() == pytest.approx(5.0)
    assert median[11] == 0
    softened = class_weights(frequencies, table, "median", 0.5, 0.0)
    assert (softened[8] / softened[0]).item() == pytest.approx(math.sqrt(5.0))
    assert class_weights(frequencies, table, "none", 1.0, 0.0)[[0, 3, 8]].tolist() == [1.0, 1.0, 1.0]


def test_the_learning_rate_rises_then_falls():
    cosine = Stage(steps=110, learning_rate=1.0, warmup_steps=10)
    assert learning_rate(cosine, 0, 110) == pytest.approx(0.1)
    assert learning_rate(cosine, 10, 110) == 1.0
    assert learning_rate(cosine, 60, 110) == pytest.approx(0.5)
    assert learning_rate(Stage(steps=100, learning_rate=1.0, schedule="poly"), 50, 100) == pytest.approx(0.5**0.9)
    assert learning_rate(Stage(steps=100, learning_rate=1.0, schedule="constant"), 99, 100) == 1.0


def test_only_convolutions_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4))
    decayed, free = build_optimizer(network, Stage(steps=1, weight_decay=0.1)).param_groups
    assert (len(decayed["params"]), decayed["weight_decay"]) == (1, 0.1)
    assert (len(free["params"]), free["weight_decay"]) == (3, 0.0)


def test_every_image_of_a_source_comes_before_one_comes_again():
    order = draw_order([5, 3], [0.5, 0.5], 200, seed=4).tolist()
    first = [index for index in order if index < 5]
    assert sorted(first[:5]) == sorted(first[5:10]) == [0, 1, 2, 3, 4]
    assert sorted(index for index in order if index >= 5)[0] == 5
    assert 70 < len(first) < 130
    assert draw_order([5, 3], [0.5, 0.5], 200, seed=4).tolist() == order
    assert draw_order([5, 3], [0.5, 0.5], 200, seed=5).tolist() != order
