import io
import itertools
import re

import cv2
import numpy as np
import pytest
from image_messages import compressed, encode
from PIL import Image

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding import decode

SAMPLING_FACTOR = 7  # cv2.IMWRITE_JPEG_SAMPLING_FACTOR; OpenCV before 4.6 passes over it
END = b"\xff\xd9"
RED = (0, 0, 255)


def scenes():
    """Noise, a picture that ends in grey, an evenly grey one, and smooth gradients, of sizes around a block's."""
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (48, 64, 3), np.uint8)
    smooth = cv2.GaussianBlur(random.integers(0, 256, (70, 101, 3), np.uint8), (0, 0), 5)
    half_grey = noise.copy()
    half_grey[20:] = 128
    sizes = [(1, 1), (7, 9), (16, 16), (17, 33)]
    return [noise, smooth, half_grey, np.full((33, 40, 3), 128, np.uint8), *(noise[:h, :w] for h, w in sizes)]


def by_opencv(pixels):
    options = itertools.product((10, 90), (0, 1), (0, 1), (0, 1, 5), (0x411111, 0x221111, 0x111111))
    for quality, progressive, optimised, restarts, sampling in options:
        yield encode(
            ".jpg", pixels,
            cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive,
            cv2.IMWRITE_JPEG_OPTIMIZE, optimised, cv2.IMWRITE_JPEG_RST_INTERVAL, restarts,
            SAMPLING_FACTOR, sampling,
        )  # fmt: skip
    yield encode(".jpg", pixels[:, :, 0])


def by_pillow(pixels):
    for mode, progressive in itertools.product(("L", "RGB", "CMYK"), (False, True)):
        for option in ({}, {"optimize": True}, {"subsampling": 0}, {"restart_marker_rows": 1}, {"quality": 20}):
            yield saved(pixels, mode, progressive=progressive, **option)


def saved(pixels, mode="RGB", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, ::-1]).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def cut(file, share):
    """The file with its last scan cut off after a share of its bytes, and an end marker."""
    start = file.rindex(b"\xff\xda") + 14
    kept = file[: start + int((len(file) - 2 - start) * share)]
    return kept.rstrip(b"\xff") + END


@pytest.mark.parametrize("write", [by_opencv, by_pillow])
def test_every_valid_file_is_taken_with_the_pixels_of_opencv(write):
    for pixels in scenes():
        for file in write(pixels):
            expected = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
            np.testing.assert_array_equal(decode(compressed("jpeg", file)).pixels, expected)


@pytest.mark.parametrize("write", [by_opencv, by_pillow])
def test_a_scan_cut_off_before_an_end_marker_is_refused_unless_nothing_is_missing(write):
    refused = 0
    for pixels in scenes()[:2]:
        for file, share in itertools.product(write(pixels), (0.3, 0.8)):
            try:
                image = decode(compressed("jpeg", cut(file, share))).pixels
            except ImageError as error:
                refused += "must be complete" in str(error)
            else:  # the last scan of some progressive files holds nothing
                np.testing.assert_array_equal(image, decode(compressed("jpeg", file)).pixels)
                assert file.count(b"\xff\xda") > 1
    assert refused > 80


def test_a_large_file_cut_off_before_an_end_marker_is_refused():
    noise = np.random.default_rng(4).integers(0, 256, (240, 320, 3), np.uint8)
    file = encode(".jpg", noise)
    assert len(file) > 50_000
    assert decode(compressed("jpeg", file)).pixels.shape == noise.shape
    for share in (0.5, 0.99):
        with pytest.raises(ImageError, match="a scan that ends before the picture"):
            decode(compressed("jpeg", cut(file, share)))


def test_a_file_without_its_last_scans_is_refused():
    file = encode(".jpg", scenes()[1], cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = [match.start() for match in re.finditer(b"\xff\xda", file)]
    for start in scans[1:]:
        with pytest.raises(ImageError, match="not all of its scans"):
            decode(compressed("jpeg", file[:start] + END))
    with pytest.raises(ImageError, match="no picture before its end marker"):
        decode(compressed("jpeg", file[: scans[0]] + END))


def test_a_file_cut_off_between_two_restart_intervals_is_refused():
    file = encode(".jpg", scenes()[0], cv2.IMWRITE_JPEG_RST_INTERVAL, 1, SAMPLING_FACTOR, 0x411111)
    restart = file.index(b"\xff\xd2")
    with pytest.raises(ImageError, match="2 restart markers in a scan of"):
        decode(compressed("jpeg", file[:restart] + END))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_file_without_its_end_is_refused(share, progressive):
    file = encode(".jpg", scenes()[1], cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    with pytest.raises(ImageError, match="must be complete"):
        decode(compressed("jpeg", file[: int(len(file) * share)]))


def test_cmyk_is_converted_to_colours():
    pixels = np.full((32, 48, 3), RED, np.uint8)
    image = decode(compressed("jpeg", saved(pixels, "CMYK", quality=95))).pixels
    assert np.abs(image.astype(int) - RED).max() <= 3


def test_a_picture_is_not_turned_by_its_exif_orientation():
    pixels = np.zeros((24, 64, 3), np.uint8)
    pixels[:, :32] = RED
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for options in ({}, {"progressive": True}):
            image = decode(compressed("jpeg", saved(pixels, exif=exif, quality=95, **options))).pixels
            assert image.shape == (24, 64, 3)
            assert np.abs(image[12, 10].astype(int) - RED).max() <= 3
            assert image[12, 54].max() <= 3


def test_the_end_marker_of_a_thumbnail_is_not_the_end():
    thumbnail = encode(".jpg", scenes()[3])
    segment = b"Exif\0\0" + thumbnail
    file = encode(".jpg", scenes()[0])
    with_thumbnail = file[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + file[2:]
    np.testing.assert_array_equal(
        decode(compressed("jpeg", with_thumbnail)).pixels, decode(compressed("jpeg", file)).pixels
    )
    with pytest.raises(ImageError, match="must be complete"):
        decode(compressed("jpeg", with_thumbnail[:-20]))


def test_12_bits_per_sample_are_refused():
    file = bytearray(encode(".jpg", scenes()[0]))
    file[file.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(ImageError, match="must have 8 bits per sample, has 12"):
        decode(compressed("jpeg", bytes(file)))
