"""Class colours drawn over an image."""

from __future__ import annotations

import cv2
import numpy as np

from espnet_ros.classes import ClassTable
from espnet_ros.image_encoding import ColorImage
from espnet_ros.types import Segmentation


def draw_overlay(image: np.ndarray, segmentation: Segmentation, opacity: float = 0.5) -> np.ndarray:
    """Draw a segmentation over its image.

    Args:
        image: (H, W, 3) uint8 BGR.
        segmentation: result of ``Segmenter.segment`` for the image.
        opacity: 0 (image only) to 1 (class colours only).

    Returns:
        (H, W, 3) uint8 BGR. Unlabelled pixels show the image.
    """
    overlay = blend_overlay(ColorImage(image, "bgr"), segmentation.labels, segmentation.class_table, opacity)
    return np.asarray(cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))


def blend_overlay(image: ColorImage, labels: np.ndarray, class_table: ClassTable, opacity: float) -> np.ndarray:
    """Blend class colours into an image.

    Args:
        image: (H, W, 3) uint8 pixels.
        labels: (H, W) uint8 class ids. Pixels with an id outside the table show the image.
        class_table: colours of the classes.
        opacity: 0 (image only) to 1 (class colours only).

    Returns:
        (H, W, 3) uint8 RGB.
    """
    pixels = image.pixels if image.channel_order == "rgb" else cv2.cvtColor(image.pixels, cv2.COLOR_BGR2RGB)
    colors = cv2.applyColorMap(labels, class_table.palette.reshape(256, 1, 3))
    blended = cv2.addWeighted(pixels, 1.0 - opacity, colors, opacity, 0.0)
    outside = labels >= len(class_table)
    if outside.any():
        blended[outside] = pixels[outside]
    return np.asarray(blended)
