import struct
import zlib

import cv2
import numpy as np
import pytest
from image_messages import bgr, compressed, encode

from espnet_ros.errors import ImageError
from espnet_ros.image_encoding import decode

HEIGHT, WIDTH = 48, 64
RED, GREEN, BLUE = 200, 100, 50
BGR = np.array([BLUE, GREEN, RED], np.uint8)
WALL = np.full((HEIGHT, WIDTH, 3), BGR)
GREY = np.full((HEIGHT, WIDTH), 77, np.uint8)


def mosaic(pattern, dtype=np.uint8):
    value = {"r": RED, "g": GREEN, "b": BLUE}
    tile = np.array([[value[pattern[0]], value[pattern[1]]], [value[pattern[2]], value[pattern[3]]]])
    return (np.tile(tile, (HEIGHT // 2, WIDTH // 2)) * (257 if dtype is np.uint16 else 1)).astype(dtype)


def assert_even(message, color, tolerance=0):
    image = bgr(decode(message))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - color).max() <= tolerance


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_mosaic_in_a_file_is_demosaiced(pattern):
    png, jpeg = encode(".png", mosaic(pattern)), encode(".jpg", mosaic(pattern), cv2.IMWRITE_JPEG_QUALITY, 100)
    assert_even(compressed(f"bayer_{pattern}8; png compressed ", png), BGR)
    assert_even(compressed(f"BAYER_{pattern}8; PNG compressed bayer_{pattern}8", png), BGR)
    assert_even(compressed(f"bayer_{pattern}8; jpeg compressed bayer_{pattern}8", jpeg), BGR, 4)
    assert_even(compressed(f"bayer_{pattern}8; jpeg compressed ", jpeg), BGR, 4)
    assert_even(compressed(f"bayer_{pattern}8", png), BGR)
    assert_even(compressed(f"bayer_{pattern}16; png compressed", encode(".png", mosaic(pattern, np.uint16))), BGR)
    assert_even(compressed(f"bayer_{pattern}8; tiff compressed ", encode(".tiff", mosaic(pattern))), BGR)


def test_a_mosaic_that_the_transport_turned_grey_or_coloured_is_no_mosaic_any_more():
    assert_even(compressed("bayer_rggb8; jpeg compressed mono8", encode(".jpg", GREY)), 77, 1)
    assert_even(compressed("bayer_rggb8; png compressed bgr8", encode(".png", WALL)), BGR)
    assert_even(compressed("bayer_rggb8; png compressed", encode(".png", WALL)), BGR)


@pytest.mark.parametrize(
    ("file_format", "suffix"),
    [
        ("rgb8; jpeg compressed bgr8", ".jpg"),
        ("bgr8; jpeg compressed bgr8", ".jpg"),
        ("bgr8; jpeg compressed ", ".jpg"),
        ("jpeg", ".jpg"),
        ("JPEG", ".jpg"),
        ("jpg", ".jpg"),
        ("mjpeg", ".jpg"),
        ("", ".jpg"),
        ("png", ".jpg"),
        ("rgb8; jpeg", ".jpg"),
        ("rgba8; png compressed bgr8", ".png"),
        ("png", ".png"),
        ("", ".png"),
        ("bgr8; tiff compressed ", ".tiff"),
        ("tiff", ".tiff"),
        ("webp", ".webp"),
        ("bmp", ".bmp"),
    ],
)
def test_colours_are_right_whatever_the_format_is_called(file_format, suffix):
    options = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
    assert_even(compressed(file_format, encode(suffix, WALL, *options)), BGR, 3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("file_format", ["rgb8; tiff compressed ", "rgb8; png compressed rgb8"])
def test_red_and_blue_are_exchanged_where_the_transport_stored_rgb_as_it_was(file_format):
    suffix = ".tiff" if "tiff" in file_format else ".png"
    assert_even(compressed(file_format, encode(suffix, WALL[:, :, ::-1])), BGR)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_files_are_scaled(suffix):
    grey = (np.arange(HEIGHT * WIDTH) * 21).astype(np.uint16).reshape(HEIGHT, WIDTH)
    image = decode(compressed("mono16; png compressed ", encode(suffix, grey))).pixels
    np.testing.assert_array_equal(image, np.round(grey / 257.0)[:, :, None].repeat(3, axis=2))
    assert_even(compressed("rgb16; png compressed bgr16", encode(suffix, WALL.astype(np.uint16) * 257)), BGR)


def test_grey_files_and_files_with_transparency_give_three_channels():
    assert_even(compressed("mono8; jpeg compressed mono8", encode(".jpg", GREY)), 77, 1)
    assert_even(compressed("yuv422_yuy2; jpeg compressed mono8", encode(".jpg", GREY)), 77, 1)
    assert_even(compressed("mono8; png compressed ", encode(".png", GREY)), 77)
    assert_even(compressed("png", encode(".png", np.dstack([WALL, GREY]))), BGR)


def test_floats_in_a_file_are_refused():
    with pytest.raises(ImageError):
        decode(compressed("32FC1; tiff compressed ", encode(".tiff", GREY.astype(np.float32))))


@pytest.mark.parametrize(
    ("file_format", "reason"),
    [
        ("16UC1; compressedDepth png", "must be a camera's picture, is depth .*; subscribe to the colour image"),
        ("32FC1; compressedDepth rvl", "is depth"),
        ("16UC1; compressedDepth", "is depth"),
        ("h264", "must be a single picture, is video .'h264'.; decode it first, .* republish of image_transport"),
        ("H265", "is video .'H265'"),
        ("hevc", "is video"),
        ("hevc_nvenc;bgr8", "is video"),
        ("theora", "is video"),
        ("av1", "is video"),
        ("vp8", "is video"),
        ("bgr8; ffmpeg compressed libx264", "is video"),
        ("gif", "must be JPEG, PNG, WebP, TIFF or BMP, is 'gif' and starts with b'"),
    ],
)
def test_depth_video_and_unknown_formats_are_refused_by_name(file_format, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        decode(compressed(file_format, bytes(range(10, 90))))
    assert caught.value.kind == "compressed"


def test_video_is_recognised_by_its_start_where_the_format_does_not_say():
    for start in (b"\0\0\0\1\x67\x64", b"\0\0\1\x67", b"OggS\0\2"):
        with pytest.raises(ImageError, match="is video .''"):
            decode(compressed("", start + bytes(50)))


def test_a_picture_is_taken_whatever_codec_the_format_names():
    assert_even(compressed("ffmpeg", encode(".png", WALL)), BGR)


def png_of_size(height, width, data=b"\0"):
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(data))]
    parts = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
             for kind, body in [*chunks, (b"IEND", b"")]]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_size(file, at, form, height, width):
    return file[:at] + struct.pack(form, height, width) + file[at + struct.calcsize(form) :]


def test_a_small_file_that_claims_a_huge_picture_is_refused_before_it_is_decoded(monkeypatch):
    jpeg, bmp = encode(".jpg", WALL), encode(".bmp", WALL)
    files = [
        png_of_size(50_000, 50_000),
        png_of_size(30_000, 30_000),
        png_of_size(3_000, 4_000),
        with_size(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 65_000, 65_000),
        with_size(jpeg, jpeg.index(b"\xff\xc0") + 5, ">HH", 3_000, 4_000),
        with_size(bmp, 18, "<ii", 20_000, 20_000),
    ]
    monkeypatch.setattr(cv2, "imdecode", None)
    for file in files:
        with pytest.raises(ImageError, match=r"must have at most 64000000 pixels|exceeds limit|must be complete, has"):
            decode(compressed("", file))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff", ".bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
def test_a_file_that_was_cut_off_is_refused(suffix, share, color_image):
    file = encode(suffix, color_image)
    with pytest.raises(ImageError):
        decode(compressed("", file[: int(len(file) * share)]))


def test_a_png_cut_off_before_an_end_marker_is_refused(color_image):
    file = encode(".png", color_image)
    end = file[-12:]
    for share in (0.3, 0.9):
        with pytest.raises(ImageError, match="must be complete, has no end marker"):
            decode(compressed("png", file[: int(len(file) * share)] + end))


def test_a_png_with_half_of_its_pixels_is_refused():
    rows = bytes(30 * (1 + 3 * 40))
    assert decode(compressed("png", png_of_size(30, 40, rows))).pixels.shape == (30, 40, 3)
    with pytest.raises(ImageError, match="cannot decode"):
        decode(compressed("png", png_of_size(30, 40, rows[: len(rows) // 2])))


def test_a_png_whose_chunk_claims_more_than_the_file_is_refused_before_it_is_decoded(monkeypatch, color_image):
    file = bytearray(encode(".png", color_image))
    file[33] = 0x7F  # the highest byte of the length of the chunk after the header
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ImageError, match="must be complete"):
        decode(compressed("png", bytes(file)))


def test_a_png_with_a_damaged_header_is_refused(color_image):
    file = bytearray(encode(".png", color_image))
    file[17] ^= 1  # a width that is 65,536 too large
    with pytest.raises(ImageError, match="has a damaged PNG header"):
        decode(compressed("png", bytes(file)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
def test_bytes_after_the_end_are_passed_over(suffix, color_image):
    file = encode(suffix, color_image)
    whole = decode(compressed("", file)).pixels
    for extra in (bytes(9000), b"\xff\xd8\xff\xda\x00", file[len(file) // 2 :], file[: len(file) // 2], b"\n"):
        np.testing.assert_array_equal(decode(compressed("", file + extra)).pixels, whole)
