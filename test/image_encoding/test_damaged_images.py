"""Damaged messages give a picture or an ImageError, and nothing else."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from image_messages import compressed, damaged, encode, raw

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding import decode, decode_ids
from espnet_ros.image_encoding.layouts import LAYOUTS, ZERO_COPY
from espnet_ros.image_encoding.planar import PLANAR

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
KINDS = {"encoding", "size", "step", "data", "compressed"}
ENCODINGS = [*ZERO_COPY, *LAYOUTS, *PLANAR, "32FC1", "", "rgb", "bayer_rggb12", "\x00", "NV12"]


def outcome(message, read=decode):
    """Whether a message gave a picture."""
    try:
        image = read(message)
    except ImageError as raised:
        error = raised
    else:
        error = None
    if error is not None:
        assert error.kind in KINDS
        assert str(error)
        assert "\n" not in str(error)
        return False
    pixels = image if read is decode_ids else image.pixels
    assert pixels.dtype == np.uint8
    assert pixels.ndim == (2 if read is decode_ids else 3)
    assert pixels.size
    int(pixels.max())  # touches all of the memory
    return True


def test_2000_raw_messages_with_wrong_fields():
    random = np.random.default_rng(15)
    taken = 0
    for _ in range(2000):
        encoding = str(random.choice(ENCODINGS))
        height, width = (int(value) for value in random.choice([0, 1, 2, 3, 4, 6, 8, 2**31, 2**32 - 1], 2, p=SIZES))
        row = width * int(random.choice([1, 2, 3, 4, 6, 8]))
        step = int(random.choice([0, 1, row, row, row + 4, 2**32 - 1]))
        length = int(random.choice([0, 1, min(row * height, 4000), min(step * height, 4000), 600]))
        message = raw(encoding, height, width, step, random.bytes(length), int(random.choice([0, 1, 255])))
        taken += outcome(message)
        outcome(message, decode_ids)
    assert 100 < taken < 1900


SIZES = [0.04, 0.08, 0.08, 0.12, 0.2, 0.2, 0.2, 0.04, 0.04]


def files():
    random = np.random.default_rng(16)
    noise = random.integers(0, 256, (40, 56, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    yield "jpeg", encode(".jpg", smooth)
    yield "bgr8; jpeg compressed bgr8", encode(".jpg", noise, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    yield "jpeg", encode(".jpg", smooth, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    yield "bayer_rggb8; jpeg compressed bayer_rggb8", encode(".jpg", smooth[:, :, 0])
    yield "png", encode(".png", smooth)
    yield "mono16; png compressed ", encode(".png", smooth[:, :, 0].astype(np.uint16) * 200)
    yield "bayer_grbg16; png compressed", encode(".png", smooth[:, :, 0].astype(np.uint16) * 200)
    yield "webp", encode(".webp", smooth)
    yield "rgb8; tiff compressed ", encode(".tiff", smooth)
    yield "bmp", encode(".bmp", smooth)


def test_1500_damaged_files():
    random = np.random.default_rng(17)
    taken = 0
    for file_format, file in files():
        assert outcome(compressed(file_format, file))
        for _ in range(150):
            taken += outcome(compressed(file_format, damaged(file, random)))
    assert 100 < taken < 1400


def test_300_formats_that_do_not_fit_the_file():
    random = np.random.default_rng(18)
    known = [data for _, data in files()]
    words = ["rgb8", "bayer_gbrg16", ";", "; ", "jpeg", "png", "compressed", "mono8", "bgr16", "h264", "", "ö", "\0"]
    for _ in range(300):
        file_format = " ".join(random.choice(words, int(random.integers(0, 5))))
        outcome(compressed(file_format, known[int(random.integers(0, len(known)))]))


def test_data_of_every_type_that_readers_hand_over():
    file = encode(".png", np.full((8, 9, 3), 5, np.uint8))
    for data in (file, bytearray(file), np.frombuffer(file, np.uint8), memoryview(file)):
        assert outcome(SimpleNamespace(format="png", data=data))
