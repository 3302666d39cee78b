"""Bags that are whole but not as a recorder leaves them: without manifest, with a wrong one, split, compressed."""

import os
import sqlite3

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


@pytest.mark.parametrize("listed", ["elsewhere/bag.mcap", "../elsewhere/bag.mcap", "{absolute}"])
def test_a_listed_file_can_lie_in_another_folder(tmp_path, listed):
    folder = write_ros2(tmp_path / "bag", "mcap")
    other = (folder if listed.startswith("else") else tmp_path) / "elsewhere"
    other.mkdir()
    (folder / "bag.mcap").rename(other / "bag.mcap")
    manifest = folder / "metadata.yaml"
    path = listed.format(absolute=other / "bag.mcap")
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("- bag.mcap", f"- {path}"), encoding="utf-8")
    assert read_checked(folder) == ([0, 1, 2, 3, 4, 5], ())


def test_named_pipes_and_folders_with_the_names_of_files_do_not_matter(tmp_path):
    folder = write_ros2(tmp_path / "bag", "mcap")
    (folder / "metadata.yaml").unlink()
    for name in ("metadata.yaml", "a.mcap", "b.db3"):
        os.mkfifo(folder / name)
    (folder / "c.mcap").mkdir()
    assert read_checked(folder) == ([0, 1, 2, 3, 4, 5], ())


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.bag"])
def test_pipes_and_devices_are_refused_at_once(tmp_path, name):
    pipe, device = tmp_path / name, tmp_path / f"zero_{name}"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        with pytest.raises(DatasetError, match="must be a file or folder, is a device, pipe or socket"):
            open_frames(path)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "lost.mcap").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"lost\.mcap: No such file"):
        open_frames(tmp_path / "bag")


def _with_topics(folder, statement):
    (file,) = write_ros2(folder, "sqlite3").glob("*.db3")
    (folder / "metadata.yaml").unlink()
    database = sqlite3.connect(str(file))
    database.execute(statement)
    database.commit()
    database.close()
    return folder


@pytest.mark.parametrize("kind", ["sensor_msgs/Image", "sensor_msgs::msg::Image", "sensor_msgs::msg::dds_::Image_"])
def test_types_can_be_named_as_in_ros1_and_dds(tmp_path, kind):
    folder = _with_topics(tmp_path / "bag", f"UPDATE topics SET type = '{kind}' WHERE type LIKE '%Image'")
    assert read_checked(folder) == ([0, 1, 2, 3, 4, 5], ())
    (file,) = folder.glob("*.db3")
    os.truncate(file, file.stat().st_size - 100)
    numbers, losses = read_checked(folder)
    assert losses
    assert numbers[:3] == [0, 1, 2]


def test_another_serialisation_is_named(tmp_path):
    folder = _with_topics(tmp_path / "bag", "UPDATE topics SET serialization_format = 'cbor'")
    with pytest.raises(DatasetError, match="/cam/image_raw: messages must be encoded as cdr, are 'cbor'"):
        BagFrames(folder)


@pytest.mark.parametrize("compression", ["", "zstd", "lz4"])
@pytest.mark.parametrize("with_statistics", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_an_mcap_file_needs_no_index_of_its_messages(tmp_path, compression, with_statistics, chunked):
    path = tmp_path / "a.mcap"
    write_mcap(path, compression, chunked, with_message_index=False, with_statistics=with_statistics)
    assert read_checked(path) == ([0, 1, 2, 3, 4, 5], ())
