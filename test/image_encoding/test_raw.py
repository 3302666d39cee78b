import numpy as np
import pytest
from image_messages import bgr, packed, raw

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding import decode, decode_ids

HEIGHT, WIDTH = 4, 6
RED, GREEN, BLUE = 200, 100, 50
BGR = (BLUE, GREEN, RED)


def fill(*channels, dtype=np.uint8):
    return np.full((HEIGHT, WIDTH, len(channels)), channels, dtype)


def in_16_bit(*channels):
    """8-bit values on the scale of 16 bits."""
    return fill(*(257 * value for value in channels), dtype=np.uint16)


def mosaic(pattern):
    """What a 16-bit sensor with this colour filter sees of an evenly coloured wall."""
    value = {"r": RED, "g": GREEN, "b": BLUE}
    tile = np.array([[value[pattern[0]], value[pattern[1]]], [value[pattern[2]], value[pattern[3]]]])
    return (257 * np.tile(tile, (HEIGHT // 2, WIDTH // 2))).astype(np.uint16)


ONE_COLOUR = [
    ("rgb16", in_16_bit(RED, GREEN, BLUE)),
    ("bgr16", in_16_bit(BLUE, GREEN, RED)),
    ("rgba16", in_16_bit(RED, GREEN, BLUE, 7)),
    ("bgra16", in_16_bit(BLUE, GREEN, RED, 7)),
    ("16UC3", in_16_bit(BLUE, GREEN, RED)),
    ("16UC4", in_16_bit(BLUE, GREEN, RED, 7)),
    *((f"bayer_{pattern}16", mosaic(pattern)) for pattern in ("rggb", "bggr", "gbrg", "grbg")),
]


@pytest.mark.parametrize(("encoding", "pixels"), ONE_COLOUR, ids=[row[0] for row in ONE_COLOUR])
@pytest.mark.parametrize("padding", [0, 10])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_encodings_give_their_colour_in_either_byte_order(encoding, pixels, padding, order):
    message = packed(encoding, pixels.astype(order), padding, is_bigendian=int(order == ">u2"))
    image = bgr(decode(message))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, fill(*BGR))


@pytest.mark.parametrize(
    ("encoding", "channels"),
    [
        ("RGB8", (RED, GREEN, BLUE)),
        ("BGR8", BGR),
        ("8uc3", BGR),
        ("8UC3", BGR),
        ("Rgba8", (RED, GREEN, BLUE, 9)),
        ("8uC4", (*BGR, 9)),
        (" bgr8 ", BGR),
    ],
)
def test_names_are_read_in_upper_and_lower_case(encoding, channels):
    np.testing.assert_array_equal(bgr(decode(packed(encoding, fill(*channels)))), fill(*BGR))


def test_names_of_mosaics_and_yuv_are_read_in_upper_case():
    np.testing.assert_array_equal(bgr(decode(packed("BAYER_RGGB16", mosaic("rggb")))), fill(*BGR))
    even = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    even[:, :, 0], even[:, :, 1] = 128, 126  # U and V, Y: grey of (126 - 16) * 255 / 219
    np.testing.assert_array_equal(decode(packed("UYVY", even)).pixels, fill(128, 128, 128))


@pytest.mark.parametrize(("encoding", "channels"), [("mono8", 1), ("bgr8", 3), ("bgra8", 4), ("rgb16", 6), ("yuyv", 2)])
def test_a_step_of_zero_means_rows_without_padding(encoding, channels):
    data = bytes(range(HEIGHT * WIDTH * channels))
    with_step = decode(raw(encoding, HEIGHT, WIDTH, WIDTH * channels, data))
    np.testing.assert_array_equal(decode(raw(encoding, HEIGHT, WIDTH, 0, data)).pixels, with_step.pixels)
    with pytest.raises(ImageError, match=f"step must be at least {WIDTH * channels} .* is 0"):
        decode(raw(encoding, HEIGHT, WIDTH, 0, data + b"\0"))


@pytest.mark.parametrize("encoding", ["32FC1", "64FC3", "8UC2", "16SC1", "bayer_rggb12", "jpeg", "", "nv", "ünïcode"])
def test_other_encodings_are_refused_by_name(encoding):
    with pytest.raises(
        ImageError, match=f"image encoding must be one of bgr8, .*, nv12, .*; is '{encoding}'"
    ) as caught:
        decode(raw(encoding, 4, 6, 24, bytes(96)))
    assert caught.value.kind == "encoding"


@pytest.mark.parametrize("shape", [(2, 6), (6, 2), (1, 1)])
def test_a_mosaic_too_small_for_opencv_is_refused(shape):
    with pytest.raises(ImageError, match=f"bayer_grbg16 image must be at least 3x3, is {shape[0]}x{shape[1]}"):
        decode(packed("bayer_grbg16", np.full(shape, 900, np.uint16)))
    assert (decode(packed("bayer_grbg8", np.full((3, 3), 90, np.uint8))).pixels == 90).all()


def test_label_messages_are_read_in_upper_case_too():
    ids = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    for encoding in ("MONO8", "8uc1"):
        np.testing.assert_array_equal(decode_ids(packed(encoding, ids, padding=3)), ids)
