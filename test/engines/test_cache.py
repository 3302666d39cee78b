import json
import logging

import pytest

from espnet_ros.engines.cache import EngineCache

KEY = {"weights": "abc", "alpha": "8"}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(str(tmp_path / "engines"))


def _writer(text):
    def build(folder):
        (folder / "model.bin").write_text(text)

    return build


def test_an_entry_is_built_once(cache):
    assert cache.find(KEY) is None
    first = cache.find_or_build(KEY, _writer("one"))
    second = cache.find_or_build(KEY, _writer("two"))
    assert first == second
    assert (second / "model.bin").read_text() == "one"


def test_another_key_is_another_entry(cache):
    cache.find_or_build(KEY, _writer("one"))
    other = cache.find_or_build({**KEY, "alpha": "3"}, _writer("two"))
    assert (other / "model.bin").read_text() == "two"


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "model.bin").write_text("on"),
        lambda entry: (entry / "model.bin").unlink(),
        lambda entry: (entry / "manifest.json").write_text("{"),
        lambda entry: (entry / "manifest.json").unlink(),
        lambda entry: (entry / "manifest.json").write_text(json.dumps({"key": {"weights": "x"}, "files": {}})),
    ],
)
def test_a_damaged_or_foreign_entry_is_built_again(cache, damage):
    damage(cache.find_or_build(KEY, _writer("one")))
    assert cache.find(KEY) is None
    assert (cache.find_or_build(KEY, _writer("two")) / "model.bin").read_text() == "two"


def test_a_failed_build_leaves_nothing(cache):
    def fail(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        cache.find_or_build(KEY, fail)
    assert list(cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_only_warns(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        entry = EngineCache(str(blocked / "engines")).find_or_build(KEY, _writer("one"))
    assert (entry / "model.bin").read_text() == "one"
    assert "cannot be written" in caplog.text


def test_the_default_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().folder == tmp_path / "espnet_ros" / "engines"
