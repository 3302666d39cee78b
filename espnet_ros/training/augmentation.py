"""Random augmentation of a whole batch at once, on the training device.

All random numbers come from a generator that is seeded by run and step, so a resumed run sees the same images as an
uninterrupted one. Shapes are (batch, channels, height, width); colours are BGR 0..255.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from espnet_ros.training.config import Augmentation
from espnet_ros.types import UNLABELLED, ImageSize

_GREY = (0.114, 0.587, 0.299)
"""Luma of ITU-R BT.601 for blue, green, red."""
_BLUR_RADIUS = 4
_STEP_STRIDE = 1_000_003  # a prime, so that (seed, step) pairs of one experiment do not collide


class Batch(NamedTuple):
    """Images and labels of one training step."""

    images: Tensor
    """(N, 3, h, w) float32 BGR 0..255."""
    labels: Tensor
    """(N, h, w) int64 class ids, 255 unlabelled."""


class Augmenter:
    """Augments batches at random.

    Args:
        settings: kinds and strengths.
        crop: height and width of the result.
        mean: BGR colour that fills areas outside an image; contrast changes around it.
        seed: of the run.
    """

    def __init__(self, settings: Augmentation, crop: ImageSize, mean: Tuple[float, float, float], seed: int) -> None:
        self._settings = settings
        self._crop = crop
        self._mean = mean
        self._seed = seed

    def __call__(self, images: Tensor, labels: Tensor, step: int) -> Batch:
        """Augment a batch.

        Args:
            images: (N, H, W, 3) uint8 BGR.
            labels: (N, H, W) uint8.
            step: of the run; seeds the random numbers.
        """
        generator = torch.Generator().manual_seed((self._seed * _STEP_STRIDE + step) % (1 << 63))
        device = images.device
        mean = torch.tensor(self._mean, device=device).reshape(1, 3, 1, 1)
        centred = images.permute(0, 3, 1, 2).float() - mean
        placement = draw_placement(self._settings, len(images), ImageSize(*labels.shape[1:]), self._crop, generator)
        if placement is None:
            moved, truth = centred, labels.long()
        else:
            moved, truth = move(centred, labels, placement.to(device), self._crop)
        return Batch(self._recolour(moved, mean, generator), truth)

    def _recolour(self, centred: Tensor, mean: Tensor, generator: torch.Generator) -> Tensor:
        settings = self._settings
        matrix, factor = draw_colours(settings, len(centred), generator)
        colours = centred + mean
        if settings.brightness or settings.contrast or settings.saturation or settings.hue or settings.gray:
            # Contrast around the training mean, brightness, then the colour matrix around black: one linear map.
            brightness, contrast = (column.to(mean.device).reshape(-1, 1, 1, 1) for column in factor)
            colours = (centred * contrast + mean) * brightness
            count, _, height, width = colours.shape
            mixed = torch.bmm(matrix.to(mean.device), colours.reshape(count, 3, height * width))
            colours = mixed.reshape(count, 3, height, width).clamp(0.0, 255.0)
        colours = self._blur(colours, generator)
        if settings.noise:
            sigma = torch.rand(len(colours), 1, 1, 1, generator=generator) * settings.noise
            device_seed = int(torch.randint(1 << 62, (1,), generator=generator))
            source = torch.Generator(colours.device).manual_seed(device_seed)
            noise = torch.randn(colours.shape, generator=source, device=colours.device)
            colours = (colours + noise * sigma.to(colours.device)).clamp(0.0, 255.0)
        return colours

    def _blur(self, colours: Tensor, generator: torch.Generator) -> Tensor:
        settings = self._settings
        if not settings.blur:
            return colours
        count = len(colours)
        chosen = torch.rand(count, generator=generator) < settings.blur
        sigmas = _uniform(settings.blur_sigma, count, generator)
        picked = torch.nonzero(chosen).flatten()
        if not len(picked):
            return colours
        index = picked.to(colours.device)
        blurred = gaussian_blur(colours.index_select(0, index), sigmas[picked].to(colours.device))
        return colours.index_copy(0, index, blurred)


def draw_placement(
    settings: Augmentation, count: int, size: ImageSize, crop: ImageSize, generator: torch.Generator
) -> Tensor:
    """Draw the random affine map of each image.

    Args:
        settings: scale, aspect, rotation and flip.
        count: number of images.
        size: of the images.
        crop: size of the result.
        generator: on the CPU.

    Returns:
        (count, 2, 3) float32: maps (x, y, 1), in pixels from the centre of the result, to pixels from the centre of
        the image.
    """
    log_scale = _uniform((math.log(settings.scale[0]), math.log(settings.scale[1])), count, generator)
    stretch = _uniform((-settings.aspect, settings.aspect), count, generator)
    angle = _uniform((-settings.rotation, settings.rotation), count, generator)
    flipped = torch.rand(count, generator=generator) < settings.flip
    place = torch.rand(count, 2, generator=generator)
    zoom = log_scale.exp()
    zoom_x, zoom_y = zoom * (1.0 + stretch), zoom
    cos, sin = angle.cos(), angle.sin()
    mirror = torch.where(flipped, -1.0, 1.0)
    # Range of the crop's centre in the zoomed image, or of the zoomed image in the crop, in image pixels.
    slack_x = (size.width - crop.width / zoom_x).abs()
    slack_y = (size.height - crop.height / zoom_y).abs()
    if not (settings.aspect or settings.rotation) and settings.scale == (1.0, 1.0):
        # By whole pixels, so that nothing is interpolated: interpolation blurs the edges of thin objects.
        place[:, 0] = (place[:, 0] * slack_x).round() / slack_x.clamp_min(1.0)
        place[:, 1] = (place[:, 1] * slack_y).round() / slack_y.clamp_min(1.0)
    shift_x = (place[:, 0] - 0.5) * slack_x
    shift_y = (place[:, 1] - 0.5) * slack_y
    row_x = torch.stack([mirror * cos / zoom_x, -mirror * sin / zoom_x, mirror * shift_x], 1)
    row_y = torch.stack([sin / zoom_y, cos / zoom_y, shift_y], 1)
    return torch.stack([row_x, row_y], 1)


def move(centred: Tensor, labels: Tensor, placement: Tensor, crop: ImageSize) -> Tuple[Tensor, Tensor]:
    """Sample images and labels at the same positions.

    Args:
        centred: (N, 3, H, W) float32; 0 is the value outside the image.
        labels: (N, H, W) uint8.
        placement: (N, 2, 3), see ``draw_placement``.
        crop: size of the result.

    Returns:
        (N, 3, h, w) float32, bilinear; (N, h, w) int64, nearest, 255 outside the image.
    """
    count, _, height, width = centred.shape
    # grid_sample and affine_grid use coordinates from -1 to 1, from edge to edge of an image.
    to_pixels = placement.new_tensor([crop.width / 2, crop.height / 2, 1.0])
    from_pixels = placement.new_tensor([[2.0 / width], [2.0 / height]])
    theta = placement * to_pixels * from_pixels
    grid = functional.affine_grid(theta, [count, 3, crop.height, crop.width], align_corners=False)
    moved = functional.grid_sample(centred, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # grid_sample pads with zeros, so ids are shifted by one and 0 means unlabelled.
    raised = (labels.unsqueeze(1) + 1.0).float()  # (N, 1, H, W)
    sampled = functional.grid_sample(raised, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    truth = sampled.squeeze(1).round().long() - 1
    return moved, torch.where(truth < 0, torch.full_like(truth, UNLABELLED), truth)


def draw_colours(
    settings: Augmentation, count: int, generator: torch.Generator
) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:
    """Draw the random colour changes of each image.

    Hue rotates the chroma plane of YIQ and saturation scales it. Neither changes grey.

    Returns:
        (count, 3, 3) float32 matrix for BGR, and (count,) factors of brightness and contrast.
    """
    brightness = _uniform((1 - settings.brightness, 1 + settings.brightness), count, generator)
    contrast = _uniform((1 - settings.contrast, 1 + settings.contrast), count, generator)
    saturation = _uniform((1 - settings.saturation, 1 + settings.saturation), count, generator)
    hue = _uniform((-settings.hue, settings.hue), count, generator)
    is_grey = torch.rand(count, generator=generator) < settings.gray
    saturation = torch.where(is_grey, torch.zeros_like(saturation), saturation)
    blue, green, red = _GREY
    # Rows: luma, then the I and Q of YIQ, for columns blue, green, red.
    to_yiq = torch.tensor([[blue, green, red], [-0.3213, -0.2746, 0.5959], [0.3112, -0.5227, 0.2115]])
    turn = torch.zeros(count, 3, 3)
    turn[:, 0, 0] = 1.0
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * hue.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -saturation * hue.sin(), saturation * hue.sin()
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq, (brightness, contrast)


def gaussian_blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each (3, H, W) image of a batch with its own sigma, in pixels; edge pixels are repeated."""
    count, channels, height, width = images.shape
    offsets = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=images.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigmas.reshape(-1, 1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)  # (N * 3, taps)
    taps = kernel.shape[1]
    joined = images.reshape(1, count * channels, height, width)
    padded = functional.pad(joined, [_BLUR_RADIUS] * 4, mode="replicate")
    across = functional.conv2d(padded, kernel.reshape(-1, 1, 1, taps), groups=count * channels)
    down = functional.conv2d(across, kernel.reshape(-1, 1, taps, 1), groups=count * channels)
    return down.reshape(count, channels, height, width)


def _uniform(bounds: Tuple[float, float], count: int, generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator)
