import numpy as np
import pytest

from espnet_ros.classes import load_class_table
from espnet_ros.image_encoding import ColorImage
from espnet_ros.overlay import blend_overlay
from espnet_ros.types import UNLABELLED

CAMVID = load_class_table("camvid")  # sky (128, 128, 128), building (128, 0, 0), ... in RGB
LABELS = np.array([[0, 1, UNLABELLED], [1, 1, 1]], np.uint8)


def overlay(opacity, channel_order="bgr"):
    pixels = np.full((2, 3, 3), (10, 20, 30), np.uint8)
    if channel_order == "rgb":
        pixels = pixels[:, :, ::-1]
    return blend_overlay(ColorImage(pixels, channel_order), LABELS, CAMVID, opacity)


@pytest.mark.parametrize("channel_order", ["bgr", "rgb"])
def test_the_overlay_is_rgb_whatever_the_image_is(channel_order):
    blended = overlay(0.5, channel_order)
    assert blended[0, 0].tolist() == [79, 74, 69]  # half of (128, 128, 128), half of (30, 20, 10)
    assert blended[0, 1].tolist() == [79, 10, 5]


def test_unlabelled_pixels_show_the_image():
    for opacity in (0.0, 0.5, 1.0):
        assert overlay(opacity)[0, 2].tolist() == [30, 20, 10]


def test_opacity_0_is_the_image_and_1_the_colours():
    assert overlay(0.0)[1, 1].tolist() == [30, 20, 10]
    assert overlay(1.0)[1, 1].tolist() == [128, 0, 0]


def test_the_image_itself_is_left_alone():
    pixels = np.full((2, 3, 3), 9, np.uint8)
    blend_overlay(ColorImage(pixels, "rgb"), LABELS, CAMVID, 1.0)
    assert (pixels == 9).all()
