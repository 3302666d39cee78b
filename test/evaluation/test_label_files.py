"""Label images of many tools: what holds ids gives them, and what does not is refused with what it is."""

import io
import re
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from espnet_ros.classes import load_class_table, parse_class_table
from espnet_ros.cli import main
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import create_bag
from espnet_ros.evaluation.frames import Frame, check_label_ids, check_no_mask, present_ids
from espnet_ros.evaluation.images import ImageFolder
from espnet_ros.evaluation.label_files import read_label_file

IDS = np.arange(5 * 9, dtype=np.uint8).reshape(5, 9) % 4
VOC_COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
GREY, COLOUR, PALETTE = 0, 2, 3
"""Colour types of PNG."""
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""The passes of an interlaced PNG: first row and column, and the distances between them."""


def png(samples, depth, colour_type, extra=(), interlaced=False):
    """A PNG of (H, W) samples, written by the standard: libraries neither write 2-bit grey nor interlace."""

    def packed(rows):
        bits = ((rows[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).reshape(len(rows), -1)
        return b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)

    parts = [samples[row::down, column::right] for row, column, down, right in PASSES] if interlaced else [samples]
    pixels = zlib.compress(b"".join(packed(part) for part in parts if part.size))
    height, width = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def tiff(samples, depth, photometric=1):
    """A TIFF of (H, W) samples, by the standard: Pillow writes none of 2 or 4 bits. ``photometric`` 0: 0 is white."""
    height, width = samples.shape
    bits = ((samples[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).reshape(height, -1)
    pixels = np.packbits(bits, axis=1).tobytes()
    tags = ((256, width), (257, height), (258, depth), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height))
    tags += ((279, len(pixels)),)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(tags))
    return start + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)


def with_size(file, height, width):
    """The PNG with another size in its header."""
    header = b"IHDR" + struct.pack(">II", width, height) + file[24:29]
    return file[:12] + header + struct.pack(">I", zlib.crc32(header)) + file[33:]


def saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def palette_image(colours=VOC_COLOURS):
    image = Image.fromarray(IDS, "L").copy()
    image.putpalette(colours)
    return image


def read(tmp_path, data, name="a.png"):
    (tmp_path / name).write_bytes(data)
    return read_label_file(tmp_path / name)


PLTE = (b"PLTE", bytes(VOC_COLOURS))
TRNS = (b"tRNS", bytes([0, 255, 9]))
TAKEN = {
    "8-bit grey by OpenCV": cv2.imencode(".png", IDS)[1].tobytes(),
    "8-bit grey, interlaced": png(IDS, 8, GREY, interlaced=True),
    "8-bit grey with a transparent id": saved(Image.fromarray(IDS), transparency=0),
    "palette of VOC": saved(palette_image()),
    "palette of 8 bits": png(IDS, 8, PALETTE, [PLTE]),
    "palette of 4 bits": png(IDS, 4, PALETTE, [PLTE]),
    "palette of 4 bits, interlaced": png(IDS, 4, PALETTE, [PLTE], interlaced=True),
    "palette of 2 bits": png(IDS, 2, PALETTE, [PLTE]),
    "palette of 8 bits, interlaced": png(IDS, 8, PALETTE, [PLTE], interlaced=True),
    "palette with transparency": png(IDS, 8, PALETTE, [PLTE, TRNS]),
    "palette of 2 bits with transparency": png(IDS, 2, PALETTE, [PLTE, TRNS]),
    "palette of equal colours": saved(palette_image([7, 7, 7] * 4)),
    "palette of greys in another order": saved(palette_image([9, 9, 9, 0, 0, 0, 255, 255, 255, 1, 1, 1])),
    "BMP with a palette": saved(palette_image(), "BMP"),
    "TIFF with a palette": saved(palette_image(), "TIFF"),
    "grey TIFF": saved(Image.fromarray(IDS), "TIFF"),
    "PGM": saved(Image.fromarray(IDS), "PPM"),
    "PGM of text": b"P2\n# by hand\n9 5 # columns, rows\n255\n" + b" ".join(b"%d" % value for value in IDS.ravel()),
    "8-bit grey with a gamma and significant bits": png(
        IDS, 8, GREY, [(b"gAMA", bytes([0, 0, 177, 143])), (b"sBIT", b"\2")]
    ),
    "TIFF by rows": tiff(IDS, 8),
    "GIF": saved(palette_image(), "GIF"),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_files_with_ids_give_them(tmp_path, kind):
    labels = read(tmp_path, TAKEN[kind])
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, IDS)


def test_palettes_of_1_bit_are_no_masks(tmp_path):
    black_and_white = [(b"PLTE", bytes([0, 0, 0, 255, 255, 255]))]
    np.testing.assert_array_equal(read(tmp_path, png(IDS % 2, 1, PALETTE, black_and_white)), IDS % 2)


def test_all_256_values_of_grey_and_of_a_palette_are_kept(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(8, 32)
    colours = [(b"PLTE", bytes(255 - index // 3 for index in range(768)))]
    for data in (png(values, 8, GREY), png(values, 8, PALETTE, colours), cv2.imencode(".png", values)[1].tobytes()):
        np.testing.assert_array_equal(read(tmp_path, data), values)


MASK = IDS > 1
COLOURS = np.stack([IDS * 60, IDS * 20, 255 - IDS], axis=2)
SIXTEEN = IDS.astype(np.uint16) * 256
REFUSED = {
    "1-bit PNG": (
        saved(Image.fromarray(MASK)),
        "has 1 of bool: it is a mask of 1 bit per pixel; map it to the ids",
    ),
    "1-bit PNG, interlaced": (png(MASK.astype(int), 1, GREY, interlaced=True), "mask of 1 bit"),
    "1-bit TIFF": (saved(Image.fromarray(MASK), "TIFF"), "mask of 1 bit"),
    "1-bit BMP": (saved(Image.fromarray(MASK), "BMP"), "mask of 1 bit"),
    "PBM": (saved(Image.fromarray(MASK), "PPM"), "mask of 1 bit"),
    "grey of 2 bits": (png(IDS, 2, GREY), "has 1 of uint8: its values of 2 bits may be ids or brightness"),
    "grey of 4 bits": (png(IDS, 4, GREY), "values of 4 bits may be ids"),
    "grey of 4 bits, interlaced": (png(IDS, 4, GREY, interlaced=True), "values of 4 bits may be ids"),
    "grey TIFF of 2 bits": (tiff(IDS, 2), "values of 2 bits may be ids"),
    "grey TIFF of 4 bits": (tiff(IDS, 4), "values of 4 bits may be ids"),
    "TIFF with white as 0": (tiff(IDS, 8, photometric=0), "its header says that 0 is white"),
    "PGM with white as 3": (b"P5\n9 5\n3\n" + IDS.tobytes(), "its header says that 3 is white; save the ids with 255"),
    "PGM of text with white as 18": (b"P2 # x\n9 5\n#y\n18\n" + b"1 " * 45, "its header says that 18 is white"),
    "JPEG in a TIFF": (saved(Image.fromarray(IDS), "TIFF", compression="jpeg"), "JPEG changes the ids"),
    "RGB": (saved(Image.fromarray(COLOURS)), "has 3 of uint8: it holds RGB colours; replace each colour by the id"),
    "RGB by OpenCV": (cv2.imencode(".png", COLOURS)[1].tobytes(), "RGB colours"),
    "RGB in a BMP": (saved(Image.fromarray(COLOURS), "BMP"), "RGB colours"),
    "RGB in a WebP": (saved(Image.fromarray(COLOURS), "WEBP", lossless=True), "RGB colours"),
    "RGBA": (cv2.imencode(".png", np.dstack([COLOURS, IDS]))[1].tobytes(), "has 4 of uint8: it holds RGBA colours"),
    "three equal channels": (cv2.imencode(".png", np.dstack([IDS] * 3))[1].tobytes(), "colour channels are equal"),
    "grey with transparency": (saved(Image.fromarray(IDS).convert("LA")), "it is grey with transparency; save the ids"),
    "16-bit PNG": (cv2.imencode(".png", SIXTEEN)[1].tobytes(), "has 1 of uint16: save the ids with 8 bits"),
    "16-bit TIFF": (saved(Image.fromarray(SIXTEEN), "TIFF"), "save the ids with 8 bits"),
    "16-bit PGM": (cv2.imencode(".pgm", SIXTEEN)[1].tobytes(), "save the ids with 8 bits"),
    "32-bit TIFF": (saved(Image.fromarray(IDS.astype(np.int32)), "TIFF"), "save the ids with 8 bits"),
    "float TIFF": (saved(Image.fromarray(IDS.astype(np.float32)), "TIFF"), "save the ids with 8 bits"),
    "grey JPEG": (cv2.imencode(".jpg", IDS)[1].tobytes(), "JPEG changes the ids of pixels; save labels as PNG"),
    "RGB JPEG": (cv2.imencode(".jpg", COLOURS)[1].tobytes(), "JPEG changes the ids"),
    "CMYK JPEG": (saved(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"), "JPEG changes the ids"),
    "half a file": (TAKEN["palette of VOC"][:-30], "is damaged: "),
    "wrong checksum": (TAKEN["palette of 2 bits"][:-20] + bytes(8) + TAKEN["palette of 2 bits"][-12:], "is damaged: "),
    "text": (b"0 1 2 3", "Pillow cannot read it as an image"),
    "nothing": (b"", "Pillow cannot read it as an image"),
    "a huge picture": (with_size(png(IDS, 8, GREY), 60_000, 60_000), "is damaged: Image size (3600000000 pixels)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused_with_what_they_are(tmp_path, kind):
    data, reason = REFUSED[kind]
    with pytest.raises(DatasetError, match=re.escape(reason)) as caught:
        read(tmp_path, data)
    assert str(caught.value).startswith(f"label image {tmp_path / 'a.png'}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"label image .*gone\.png: cannot be read: No such file"):
        read_label_file(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_500_damaged_files_give_ids_or_a_reason(tmp_path):
    random = np.random.default_rng(15)
    files = [*TAKEN.values(), *(data for data, _ in REFUSED.values() if len(data) > 40)]
    taken = 0
    for index in range(500):
        data = bytearray(files[index % len(files)])
        for at in random.integers(0, len(data), int(random.integers(1, 4))):
            data[at] ^= 1 << int(random.integers(0, 8))
        if index % 3 == 0:
            del data[int(random.integers(1, len(data))) :]
        try:
            labels = read(tmp_path, bytes(data))
        except DatasetError:
            continue
        assert labels.ndim == 2
        assert labels.dtype == np.uint8
        taken += 1
    assert 10 < taken < 490


TABLE = load_class_table("camvid")
ONE_CLASS = parse_class_table({"classes": [{"id": 0, "name": "road", "color": [1, 2, 3]}]}, "one")


def test_a_data_set_of_0_and_255_is_a_mask_unless_the_table_has_one_class():
    with pytest.raises(DatasetError, match=r"labels of x: .* only 0 and 255 occur, as in masks, .* map 255 to id 1 "):
        check_no_mask([255, 0], TABLE, "x")
    check_no_mask([0, 255], ONE_CLASS, "x")
    for ids in ([0], [255], [0, 1], [0, 1, 255], [1, 255], []):
        check_no_mask(ids, TABLE, "x")


def test_label_ids_of_cityscapes_are_recognised():
    cityscapes = load_class_table("cityscapes")
    with pytest.raises(DatasetError, match="but 23, 26 occur; these look like labelIds of Cityscapes: use its labelTr"):
        check_label_ids(np.array([[7, 23, 26, 255]], np.uint8), cityscapes, "x")
    with pytest.raises(DatasetError, match="but 26, 200 occur; map them to ids of the table or to 255$"):
        check_label_ids(np.array([[26, 200]], np.uint8), cityscapes, "x")


def test_many_ids_outside_the_table_are_counted():
    brightness = np.arange(256, dtype=np.uint8).reshape(8, 32)
    with pytest.raises(DatasetError, match="but 12, 13, 14, 15, 16, 17, 18, 19, 20, 21 and 233 others occur; "):
        check_label_ids(brightness, TABLE, "x")


def folders(tmp_path, *label_files):
    """A folder of images, and their labels."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for index, data in enumerate(label_files):
        Image.new("RGB", (9, 5)).save(tmp_path / "images" / f"{index}.png")
        (tmp_path / "labels" / f"{index}.png").write_bytes(data)
    return ["evaluate", "--images", str(tmp_path / "images"), "--backend", "fake", "--weights", "camvid"]


MASK_255 = saved(Image.fromarray(np.where(MASK, 255, 0).astype(np.uint8)))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([REFUSED["1-bit PNG"][0]], r"labels/0\.png: .* it is a mask of 1 bit per pixel"),
        ([TAKEN["palette of VOC"], REFUSED["RGB"][0]], r"labels/1\.png: .* it holds RGB colours"),
        ([MASK_255, MASK_255], r"such as .*labels/0\.png: must hold class ids, but only 0 and 255 occur"),
        ([png(IDS + 15, 8, GREY)], r"labels/0\.png: ids must be 0\.\.11 .* but 15, 16, 17, 18 occur"),
        ([png(IDS[:4], 8, GREY)], r"labels/0\.png: must have its image's size, 5x9, has 4x9"),
    ],
)
def test_evaluate_ends_with_one_line(tmp_path, capsys, files, reason):
    assert main(folders(tmp_path, *files)) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "image/s" not in line and line]
    assert len(errors) == 1
    assert re.search(reason, errors[0])


def test_masks_in_a_bag_are_refused_in_one_line(tmp_path, capsys):
    labels = np.where(MASK, 255, 0).astype(np.uint8)
    frames = [Frame(str(stamp), stamp, np.zeros((5, 9, 3), np.uint8), labels) for stamp in (10**9, 2 * 10**9)]
    create_bag(frames, tmp_path / "bag")
    assert main(["evaluate", "--bag", str(tmp_path / "bag"), "--backend", "fake", "--weights", "camvid"]) == 1
    errors = capsys.readouterr().err.strip()
    assert re.search(r"labels of .*bag: must hold class ids, but only 0 and 255 occur", errors)
    assert "\n" not in errors


def test_evaluate_takes_palettes_and_masks_of_one_file_among_others(tmp_path, capsys):
    assert main(folders(tmp_path, MASK_255, TAKEN["palette of VOC"], TAKEN["palette of 2 bits"])) == 0
    assert "3 images" in capsys.readouterr().out


def test_the_command_of_the_documentation_maps_masks_to_ids(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'^python3 -c "(.*)" labels/\*\.png$', text, re.MULTILINE)
    folders(tmp_path, MASK_255, REFUSED["1-bit PNG"][0])
    paths = sorted((tmp_path / "labels").iterdir())
    monkeypatch.setattr(sys, "argv", ["-c", *map(str, paths)])
    exec(code, {})
    for frame in ImageFolder(tmp_path / "images", tmp_path / "labels"):
        np.testing.assert_array_equal(frame.labels, MASK)
        assert present_ids(frame.labels) == [0, 1]
