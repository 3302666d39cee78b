"""Hundreds of damaged bags: each gives frames or a DatasetError, and nothing else."""

import shutil

import bag_samples
import numpy as np
import pytest

from espnet_ros import cli
from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import BagFrames

VARIANTS = 42
TRUTH = {sample.stamp_ns: sample for sample in bag_samples.samples()}

# Writer of each kind of bag, and whether checksums cover all that the frames are made of.
KINDS = {
    "mcap": (lambda folder: bag_samples.write_ros2(folder, "mcap"), False),
    "mcap, zstd chunks": (lambda folder: bag_samples.write_ros2(folder, "mcap", "storage"), False),
    "mcap, zstd messages": (lambda folder: bag_samples.write_ros2(folder, "mcap", "message"), False),
    "mcap, zstd file": (lambda folder: bag_samples.write_ros2(folder, "mcap", "file"), False),
    "sqlite3": (lambda folder: bag_samples.write_ros2(folder, "sqlite3"), False),
    "sqlite3, zstd messages": (lambda folder: bag_samples.write_ros2(folder, "sqlite3", "message"), False),
    "sqlite3, zstd file": (lambda folder: bag_samples.write_ros2(folder, "sqlite3", "file"), False),
    "ros1": (lambda folder: bag_samples.write_ros1(folder / "a.bag"), False),
    "ros1, bz2": (lambda folder: bag_samples.write_ros1(folder / "a.bag", "BZ2"), True),
    "ros1, lz4": (lambda folder: bag_samples.write_ros1(folder / "a.bag", "LZ4"), False),
    "mcap with checksums": (lambda folder: bag_samples.write_mcap(folder / "a.mcap"), True),
    "mcap with checksums, zstd": (lambda folder: bag_samples.write_mcap(folder / "a.mcap", "zstd"), True),
    "mcap with checksums, lz4": (lambda folder: bag_samples.write_mcap(folder / "a.mcap", "lz4"), True),
    "mcap without chunks": (lambda folder: bag_samples.write_mcap(folder / "a.mcap", chunked=False), False),
}


def _cut(data, random):
    return data[: random.integers(0, len(data))]


def _flip(data, random):
    for position in random.integers(0, len(data), random.integers(1, 6)):
        data[position] ^= 1 << int(random.integers(0, 8))
    return data


def _blank(data, random):
    start, length = random.integers(0, len(data)), random.integers(1, 900)
    data[start : start + length] = bytes(len(data[start : start + length]))
    return data


def _drop(data, random):
    start = random.integers(0, len(data))
    del data[start : start + random.integers(1, 900)]
    return data


def _repeat(data, random):
    start, length = random.integers(0, len(data)), random.integers(1, 900)
    return data[:start] + data[start : start + length] + data[start:]


def _enlarge(data, random):
    """Overwrite a place with a length that no file has."""
    start = random.integers(0, len(data) - 8)
    data[start : start + 8] = (2 ** int(random.integers(31, 64)) - 1).to_bytes(8, "little")
    return data


DAMAGES = (_cut, _flip, _blank, _drop, _repeat, _enlarge)


def _is_original(frame):
    original = TRUTH.get(frame.stamp_ns)
    return (
        original is not None
        and np.array_equal(original.image, frame.image)
        and (frame.labels is None or np.array_equal(original.labels, frame.labels))
    )


@pytest.fixture(scope="module")
def whole_bags(tmp_path_factory):
    root = tmp_path_factory.mktemp("bags")
    for number, (write, _) in enumerate(KINDS.values()):
        write(root / str(number))
    return {kind: root / str(number) for number, kind in enumerate(KINDS)}


def _recording(folder):
    (path,) = (path for path in folder.iterdir() if path.name != "metadata.yaml")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_bag_of_each_kind_gives_every_frame(whole_bags, kind):
    source = BagFrames(whole_bags[kind])
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == sorted(TRUTH)
    assert all(map(_is_original, frames)) and source.has_labels
    assert source.losses == ()


def _read(path):
    """Frames of a bag, and the message of its error or ""."""
    try:
        return list(BagFrames(path)), ""
    except DatasetError as error:
        return [], str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_bag_gives_frames_or_an_error(whole_bags, tmp_path, kind):
    random = np.random.default_rng(list(KINDS).index(kind))
    is_checked = KINDS[kind][1]
    copy = tmp_path / "bag"
    shutil.copytree(whole_bags[kind], copy)
    original = _recording(copy).read_bytes()
    readable = 0
    for number in range(VARIANTS):
        damage = DAMAGES[number % len(DAMAGES)]
        _recording(copy).write_bytes(damage(bytearray(original), random))
        frames, error = _read(copy)
        if error:
            assert error.isprintable() and str(copy) in error
            continue
        readable += 1
        assert 0 < len(frames) <= 2 * len(TRUTH)
        assert all(frame.image.dtype == np.uint8 and frame.image.shape[2] == 3 for frame in frames)
        if is_checked or damage is _cut:
            assert all(map(_is_original, frames)), f"variant {number} ({damage.__name__})"
            assert len({frame.stamp_ns for frame in frames}) == len(frames)
    assert readable


@pytest.mark.parametrize("kind", ["mcap", "mcap, zstd messages", "sqlite3", "sqlite3, zstd file"])
def test_a_damaged_manifest_costs_no_frame(whole_bags, tmp_path, kind):
    random = np.random.default_rng(1)
    copy = tmp_path / "bag"
    shutil.copytree(whole_bags[kind], copy)
    manifest = copy / "metadata.yaml"
    original = manifest.read_bytes()
    for number in range(24):
        manifest.write_bytes(DAMAGES[number % len(DAMAGES)](bytearray(original), random))
        frames = list(BagFrames(copy))
        assert len(frames) == len(TRUTH) and all(map(_is_original, frames)), f"variant {number}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_says_it_in_one_line(whole_bags, tmp_path, capsys, kind):
    random = np.random.default_rng(5)
    copy = tmp_path / "bag"
    shutil.copytree(whole_bags[kind], copy)
    data = _recording(copy).read_bytes()
    for damage in DAMAGES:
        _recording(copy).write_bytes(damage(bytearray(data), random))
        code = cli.main(["evaluate", "--bag", str(copy), "--backend", "fake", "--weights", "camvid"])
        printed = capsys.readouterr()
        assert code in (0, 1)
        if code:
            # tqdm's bar ends without a line break
            last = printed.err.replace("\r", "\n").strip().splitlines()[-1]
            assert last.startswith("espnet_ros: error: ") and printed.err.count("espnet_ros: error: ") == 1
        else:
            assert "mean IoU" in printed.out
