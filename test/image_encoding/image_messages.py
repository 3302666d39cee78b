"""Image messages without ROS, and colours computed from the standard instead of by OpenCV."""

from types import SimpleNamespace

import cv2
import numpy as np


def raw(encoding, height, width, step, data, is_bigendian=0):
    return SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=is_bigendian, data=bytes(data)
    )


def packed(encoding, pixels, padding=0, is_bigendian=0):
    """A message with the bytes of (H, W) or (H, W, C) pixels, each row followed by padding that must not be read."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=222)
    return raw(encoding, pixels.shape[0], pixels.shape[1], rows.shape[1], rows.tobytes(), is_bigendian)


def compressed(file_format, data):
    return SimpleNamespace(format=file_format, data=bytes(data))


def encode(suffix, pixels, *options):
    """The bytes of an image file, written by OpenCV."""
    is_written, data = cv2.imencode(suffix, pixels, list(options))
    assert is_written
    return data.tobytes()


def bgr(image):
    return image.pixels if image.channel_order == "bgr" else image.pixels[:, :, ::-1]


def bgr_of_yuv(luma, u, v):
    """Blue, green and red by ITU-R BT.601, 8 bits in limited range: Y 16..235, U and V 16..240 around 128."""
    luma, u, v = (plane.astype(float) for plane in (luma - 16.0, u - 128.0, v - 128.0))
    kr, kb = 0.299, 0.114
    scale_y, scale_c = 255 / 219, 255 / 112
    red = scale_y * luma + scale_c * (1 - kr) * v
    blue = scale_y * luma + scale_c * (1 - kb) * u
    green = scale_y * luma - scale_c * (kb * (1 - kb) * u + kr * (1 - kr) * v) / (1 - kr - kb)
    return np.clip(np.stack([blue, green, red], axis=2), 0, 255)


def damaged(file, random):
    """The file with flipped bits, a part missing, repeated, zeroed or replaced, or its end cut off."""
    data = bytearray(file)
    start = int(random.integers(0, len(data)))
    length = int(random.integers(1, 40))
    how = random.integers(0, 6)
    if how == 0:
        for at in random.integers(0, len(data), int(random.integers(1, 6))):
            data[at] ^= 1 << int(random.integers(0, 8))
    elif how == 1:
        data[int(random.integers(0, min(200, len(data))))] = int(random.integers(0, 256))
    elif how == 2:
        del data[start : start + length]
    elif how == 3:
        data[start:start] = data[start : start + length]
    elif how == 4:
        data[start : start + length] = random.bytes(length)
    else:
        del data[start:]
        data += random.choice([b"", b"\xff\xd9", b"\0\0\0\0IEND\xaeB`\x82"])
    return bytes(data)
