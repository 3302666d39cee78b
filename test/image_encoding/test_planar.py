import re

import numpy as np
import pytest
from image_messages import bgr_of_yuv, raw

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding import decode

HEIGHT, WIDTH = 6, 8


def random_planes(shares):
    """(H, W) Y, U and V; ``shares`` x ``shares`` pixels have the same U and V."""
    random = np.random.default_rng(15)
    luma = random.integers(16, 236, (HEIGHT, WIDTH), np.uint8)
    chroma = random.integers(16, 241, (2, HEIGHT // shares, WIDTH // shares), np.uint8)
    u, v = chroma.repeat(shares, axis=1).repeat(shares, axis=2)
    return luma, u, v


def interleaved(first, second, shares):
    """Rows of a plane that holds two colours in turn."""
    return np.stack([first[::shares, ::shares], second[::shares, ::shares]], axis=2).reshape(HEIGHT // shares, -1)


PLANES = {
    "nv12": (2, lambda u, v: [interleaved(u, v, 2)]),
    "nv21": (2, lambda u, v: [interleaved(v, u, 2)]),
    "nv24": (1, lambda u, v: [interleaved(u, v, 1)]),
    "i420": (2, lambda u, v: [u[::2, ::2], v[::2, ::2]]),
    "yuv420": (2, lambda u, v: [u[::2, ::2], v[::2, ::2]]),
    "YUV420P": (2, lambda u, v: [u[::2, ::2], v[::2, ::2]]),
    "YV12": (2, lambda u, v: [v[::2, ::2], u[::2, ::2]]),
    "NV12": (2, lambda u, v: [interleaved(u, v, 2)]),
}


def make(encoding, padding=0):
    """A message, the share of padding in a row of colour as in a row of brightness; and its colours."""
    shares, colours = PLANES[encoding]
    luma, u, v = random_planes(shares)
    rows = [luma, *colours(u, v)]
    data = b"".join(
        np.pad(plane, ((0, 0), (0, padding * plane.shape[1] // WIDTH)), constant_values=222).tobytes() for plane in rows
    )
    return raw(encoding, HEIGHT, WIDTH, WIDTH + padding, data), bgr_of_yuv(luma, u, v)


@pytest.mark.parametrize("encoding", PLANES)
@pytest.mark.parametrize("padding", [0, 4])
def test_planes_give_the_colours_of_the_standard(encoding, padding):
    message, expected = make(encoding, padding)
    image = decode(message)
    assert image.channel_order == "bgr"
    assert image.pixels.dtype == np.uint8
    assert np.abs(image.pixels - expected).max() <= 1.5


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24", "i420"])
def test_a_step_that_counts_all_planes_or_is_left_out_means_no_padding(encoding):
    message, expected = make(encoding)
    for step in (0, WIDTH, len(message.data) // HEIGHT):
        message.step = step
        assert np.abs(decode(message).pixels - expected).max() <= 1.5


def test_the_last_row_needs_no_padding_and_bytes_after_it_are_passed_over():
    message, expected = make("nv12", padding=4)
    message.data = message.data[:-4]
    assert np.abs(decode(message).pixels - expected).max() <= 1.5
    message.data += bytes(500)
    assert np.abs(decode(message).pixels - expected).max() <= 1.5


def test_nv24_takes_odd_sizes():
    message = raw("nv24", 3, 5, 5, bytes([126]) * 15 + bytes([128]) * 30)
    assert (decode(message).pixels == 128).all()  # (126 - 16) * 255 / 219


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "i420", "yv12"])
@pytest.mark.parametrize(("height", "width"), [(5, 8), (6, 7), (1, 1)])
def test_pixels_that_share_colours_need_even_sizes(encoding, height, width):
    expected = f"a {encoding} image's height and width must be even, are {height} and {width}"
    with pytest.raises(ImageError, match=expected) as caught:
        decode(raw(encoding, height, width, width, bytes(1000)))
    assert caught.value.kind == "size"


@pytest.mark.parametrize(
    ("encoding", "step", "length", "kind", "reason"),
    [
        ("nv12", 8, 71, "data", "data of a nv12 image of 6x8 pixels must have at least 72 bytes (step 8), have 71"),
        ("nv12", 12, 73, "data", "must have at least 104 bytes (step 12), have 73"),
        ("nv21", 10, 72, "data", "must have at least 88 bytes (step 10), have 72"),
        ("nv24", 8, 143, "data", "must have at least 144 bytes (step 8), have 143"),
        ("i420", 8, 0, "data", "have 0"),
        (
            "nv12",
            7,
            72,
            "step",
            "must be at least 8 for 8 pixels, or 0 for 72 bytes of data, is 7",
        ),
        ("nv12", 0, 73, "step", "is 0 with 73"),
    ],
)
def test_wrong_steps_and_lengths_are_refused_with_the_value(encoding, step, length, kind, reason):
    with pytest.raises(ImageError, match=re.escape(reason)) as caught:
        decode(raw(encoding, HEIGHT, WIDTH, step, bytes(length)))
    assert caught.value.kind == kind


def test_no_pixels_are_refused():
    with pytest.raises(ImageError, match="height and width must be above 0, are 0 and 8"):
        decode(raw("nv12", 0, 8, 8, b""))
