import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch

from espnet_ros.training.augmentation import Augmenter, draw_colours, draw_placement, gaussian_blur, move
from espnet_ros.training.config import Augmentation
from espnet_ros.types import UNLABELLED, ImageSize

SIZE = ImageSize(24, 40)
MEAN = (100.0, 110.0, 120.0)


def _pattern():
    """(1, 24, 40, 3) image whose blue value is 20 times the label; blocks of 8 pixels."""
    rows, columns = np.mgrid[0:24, 0:40] // 8
    labels = (rows * 5 + columns % 5).astype(np.uint8)[None] % 12
    image = np.stack([labels * 20, labels * 20, labels * 20], -1)
    return torch.from_numpy(image), torch.from_numpy(labels)


def _augment(settings, step=0, crop=SIZE, mean=MEAN):
    return Augmenter(settings, crop, mean, seed=3)(*_pattern(), step)


def test_without_changes_the_batch_is_the_image():
    image, labels = _pattern()
    batch = _augment(Augmentation(flip=0.0))
    assert batch.images.shape == (1, 3, 24, 40)
    assert torch.allclose(batch.images, image.permute(0, 3, 1, 2).float(), atol=0.02)
    assert torch.equal(batch.labels, labels.long())


def test_a_flip_mirrors_image_and_labels_left_to_right():
    image, labels = _pattern()
    batch = _augment(Augmentation(flip=1.0))
    assert torch.equal(batch.labels, labels.flip(2).long())
    assert torch.allclose(batch.images, image.permute(0, 3, 1, 2).flip(3).float(), atol=0.02)


@pytest.mark.parametrize("step", range(8))
def test_image_and_labels_stay_aligned(step):
    batch = _augment(Augmentation(scale=(0.5, 2.5), aspect=0.2, rotation=0.3), step, ImageSize(16, 32))
    known = batch.labels != UNLABELLED
    expected = batch.labels * 20.0
    # Away from the edges of the blocks, where bilinear and nearest must agree, the image says its label.
    agrees = ((batch.images[:, 0] - expected).abs() < 1.0)[known]
    assert known.any()
    assert agrees.float().mean() > 0.6
    wrong = (batch.images[:, 0] - expected).abs()[known]
    assert wrong.median() < 0.5


def test_a_zoom_of_two_shows_each_pixel_twice():
    image, labels = _pattern()
    placement = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    _, truth = move(image.permute(0, 3, 1, 2).float(), labels, placement, SIZE)
    middle = labels[0, 6:18, 10:30].long()
    assert torch.equal(truth[0], middle.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_what_lies_outside_is_unlabelled_and_of_the_mean_colour():
    image, labels = _pattern()
    placement = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])  # half as large: a quarter of the pixels is left
    moved, truth = move(image.permute(0, 3, 1, 2).float() + 1.0, labels, placement, SIZE)
    inside = torch.zeros(24, 40, dtype=torch.bool)
    inside[6:18, 10:30] = True
    assert torch.equal(truth[0] != UNLABELLED, inside)
    assert (moved[0][:, ~inside] == 0).all()


def test_unlabelled_pixels_stay_unlabelled():
    image, labels = _pattern()
    labels = torch.full_like(labels, UNLABELLED)
    _, truth = move(image.permute(0, 3, 1, 2).float(), labels, torch.eye(2, 3)[None], SIZE)
    assert (truth == UNLABELLED).all()


def test_a_crop_stays_within_an_image_that_is_larger():
    settings = Augmentation(scale=(1.0, 2.0))
    generator = torch.Generator().manual_seed(0)
    placement = draw_placement(settings, 50, SIZE, ImageSize(16, 24), generator)
    corners = torch.tensor([[-12.0, -8.0, 1.0], [12.0, 8.0, 1.0]])
    places = torch.einsum("nij,kj->nki", placement, corners)
    assert places[..., 0].abs().max() <= 20.0 + 1e-4
    assert places[..., 1].abs().max() <= 12.0 + 1e-4


@pytest.mark.parametrize("crop", [ImageSize(16, 24), ImageSize(8, 40), ImageSize(32, 48)])
def test_a_crop_without_change_of_scale_keeps_the_pixels_as_they_are(crop):
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(256, (1, *SIZE, 3), generator=generator, dtype=torch.uint8)
    labels = torch.randint(12, (1, *SIZE), generator=generator, dtype=torch.uint8)
    framed = torch.full((*(side + 2 * 16 for side in SIZE), 3), -1.0)
    framed[16:-16, 16:-16] = image[0].float()
    windows = framed.unfold(0, crop.height, 1).unfold(1, crop.width, 1)  # (rows, columns, 3, h, w)
    places = set()
    for step in range(6):
        batch = Augmenter(Augmentation(flip=0.0), crop, (-1.0, -1.0, -1.0), seed=3)(image, labels, step)
        wrong = (windows - batch.images[0].round()).abs().amax((2, 3, 4))
        assert (batch.images[0] - batch.images[0].round()).abs().max() < 0.05
        assert (wrong == 0).sum() == 1
        places.add(int(wrong.argmin()))
    assert len(places) > 1


def test_the_step_chooses_the_changes_and_repeats_them():
    settings = Augmentation(scale=(0.5, 2.0), brightness=0.3, hue=0.3, blur=0.5, noise=5.0)
    first, again, other = _augment(settings, 4), _augment(settings, 4), _augment(settings, 5)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


def test_hue_and_saturation_leave_grey_alone_and_full_loss_of_colour_gives_luma():
    generator = torch.Generator().manual_seed(0)
    matrix, _ = draw_colours(Augmentation(hue=1.0, saturation=0.5), 6, generator)
    grey = torch.full((3,), 90.0)
    assert torch.allclose(matrix @ grey, grey.expand(6, 3), atol=0.2)
    matrix, _ = draw_colours(Augmentation(gray=1.0), 1, generator)
    # BT.601: 0.114 * 10 + 0.587 * 20 + 0.299 * 200 = 72.68
    assert torch.allclose(matrix[0] @ torch.tensor([10.0, 20.0, 200.0]), torch.full((3,), 72.68), atol=0.2)


def test_brightness_is_a_factor():
    batch = _augment(Augmentation(flip=0.0, brightness=0.5))
    image, _ = _pattern()
    ratio = batch.images[image.permute(0, 3, 1, 2) == 60] / 60
    assert ratio.std() < 1e-3
    assert 0.5 <= ratio.mean() <= 1.5 and abs(ratio.mean() - 1.0) > 1e-3


def test_blur_spreads_a_point_as_a_gaussian():
    image = torch.zeros(1, 3, 17, 21)
    image[0, 1, 8, 10] = 1000.0
    blurred = gaussian_blur(image, torch.tensor([1.0]))
    assert blurred[0, 1].sum() == pytest.approx(1000.0, rel=1e-4)
    assert blurred[0, 1, 8, 11] / blurred[0, 1, 8, 10] == pytest.approx(math.exp(-0.5), rel=1e-4)
    assert blurred[0, 0].abs().sum() == 0
