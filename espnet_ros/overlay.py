"""Class colours over an image."""

from __future__ import annotations

import cv2
import numpy as np

from espnet_ros.classes import ClassTable
from espnet_ros.image_encoding import ColorImage


def blend_overlay(image: ColorImage, labels: np.ndarray, class_table: ClassTable, opacity: float) -> np.ndarray:
    """Class colours over an image.

    Args:
        image: (H, W, 3) uint8 pixels.
        labels: (H, W) uint8; labels outside the table leave the image as it is.
        class_table: gives the colours.
        opacity: 0 (image alone) to 1 (colours alone).

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
