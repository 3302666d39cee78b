import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from espnet_ros.errors import ImageError
from espnet_ros.ros import conversions
from espnet_ros.ros.conversions import image_from_msg, image_to_msg

HEIGHT, WIDTH = 4, 6
RED, GREEN, BLUE = 200, 100, 50
BGR = (BLUE, GREEN, RED)


@pytest.fixture(params=["opencv", "cv_bridge"])
def converter(request, monkeypatch):
    """Both ways of converting what is not used in place."""
    if request.param == "cv_bridge":
        pytest.importorskip("cv_bridge", reason="needs cv_bridge, which only an apt install of ROS has")
    monkeypatch.setattr(conversions, "has_cv_bridge", lambda: request.param == "cv_bridge")
    return request.param


def make_message(encoding, pixels, padding=0, is_bigendian=False):
    """A message with the bytes of (H, W) or (H, W, C) pixels, each row followed by padding that must not be read."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=222)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
    message.is_bigendian = int(is_bigendian)
    message.data = array("B", rows.tobytes())
    return message


def fill(*channels):
    return np.full((HEIGHT, WIDTH, len(channels)), channels, np.uint8)


def mosaic(top_left, top_right, bottom_left, bottom_right):
    """What a sensor with this colour filter sees of an evenly coloured wall."""
    pixels = np.empty((HEIGHT, WIDTH), np.uint8)
    pixels[::2, ::2], pixels[::2, 1::2] = top_left, top_right
    pixels[1::2, ::2], pixels[1::2, 1::2] = bottom_left, bottom_right
    return pixels


def yuv(first, second):
    """(H, W, 2): what lies in the first two and in the second two bytes of each pair of pixels."""
    pixels = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    pixels[:, ::2], pixels[:, 1::2] = first, second
    return pixels


def expected_bgr(message):
    image = image_from_msg(message)
    return image.pixels if image.channel_order == "bgr" else image.pixels[:, :, ::-1]


# Pure red in BT.601 limited range is Y 82, U 90, V 240.
EVENLY_COLOURED = [
    ("bgr8", fill(*BGR), BGR, 0),
    ("8UC3", fill(*BGR), BGR, 0),
    ("rgb8", fill(*BGR[::-1]), BGR, 0),
    ("bgra8", fill(*BGR, 7), BGR, 0),
    ("8UC4", fill(*BGR, 7), BGR, 0),
    ("rgba8", fill(*BGR[::-1], 7), BGR, 0),
    ("mono8", np.full((HEIGHT, WIDTH), 77, np.uint8), (77, 77, 77), 0),
    ("8UC1", np.full((HEIGHT, WIDTH), 77, np.uint8), (77, 77, 77), 0),
    ("mono16", np.full((HEIGHT, WIDTH), 77 * 257, np.uint16), (77, 77, 77), 0),
    ("16UC1", np.full((HEIGHT, WIDTH), 65535, np.uint16), (255, 255, 255), 0),
    ("yuv422", yuv((90, 82), (240, 82)), (0, 0, 255), 2),
    ("uyvy", yuv((90, 82), (240, 82)), (0, 0, 255), 2),
    ("yuv422_yuy2", yuv((82, 90), (82, 240)), (0, 0, 255), 2),
    ("yuyv", yuv((82, 90), (82, 240)), (0, 0, 255), 2),
    ("bayer_rggb8", mosaic(RED, GREEN, GREEN, BLUE), BGR, 0),
    ("bayer_bggr8", mosaic(BLUE, GREEN, GREEN, RED), BGR, 0),
    ("bayer_gbrg8", mosaic(GREEN, BLUE, RED, GREEN), BGR, 0),
    ("bayer_grbg8", mosaic(GREEN, RED, BLUE, GREEN), BGR, 0),
]


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels", "color", "tolerance"), EVENLY_COLOURED, ids=[row[0] for row in EVENLY_COLOURED]
)
def test_every_encoding_gives_its_colour_with_and_without_padding(
    converter, encoding, pixels, color, tolerance, padding
):
    padding *= pixels.itemsize
    image = expected_bgr(make_message(encoding, pixels, padding))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - color).max() <= tolerance


def test_16_bit_pixels_are_read_in_either_byte_order(converter):
    values = (np.arange(HEIGHT * WIDTH) * 257).reshape(HEIGHT, WIDTH)
    for dtype, is_bigendian in (("<u2", False), (">u2", True)):
        image = expected_bgr(make_message("mono16", values.astype(dtype), 4, is_bigendian))
        assert np.array_equal(image[:, :, 1], np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH))


def test_the_big_endian_flag_changes_nothing_for_bytes():
    pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert np.array_equal(image_from_msg(make_message("bgr8", pixels, is_bigendian=True)).pixels, pixels)


@pytest.mark.parametrize(("encoding", "channel_order"), [("bgr8", "bgr"), ("rgb8", "rgb"), ("8UC3", "bgr")])
def test_three_channel_images_are_not_copied(encoding, channel_order):
    pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    message = make_message(encoding, pixels, padding=7)
    image = image_from_msg(message)
    assert image.channel_order == channel_order
    assert np.array_equal(image.pixels, pixels)
    assert np.shares_memory(image.pixels, np.frombuffer(message.data, np.uint8))
    assert image.pixels.strides == (WIDTH * 3 + 7, 3, 1)


def test_the_last_row_needs_no_padding():
    message = make_message("bgr8", fill(*BGR), padding=7)
    message.data = message.data[:-7]
    assert np.array_equal(image_from_msg(message).pixels, fill(*BGR))


def changed(**fields):
    message = make_message("bgr8", fill(*BGR))
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (changed(encoding="32FC1"), "encoding", "image encoding must be one of bgr8, rgb8, .*; is '32FC1'"),
        (changed(encoding=""), "encoding", "is ''"),
        (changed(height=0), "size", "height and width must be above 0, are 0 and 6"),
        (changed(width=0), "size", "height and width must be above 0, are 4 and 0"),
        (changed(step=17), "step", "image step must be at least 18 for 6 pixels of bgr8, is 17"),
        (changed(height=5), "data", r"must have at least 90 bytes \(step 18, height 5\), have 72"),
        (changed(data=array("B")), "data", "have 0"),
        (changed(height=2**31, width=2**29), "step", "image step must be at least 1610612736"),
        (make_message("yuv422", np.zeros((4, 5, 2), np.uint8)), "size", "width must be even, is 5"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_bad_image_is_refused_with_rule_and_value(message, kind, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        image_from_msg(message)
    assert caught.value.kind == kind


def test_a_mosaic_too_small_to_interpolate_is_refused():
    with pytest.raises(ImageError, match="must be at least 3x3, is 1x1"):
        image_from_msg(make_message("bayer_rggb8", np.zeros((1, 1), np.uint8)))


def compressed(file_format, pixels, **fields):
    _, data = cv2.imencode(f".{file_format}", pixels)
    return CompressedImage(format=file_format, data=array("B", data.tobytes()), **fields)


def test_png_is_decoded_exactly(color_image):
    image = image_from_msg(compressed("png", color_image))
    assert image.channel_order == "bgr"
    assert np.array_equal(image.pixels, color_image)


def test_jpeg_is_decoded_closely():
    image = image_from_msg(compressed("jpeg", np.full((48, 64, 3), BGR, np.uint8)))
    assert image.pixels.shape == (48, 64, 3)
    assert np.abs(image.pixels.astype(int) - BGR).max() <= 3


def test_a_grey_png_gets_three_channels():
    image = image_from_msg(compressed("png", np.full((48, 64), 77, np.uint8)))
    assert np.array_equal(image.pixels, np.full((48, 64, 3), 77, np.uint8))


def with_exif_turn(jpeg, thumbnail=b""):
    """The same JPEG with a note to viewers: turn by 90 degrees (EXIF orientation 6)."""
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    block = b"Exif\x00\x00" + tiff + thumbnail
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]


def test_an_image_is_not_turned_by_its_exif_block():
    message = compressed("jpeg", np.full((48, 64, 3), BGR, np.uint8))
    message.data = array("B", with_exif_turn(bytes(message.data)))
    assert image_from_msg(message).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("file_format", ["jpeg", "png"])
def test_half_a_compressed_image_is_refused(file_format, color_image):
    message = compressed(file_format, color_image)
    message.data = message.data[: len(message.data) // 2]
    with pytest.raises(ImageError, match="must be complete") as caught:
        image_from_msg(message)
    assert caught.value.kind == "compressed"


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image(color_image):
    jpeg = bytes(compressed("jpeg", color_image).data)
    message = CompressedImage(format="jpeg", data=array("B", with_exif_turn(jpeg, thumbnail=jpeg)[:-20]))
    with pytest.raises(ImageError, match="must be complete"):
        image_from_msg(message)


@pytest.mark.parametrize("data", [b"", b"RIFF1234WEBP", b"\xff\xd8 nothing \xff\xd9"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(ImageError) as caught:
        image_from_msg(CompressedImage(format="jpeg", data=array("B", data)))
    assert caught.value.kind == "compressed"


def test_an_array_becomes_a_message_and_comes_back():
    header = Header(frame_id="camera")
    colors = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    message = image_to_msg(header, colors[:, ::-1], "rgb8")
    assert (message.height, message.width, message.step) == (HEIGHT, WIDTH, WIDTH * 3)
    assert message.header.frame_id == "camera"
    assert np.array_equal(image_from_msg(message).pixels, colors[:, ::-1])


def test_labels_become_mono8():
    labels = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    message = image_to_msg(Header(), labels, "mono8")
    assert (message.step, bytes(message.data)) == (WIDTH, labels.tobytes())
    assert isinstance(message.data, array)


@pytest.mark.parametrize("error", [ImportError, AttributeError, SystemError, OSError])
def test_a_cv_bridge_that_does_not_work_is_as_good_as_none(monkeypatch, error):
    def fail(*_, **__):
        raise error("numpy.core.multiarray failed to import")

    bridge = SimpleNamespace(CvBridge=lambda: SimpleNamespace(imgmsg_to_cv2=fail), CvBridgeError=TypeError)
    monkeypatch.setitem(sys.modules, "cv_bridge", bridge)
    conversions.has_cv_bridge.cache_clear()
    try:
        assert not conversions.has_cv_bridge()
        assert image_from_msg(make_message("mono8", np.zeros((2, 2), np.uint8))).pixels.shape == (2, 2, 3)
    finally:
        conversions.has_cv_bridge.cache_clear()


def test_cv_bridge_gets_the_encodings_that_it_knows_by_their_own_names(monkeypatch):
    """A stand-in with the interface of cv_bridge 4.1.0 for Jazzy, which knows the names of sensor_msgs alone."""
    asked = []

    def convert(message, desired_encoding):
        asked.append((message.encoding, message.step, desired_encoding))
        return np.full((message.height, message.width, 3), 9, np.uint8)

    bridge = SimpleNamespace(CvBridge=lambda: SimpleNamespace(imgmsg_to_cv2=convert), CvBridgeError=TypeError)
    monkeypatch.setitem(sys.modules, "cv_bridge", bridge)
    monkeypatch.setattr(conversions, "has_cv_bridge", lambda: True)
    for encoding, channels in (("8UC1", 1), ("UYVY", 2), ("yuyv", 2), ("8UC4", 4), ("Bayer_RGGB8", 1)):
        pixels = np.zeros((4, 6, channels), np.uint8) if channels > 1 else np.zeros((4, 6), np.uint8)
        assert image_from_msg(make_message(encoding, pixels, padding=3)).pixels.tolist() == [[[9] * 3] * 6] * 4
    assert asked == [
        ("mono8", 6, "bgr8"),
        ("yuv422", 12, "bgr8"),
        ("yuv422_yuy2", 12, "bgr8"),
        ("bgra8", 24, "bgr8"),
        ("bayer_rggb8", 6, "bgr8"),
    ]
    for encoding in ("rgb8", "bgr8"):
        assert expected_bgr(make_message(encoding, np.zeros((4, 6, 3), np.uint8))).max() == 0
