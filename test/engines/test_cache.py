import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_ros.engines import cache as cache_module
from espnet_ros.engines.cache import EngineCache, recorded_uses
from espnet_ros.engines.cache_entry import entry_name
from espnet_ros.errors import EngineError

pytestmark = pytest.mark.process

KEY = {"backend": "openvino", "alpha": "8", "input_size": "48x64", "weights": "abc"}
NAME = entry_name(KEY)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(str(tmp_path / "engines"))


def _writer(text):
    def build(folder):
        (folder / "model.bin").write_text(text)

    return build


def _never(folder):
    raise AssertionError("built although it was there")


def _content(entry):
    return (entry / "model.bin").read_text()


def _unfinished(cache):
    return [path.name for path in cache.folder.iterdir() if ".unfinished-" in path.name]


def test_an_entry_is_built_once(cache):
    assert cache.find(KEY) is None
    first = cache.find_or_build(KEY, _writer("one"))
    assert first == cache.folder / NAME
    assert cache.find_or_build(KEY, _never) == first == cache.find(KEY)
    assert _content(first) == "one"


def test_another_key_is_another_entry(cache):
    cache.find_or_build(KEY, _writer("one"))
    assert _content(cache.find_or_build({**KEY, "alpha": "3"}, _writer("two"))) == "two"
    assert _content(cache.find(KEY)) == "one"


def test_the_name_of_an_entry_says_what_it_is():
    assert re.fullmatch(r"openvino-8-48x64-[0-9a-f]{16}", NAME)
    assert re.fullmatch(r"___x-[0-9a-f]{16}", entry_name({"backend": "../x"}))
    assert entry_name(dict(reversed(list(KEY.items())))) == NAME


def _to_link(path):
    shutil.move(path, path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _edit_manifest(**changes):
    def edit(entry):
        manifest = json.loads((entry / "manifest.json").read_text())
        (entry / "manifest.json").write_text(json.dumps({**manifest, **changes}))

    return edit


DAMAGES = {
    "contains a changed file: model.bin": lambda entry: (entry / "model.bin").write_text("on"),
    "is missing its file model.bin": lambda entry: (entry / "model.bin").unlink(),
    "contains an unexpected file: more": lambda entry: (entry / "more").write_text(""),
    "contains an unexpected file: folder": lambda entry: (entry / "folder").mkdir(),
    "contains a symbolic link: model.bin": lambda entry: (
        shutil.move(entry / "model.bin", entry.parent / "moved"),
        (entry / "model.bin").symlink_to(entry.parent / "moved"),
    ),
    "has a damaged manifest.json": lambda entry: (entry / "manifest.json").write_text("{"),
    "has no manifest.json": lambda entry: (entry / "manifest.json").unlink(),
    "has a name that does not match its key": _edit_manifest(key={**KEY, "weights": "def"}),
    "is not a folder": _to_link,
}
MORE_DAMAGES = {
    "has a damaged manifest.json": [
        _edit_manifest(files=["model.bin"]),
        _edit_manifest(key={"alpha": 8}),
        lambda entry: (entry / "manifest.json").write_text("[]"),
        lambda entry: (entry / "manifest.json").write_bytes(b"\xff\xfe"),
    ],
    "is not a folder": [lambda entry: (shutil.rmtree(entry), entry.write_text("x"))],
    "is missing its file model.bin": [lambda entry: (entry / "model.bin").rename(entry / "other.bin")],
}


@pytest.mark.parametrize(
    ("problem", "damage"),
    [*DAMAGES.items(), *((problem, damage) for problem, damages in MORE_DAMAGES.items() for damage in damages)],
)
def test_a_damaged_or_foreign_entry_is_named_and_built_again(cache, caplog, problem, damage):
    entry = cache.find_or_build(KEY, _writer("one"))
    damage(entry)
    (listed,) = (each for each in cache.entries() if each.name == NAME)
    assert cache.verify(listed) == problem
    assert cache.find(KEY) is None
    caplog.clear()
    assert _content(cache.find_or_build(KEY, _writer("two"))) == "two"
    assert [record.getMessage() for record in caplog.records] == [f"engine cache: {entry} {problem}; rebuilding it"]
    assert cache.verify(listed) == ""
    assert not entry.is_symlink()


def test_an_entry_of_another_key_under_our_name_is_not_taken(cache):
    other = cache.find_or_build({**KEY, "weights": "def"}, _writer("other"))
    other.rename(cache.folder / NAME)
    assert _content(cache.find_or_build(KEY, _writer("mine"))) == "mine"


def test_a_failed_build_leaves_no_entry_and_no_files(cache):
    def fail(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        cache.find_or_build(KEY, fail)
    assert [path.name for path in cache.folder.iterdir()] == [f".{NAME}.lock"]
    assert cache.entries() == []
    assert _content(cache.find_or_build(KEY, _writer("one"))) == "one"


def test_a_failed_build_leaves_a_damaged_entry_as_it_was(cache):
    entry = cache.find_or_build(KEY, _writer("one"))
    (entry / "model.bin").write_text("on")

    def fail(folder):
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        cache.find_or_build(KEY, fail)
    assert _content(entry) == "on"


def test_a_folder_that_cannot_be_made_only_warns(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    cache = EngineCache(str(blocked / "engines"))
    with recorded_uses() as uses:
        entry = cache.find_or_build(KEY, _writer("one"))
    assert _content(entry) == "one"
    assert [record.getMessage() for record in caplog.records] == [
        f"engine cache: {cache.folder} cannot be written (Not a directory); this engine will not be cached"
    ]
    assert [(use.folder, use.is_cached) for use in uses] == [(entry, False)]


def test_an_error_of_the_build_itself_is_not_taken_for_one_of_the_cache(cache, caplog):
    def fail(folder):
        raise FileNotFoundError("weights")

    with pytest.raises(FileNotFoundError, match="weights"):
        cache.find_or_build(KEY, fail)
    assert caplog.records == []


class _Filling:
    """Builds that run into a disk that is full, all or the first one alone."""

    def __init__(self, failures):
        self.folders = []
        self._failures = failures

    def __call__(self, folder):
        self.folders.append(folder)
        (folder / "half").write_text("x")
        if len(self.folders) <= self._failures:
            Path("/dev/full").write_text("x")  # the kernel says that the device is full
        (folder / "half").unlink()
        (folder / "model.bin").write_text("whole")


def test_a_disk_that_fills_up_only_warns(cache, caplog):
    build = _Filling(failures=1)
    entry = cache.find_or_build(KEY, build)
    assert _content(entry) == "whole"
    assert entry == build.folders[1] and cache.folder not in entry.parents
    assert [record.getMessage() for record in caplog.records] == [
        f"engine cache: {cache.folder} is on a full disk (No space left on device); this engine will not be cached"
    ]
    assert _unfinished(cache) == [] and cache.entries() == []


def test_a_disk_that_is_full_everywhere_is_an_error(cache):
    with pytest.raises(OSError, match="No space left on device"):
        cache.find_or_build(KEY, _Filling(failures=2))


def test_a_build_that_fails_on_a_scarce_disk_is_tried_elsewhere(cache, caplog, monkeypatch):
    monkeypatch.setattr(cache_module, "MIN_FREE", shutil.disk_usage("/").total + 1)
    folders = []

    def build(folder):
        folders.append(folder)
        if len(folders) == 1:
            raise EngineError("conversion failed: iostream error")  # what OpenVINO says on a full disk
        (folder / "model.bin").write_text("whole")

    assert _content(cache.find_or_build(KEY, build)) == "whole"
    assert re.search(r"on a disk with \d+ MiB left \(conversion failed: iostream error\); this", caplog.text)


_MOUNTED = """
import sys
from espnet_ros.engines.cache import EngineCache
def build(folder):
    print(folder)
    (folder / "model.bin").write_bytes(b"x" * int(sys.argv[2]))
print(EngineCache(sys.argv[1]).find_or_build({"alpha": "8"}, build))
"""


def _run_mounted(mount, folder, size=1):
    """Build in a file system of our own: what was mounted goes with the process."""
    namespaces = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespaces, "mount", "-t", "tmpfs", "x", "/mnt"]).returncode:
        pytest.skip("needs unshare and the right to mount in a user namespace")
    script = f"{mount} && exec {sys.executable} -c '{_MOUNTED}' {folder} {size}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([*namespaces, "sh", "-c", script], env=environment, capture_output=True, text=True)


def _read_only(folder):
    return f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"


def test_a_read_only_file_system_only_warns(tmp_path):
    result = _run_mounted(_read_only(tmp_path), tmp_path)
    assert result.returncode == 0, result.stderr
    warning = f"engine cache: {tmp_path} cannot be written (Read-only file system); this engine will not be cached\n"
    assert result.stderr == warning
    assert list(tmp_path.iterdir()) == []


def test_an_entry_of_a_read_only_file_system_is_used(tmp_path):
    entry = EngineCache(str(tmp_path)).find_or_build({"alpha": "8"}, _writer("one"))
    result = _run_mounted(_read_only(tmp_path), tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{entry}\n", "")


def test_a_small_disk_only_warns(tmp_path):
    result = _run_mounted(f"mount -t tmpfs -o size=1m x {tmp_path}", tmp_path, 2 << 20)
    assert result.returncode == 0, result.stderr
    first, second, used = result.stdout.split()
    assert Path(first).parent == tmp_path and second == used and Path(used).parent != tmp_path
    assert "is on a full disk (No space left on device); this engine will not be cached" in result.stderr


def test_entries_carry_facts_for_people(cache):
    cache.find_or_build(KEY, _writer("12345"), "my_weights")
    (entry,) = cache.entries()
    assert (entry.name, entry.key, entry.weights_name, entry.size) == (NAME, KEY, "my_weights", 5)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.created)
    assert entry.seconds >= 0


def test_entries_that_cannot_be_read_are_listed_by_name_alone(cache):
    (cache.find_or_build(KEY, _writer("1")) / "manifest.json").unlink()
    (entry,) = cache.entries()
    assert (entry.name, entry.key, entry.size) == (NAME, {}, 0)


def test_what_is_not_the_caches_own_is_no_entry(cache):
    assert cache.entries() == []
    cache.folder.mkdir()
    (cache.folder / "photos").mkdir()
    (cache.folder / "notes.txt").write_text("mine")
    assert cache.entries() == []


def test_a_cache_that_is_no_folder_cannot_be_listed(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"engine cache .*/file cannot be listed: Not a directory"):
        EngineCache(str(tmp_path / "file")).entries()


def test_a_removed_entry_is_gone_and_built_again(cache):
    cache.find_or_build(KEY, _writer("one"))
    other = cache.find_or_build({**KEY, "alpha": "3"}, _writer("other"))
    (entry,) = (each for each in cache.entries() if each.name == NAME)
    cache.remove(entry)
    assert [each.path for each in cache.entries()] == [other]
    assert _unfinished(cache) == []
    assert _content(cache.find_or_build(KEY, _writer("two"))) == "two"
    cache.remove(entry)
    with pytest.raises(EngineError, match=f"{NAME} cannot be removed: No such file or directory"):
        cache.remove(entry)


def test_uses_are_noted_while_they_are_asked_for(cache):
    with recorded_uses() as uses:
        entry = cache.find_or_build(KEY, _writer("one"))
        cache.find_or_build(KEY, _never)
    cache.find_or_build(KEY, _never)
    assert [(use.folder, use.seconds is None, use.is_cached) for use in uses] == [
        (entry, False, True),
        (entry, True, True),
    ]


def test_others_may_read_what_the_users_umask_lets_them(cache):
    before = os.umask(0o022)
    try:
        entry = cache.find_or_build(KEY, _writer("one"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o755
    assert stat.S_IMODE((entry / "manifest.json").stat().st_mode) == 0o644


def test_the_default_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EngineCache().folder == tmp_path / "espnet_ros" / "engines"


def test_a_cache_of_the_users_home_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EngineCache("~/engines").folder == tmp_path / "engines"


def test_an_entry_that_is_there_is_used_without_the_library_for_locks(tmp_path):
    EngineCache(str(tmp_path)).find_or_build({"alpha": "8"}, _writer("one"))
    code = (
        "import sys; from espnet_ros.engines.cache import EngineCache\n"
        "EngineCache(sys.argv[1]).find_or_build({'alpha': '8'}, None); print('filelock' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, env=environment, capture_output=True, text=True).stdout == "False\n"
