"""Entries of the engine cache whose manifest is none."""

import os

import pytest

from espnet_ros.engines.cache_entry import MANIFEST, find_problem, read_entry


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 200_000, b"[1]", b"{}", b'{"key": 3, "files": 3}', None])
def test_a_manifest_of_any_content_is_called_damaged(tmp_path, content):
    if content is None:
        os.mkfifo(tmp_path / MANIFEST)
    else:
        (tmp_path / MANIFEST).write_bytes(content)
    assert find_problem(tmp_path) == f"has a damaged {MANIFEST}"
    assert read_entry(tmp_path).weights_name == ""
