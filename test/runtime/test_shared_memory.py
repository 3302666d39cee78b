import os
from pathlib import Path

import pytest

from espnet_ros.runtime import shared_memory
from espnet_ros.runtime.shared_memory import find_shared_memory_problem

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "fastdds_large_images.xml"
MIB = 2**20


@pytest.fixture
def free(monkeypatch):
    """Sets the free space of every file system, in MiB."""

    def set_free(mebibytes):
        fields = list(os.statvfs("/"))
        fields[1], fields[4] = 4096, mebibytes * MIB // 4096  # f_frsize, f_bavail
        monkeypatch.setattr(shared_memory.os, "statvfs", lambda _path: os.statvfs_result(fields))

    return set_free


def _profile(path, transports, builtin="false"):
    descriptors = "".join(f"<transport_descriptor>{each}</transport_descriptor>" for each in transports)
    path.write_text(
        f'<dds xmlns="http://www.eprosima.com"><profiles><transport_descriptors>{descriptors}</transport_descriptors>'
        f"<participant><rtps><useBuiltinTransports>{builtin}</useBuiltinTransports></rtps></participant></profiles></dds>",
        encoding="utf-8",
    )
    return {"FASTRTPS_DEFAULT_PROFILES_FILE": str(path)}


def _shm(mebibytes):
    return f"<type>SHM</type><segment_size>{mebibytes * MIB}</segment_size>"


UDP = "<type>UDPv4</type>"


def _is_short(environment, folder):
    return "MiB are needed" in find_shared_memory_problem(environment, folder)


@pytest.mark.parametrize("variable", ["FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"])
def test_the_shipped_profile_needs_its_segment(free, tmp_path, variable):
    environment = {variable: str(SHIPPED)}
    free(64)
    assert find_shared_memory_problem(environment, tmp_path) == ""
    free(10)
    problem = find_shared_memory_problem(environment, tmp_path)
    assert str(tmp_path) in problem
    assert "10 MiB are free" in problem
    assert "--shm-size" in problem


def test_the_need_is_that_of_the_largest_segment(free, tmp_path):
    free(40)
    assert not _is_short(_profile(tmp_path / "a.xml", [_shm(32), UDP]), tmp_path)
    assert _is_short(_profile(tmp_path / "b.xml", [_shm(64), UDP]), tmp_path)
    assert _is_short(_profile(tmp_path / "c.xml", [_shm(8), _shm(64)]), tmp_path)
    free(0)
    assert _is_short({}, tmp_path)  # Fast DDS's own 512 KiB
    assert _is_short({"FASTRTPS_DEFAULT_PROFILES_FILE": ""}, tmp_path)
    free(2)
    assert not _is_short({}, tmp_path)


@pytest.mark.parametrize("text", ["", "<dds>", "no XML", "<dds><transport_descriptor/></dds>"])
def test_a_profile_that_fast_dds_cannot_read_leaves_its_default(free, tmp_path, text):
    (tmp_path / "broken.xml").write_text(text, encoding="utf-8")
    free(2)
    for name in ("broken.xml", "missing.xml"):
        assert find_shared_memory_problem({"FASTRTPS_DEFAULT_PROFILES_FILE": str(tmp_path / name)}, tmp_path) == ""


def test_no_segment_no_problem(free, tmp_path):
    free(0)
    assert not _is_short({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, tmp_path)
    assert not _is_short({"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}, tmp_path)
    assert not _is_short(_profile(tmp_path / "udp.xml", [UDP]), tmp_path)
    assert _is_short(_profile(tmp_path / "builtin.xml", [UDP], builtin="true"), tmp_path)
    assert _is_short({"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, tmp_path)


def test_no_folder_of_shared_memory_is_a_problem(tmp_path):
    assert "No such file or directory" in find_shared_memory_problem({}, tmp_path / "missing")
