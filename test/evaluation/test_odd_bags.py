"""Bags that are whole but not as a recorder leaves them: without manifest, with a wrong one, split, compressed."""

import pytest
from bag_samples import contents, read_checked, samples, write_mcap, write_ros2

from espnet_ros.errors import DatasetError
from espnet_ros.evaluation.bag import BagFrames, create_bag
from espnet_ros.evaluation.sources import open_frames


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compression", [None, "file", "message"])
def test_a_bag_is_read_as_folder_and_as_file_with_and_without_its_manifest(tmp_path, storage, compression):
    folder = write_ros2(tmp_path / "bag", storage, compression)
    (file,) = (path for path in folder.iterdir() if path.name != "metadata.yaml")
    assert read_checked(folder) == read_checked(file) == ([0, 1, 2, 3, 4, 5], ())
    (folder / "metadata.yaml").unlink()
    before = contents(folder)
    assert read_checked(folder) == ([0, 1, 2, 3, 4, 5], ())
    assert contents(folder) == before
    assert len(list(open_frames(folder))) == len(list(open_frames(file))) == 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("storage_identifier: mcap", "storage_identifier: ''"),
        ("storage_identifier: mcap", "storage_identifier: rosbag_v9"),
        ("version: 8", "version: 99"),
        ("version: 8", "version: many"),
        ("message_count: 6", "message_count: 0"),
        ("message_count: 6", "message_count: 123456789012345678901234567890"),
        ("nanoseconds_since_epoch: 100000000000", "nanoseconds_since_epoch: -5"),
        ("compression_mode: ''", "compression_mode: FILE"),
        ("- bag.mcap", "- other.mcap"),
        ("relative_file_paths:", "relative_file_paths: 3\nx:"),
        ("rosbag2_bagfile_information:", "- [&a [*a"),
        ("rosbag2_bagfile_information:", "\x00\xff"),
    ],
)
def test_a_wrong_manifest_costs_nothing(tmp_path, old, new):
    folder = write_ros2(tmp_path / "bag", "mcap")
    manifest = folder / "metadata.yaml"
    text = manifest.read_text(encoding="utf-8")
    assert old in text
    manifest.write_bytes(text.replace(old, new).encode("latin-1"))
    assert read_checked(folder) == ([0, 1, 2, 3, 4, 5], ())
    assert len(BagFrames(folder)) == 6


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_path_can_have_any_letters(tmp_path, storage):
    write_ros2(tmp_path / "bag", storage)
    odd = (tmp_path / "bag").rename(tmp_path / "a b #ü ?%41")
    assert read_checked(odd) == ([0, 1, 2, 3, 4, 5], ())


def test_sqlite3_refuses_to_be_written_to_a_path_that_it_would_misread(tmp_path):
    with pytest.raises(DatasetError, match="must not contain"):
        create_bag([], tmp_path / "50%", "sqlite3")


def _split(folder, count=12):
    """A split bag: a file per frame, with a manifest that lists them."""
    names = [f"drive_{number}.mcap" for number in range(count)]
    for number, name in enumerate(names):
        write_mcap(folder / name, frames=samples(1, first=number))
    listed = "".join(f"\n  - {name}" for name in names)
    text = f"rosbag2_bagfile_information:\n  version: 5\n  relative_file_paths:{listed}\n"
    (folder / "metadata.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_split_bag_is_read_in_order_with_and_without_its_manifest(tmp_path):
    folder = _split(tmp_path / "drive")
    assert read_checked(folder) == (list(range(12)), ())
    (folder / "metadata.yaml").unlink()
    assert read_checked(folder) == (list(range(12)), ())


def test_a_missing_file_of_a_split_bag_is_named(tmp_path):
    folder = _split(tmp_path / "drive")
    (folder / "drive_7.mcap").unlink()
    numbers, (loss,) = read_checked(folder)
    assert numbers == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert str(loss) == "drive_7.mcap: the file is listed in metadata.yaml but missing; lost: unknown"


def test_an_empty_last_file_of_a_split_bag_is_named(tmp_path):
    folder = _split(tmp_path / "drive", 3)
    (folder / "drive_2.mcap").write_bytes(b"")
    numbers, (loss,) = read_checked(folder)
    assert numbers == [0, 1]
    assert str(loss) == "drive_2.mcap at byte 0: the file is empty; lost: 0 bytes"


def test_the_file_that_was_being_compressed_is_read_once(tmp_path):
    folder = write_ros2(tmp_path / "bag", "mcap")
    (folder / "bag.mcap.zstd").write_bytes(b"\x28\xb5\x2f\xfd half")
    (folder / "metadata.yaml").unlink()
    assert read_checked(folder) == ([0, 1, 2, 3, 4, 5], ())
