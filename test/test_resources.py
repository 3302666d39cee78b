"""The user's home and cache, with everything that a container leaves out."""

import logging
import os
import pwd
import tempfile
from pathlib import Path

import pytest

from espnet_ros import PathError, resources
from espnet_ros.engines.cache import EngineCache
from espnet_ros.resources import cache_folder, expand_user, home_folder, temporary_folder

ME = pwd.getpwuid(os.getuid())


@pytest.fixture
def nameless(monkeypatch):
    """A user without a passwd entry, and an environment without folders."""

    def no_entry(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("home", [None, "", "relative/home", "."])
def test_without_a_usable_home_variable_the_passwd_entry_counts(monkeypatch, home):
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    assert home_folder() == Path(ME.pw_dir)


@pytest.mark.parametrize("home", [None, "", "relative/home"])
def test_a_nameless_user_without_home_has_atemporary_cache_and_one_warning(nameless, monkeypatch, caplog, home):
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/cache")  # the specification ignores it
    resources.temporary_cache.cache_clear()
    with caplog.at_level(logging.WARNING, "espnet_ros"):
        first, second = cache_folder(), cache_folder()
    assert home_folder() is None
    assert first == second
    assert first.is_dir()
    assert first.stat().st_mode & 0o777 == 0o700
    assert caplog.text.count("no home folder") == 1
    assert EngineCache().folder == first / "engines"


def test_the_home_of_the_environment_needs_no_passwd_entry(nameless, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "espnet_ros"
    assert expand_user("~/a b/c") == tmp_path / "a b" / "c"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine" / "espnet_ros"


def test_tilde_paths_expand_as_the_shell_expands_them(monkeypatch):
    monkeypatch.setenv("HOME", "/home/robot")
    for path in ("~", "~/", "~/x", "~//x", "a/~/x", "/~x", "", f"~{ME.pw_name}/x", f"~{ME.pw_name}"):
        assert expand_user(path) == Path(path).expanduser(), path
        assert expand_user(Path(path)) == Path(path).expanduser()


@pytest.mark.parametrize("path", ["~nouser/x", "~nouser", "~no user/x", "~\u00e4\u00f6/x", "~\udcff/x", "~no\0user/x"])
def test_an_unknown_user_is_named(path):
    with pytest.raises(PathError, match="there is no user 'n|there is no user '[^a-z]"):
        expand_user(path)


def test_a_nameless_user_has_no_tilde(nameless):
    with pytest.raises(PathError, match="path '~/x': '~' needs a home folder, but HOME is not set"):
        expand_user("~/x")


def test_no_folder_for_temporary_files_is_one_clear_line(monkeypatch):
    def refuse(**_arguments):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(PathError, match="temporary files: no writable folder .*; set TMPDIR"):
        temporary_folder()
