import os
import re
import subprocess
import sys

import pytest

from espnet_ros import cli
from espnet_ros.commands import engine as engine_command
from espnet_ros.config import NodeConfig
from espnet_ros.engines.cache import EngineCache
from espnet_ros.engines.cache_key import engine_key
from espnet_ros.engines.fake import FakeEngine
from espnet_ros.loading import resolve_spec
from espnet_ros.model.checkpoint import list_registry

pytestmark = pytest.mark.slow

KEY = {
    "backend": "tensorrt",
    "version": "8.2.1.8",
    "precision": "fp16",
    "device": "NVIDIA Tegra X2; compute capability 6.2",
    "network": "espnet",
    "alpha": "3",
    "input_size": "512x1024",
    "weights": "0123456789abcdef" * 4,
}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(str(tmp_path / "engines"))


@pytest.fixture
def espnet_engine(cache, capsys):
    """Runs ``espnet_ros engine`` with that cache; returns its exit code, its lines, and what it says on stderr."""

    def run(*arguments):
        code = cli.main(["engine", *arguments, "--cache", str(cache.folder)])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return run


def _put(cache, weights_name="", **changes):
    key = {**KEY, **changes}
    return cache.find_or_build(key, lambda folder: (folder / "plan").write_bytes(b"x" * 1_500_000), weights_name)


class _Built:
    """A backend with an engine to keep, whose building takes no time; it notes the specs."""

    def __init__(self):
        self.specs = []

    def __call__(self, spec):
        self.specs.append(spec)
        key = engine_key(spec, "openvino", "1.0", "fp32", "CPU")
        EngineCache(spec.cache).find_or_build(key, lambda folder: (folder / "model").write_text("x"))
        return FakeEngine(spec)


@pytest.fixture
def built(monkeypatch):
    """Replaces the building of engines."""
    backend = _Built()
    monkeypatch.setattr(engine_command, "build_engine", backend)
    return backend


@pytest.mark.parametrize("action", ["build", "list", "verify", "remove"])
def test_every_action_has_help_with_an_example(action, capsys):
    assert cli.main(["engine", action, "--help"]) == 0
    assert re.search(rf"example:\n  espnet_ros engine {action}", capsys.readouterr().out)


def test_build_says_what_was_built_and_where_and_that_it_was_there_the_next_time(espnet_engine, built, cache):
    code, lines, _ = espnet_engine("build")
    assert code == 0
    assert lines[0] == "espnet_alpha8_street (espnet, alpha 8) at 360x480:"
    (entry,) = cache.entries()
    assert re.fullmatch(rf"  built in 0\.\d s: {entry.path}", lines[2])
    code, lines, _ = espnet_engine("build")
    assert (code, lines[2]) == (0, f"  already built: {entry.path}")


def test_build_makes_one_engine_for_each_alpha(espnet_engine, built, cache):
    code, _, _ = espnet_engine("build", "--alphas", "8", "3")
    assert code == 0
    assert [spec.checkpoint.name for spec in built.specs] == ["espnet_alpha8_street", "espnet_alpha3_street"]
    assert sorted(entry.key["alpha"] for entry in cache.entries()) == ["3", "8"]


def test_build_takes_the_parameters_of_the_node(espnet_engine, built, tmp_path):
    file = tmp_path / "robot.yaml"
    text = "/**: {ros__parameters: {alpha: 3, threads: 2, use_sim_time: true, max_rate: 5}}\n"
    file.write_text(text + "/rear/espnet: {ros__parameters: {alpha: 5, input_height: 48, input_width: 64}}\n")
    assert espnet_engine("build", "--params-file", str(file))[0] == 0
    assert espnet_engine("build", "--params-file", str(file), "--node", "/rear/espnet")[0] == 0
    assert espnet_engine("build", "--params-file", str(file), "--alpha", "8", "--threads", "1")[0] == 0
    found = [(spec.checkpoint.alpha, spec.threads, str(spec.input_size)) for spec in built.specs]
    assert found == [(3, 2, "360x480"), (5, 2, "48x64"), (8, 1, "360x480")]


def test_the_cache_of_the_parameter_file_is_used_unless_another_is_given(built, tmp_path, capsys):
    file = tmp_path / "robot.yaml"
    file.write_text(f"espnet: {{ros__parameters: {{engine_cache: {tmp_path}/file}}}}")
    assert cli.main(["engine", "build", "--params-file", str(file)]) == 0
    assert cli.main(["engine", "build", "--params-file", str(file), "--cache", f"{tmp_path}/option"]) == 0
    assert [spec.cache for spec in built.specs] == [f"{tmp_path}/file", f"{tmp_path}/option"]


def test_a_node_that_keeps_its_alphas_ready_gets_all_of_them(espnet_engine, built, tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("/**: {ros__parameters: {alpha: 5, keep_alphas_ready: true}}")
    assert espnet_engine("build", "--params-file", str(file))[0] == 0
    assert [spec.checkpoint.alpha for spec in built.specs] == [5, 3, 8]


def test_a_power_mode_and_a_governor_have_the_engines_that_the_node_will_want(espnet_engine, built, tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text(
        "/**: {ros__parameters: {power_mode: tx2_max_q, precision: auto, governor: rate, governor_alphas: [3, 8], "
        "governor_sizes: 128x256}}"
    )
    assert espnet_engine("build", "--params-file", str(file), "--precision", "fp32", "--backend", "torch")[0] == 0
    found = [(spec.checkpoint.alpha, spec.precision, spec.threads, str(spec.input_size)) for spec in built.specs]
    # The profile sets alpha, threads and size, but the option wins over its precision.
    assert found == [
        (3, "fp32", 2, "256x512"), (8, "fp32", 2, "256x512"), (3, "fp32", 2, "128x256"), (8, "fp32", 2, "128x256"),
    ]  # fmt: skip


def test_a_mode_of_the_board_leaves_the_engine_as_it_is(espnet_engine, built, tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("/**: {ros__parameters: {power_mode: 2, governor: off, alpha: 5}}")
    assert espnet_engine("build", "--params-file", str(file))[0] == 0
    assert [spec.checkpoint.alpha for spec in built.specs] == [5]


def test_what_is_built_is_what_the_node_asks_for(built, tmp_path):
    config = NodeConfig(
        alpha=3, precision="fp32", input_width=640, engine_cache=EngineCache("/tmp/x").folder.as_posix()
    )
    options = ["--alpha", "3", "--precision", "fp32", "--input-width", "640", "--cache", config.engine_cache]
    assert cli.main(["engine", "build", *options]) == 0
    assert built.specs == [resolve_spec(config)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "mars"], "weights 'mars': neither a file"),
        (["--params-file", "/nowhere.yaml"], "parameter file /nowhere.yaml: cannot be read"),
        (["--input-height", "9"], "input_height must be a multiple of 8 pixel, is 9"),
        (
            ["--weights", "espnet_alpha8_street", "--alphas", "8", "3"],
            "--alphas must be 8 with checkpoint 'espnet_alpha8_street', is 3",
        ),
    ],
)
def test_build_refuses_what_it_cannot_build_before_it_builds_anything(espnet_engine, built, options, message):
    code, _, error = espnet_engine("build", *options)
    assert code == 1
    assert error.startswith(f"espnet_ros: error: {message}")
    assert built.specs == []


def test_a_parameter_of_the_wrong_type_in_the_file_is_refused(espnet_engine, built, tmp_path):
    (tmp_path / "robot.yaml").write_text("/**: {ros__parameters: {alpha: '3'}}")
    code, _, error = espnet_engine("build", "--params-file", str(tmp_path / "robot.yaml"))
    assert (code, "alpha must be of type int, is '3' (str)" in error) == (1, True)


def test_build_fails_where_the_engine_cannot_be_kept(built, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["engine", "build", "--cache", str(tmp_path / "file")]) == 1
    assert f"engine cache {tmp_path}/file: cannot store espnet_alpha8_street" in capsys.readouterr().err


def test_build_says_so_where_a_backend_keeps_nothing(espnet_engine, cache):
    code, lines, _ = espnet_engine("build", "--backend", "fake")
    assert (code, lines[-1]) == (0, "  backend 'fake' has nothing to store")
    assert cache.entries() == []


def test_list_shows_what_is_there(espnet_engine, cache):
    mine = _put(cache, "mine.pth")
    street = next(entry for entry in list_registry() if entry.name == "espnet_alpha5_street")
    by_sum = _put(cache, weights=street.sha256, alpha="5")
    unknown = _put(cache, weights="f" * 64, alpha="8")
    code, lines, _ = espnet_engine("list")
    assert code == 0
    rows = [re.split(r"  +", line) for line in lines[:-1]]
    assert rows[0] == ["name", "weights", "alpha", "size", "precision", "backend", "device", "MB", "created"]
    shown = {row[0]: row[1:8] for row in rows[1:]}
    others = ["512x1024", "fp16", "tensorrt 8.2.1.8", "NVIDIA Tegra X2", "1.5"]
    assert shown == {
        mine.name: ["mine.pth", "3", *others],
        by_sum.name: ["espnet_alpha5_street", "5", *others],
        unknown.name: ["ffffffffffff", "8", *others],
    }
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[8]) for row in rows[1:])
    assert lines[-1] == f"3 in {cache.folder}, 4.5 MB"


def test_list_shows_an_entry_without_a_manifest_by_its_name(espnet_engine, cache):
    entry = _put(cache)
    (entry / "manifest.json").unlink()
    _, lines, _ = espnet_engine("list")
    assert re.split(r"  +", lines[1]) == [entry.name, *"--------"]


def test_an_empty_cache_is_no_error(espnet_engine, cache):
    assert espnet_engine("list") == (0, [f"no engines in {cache.folder}"], "")
    assert espnet_engine("verify") == (0, [f"no engines in {cache.folder}"], "")
    assert espnet_engine("remove", "--all") == (0, [f"nothing to remove in {cache.folder}"], "")


def test_verify_names_what_is_damaged_and_fails(espnet_engine, cache):
    first, second = _put(cache), _put(cache, alpha="8")
    assert espnet_engine("verify") == (0, [f"{first.name} is intact", f"{second.name} is intact"], "")
    (second / "plan").write_text("x")
    code, lines, _ = espnet_engine("verify")
    assert (code, lines) == (1, [f"{first.name} is intact", f"{second.name} contains a changed file: plan"])
    assert espnet_engine("verify", "tensorrt-espnet-3") == (0, [f"{first.name} is intact"], "")


def test_remove_takes_those_whose_names_begin_so(espnet_engine, cache):
    first, second = _put(cache), _put(cache, alpha="8")
    assert espnet_engine("remove", "tensorrt-espnet-3") == (0, [f"removed {first.name}"], "")
    assert [entry.name for entry in cache.entries()] == [second.name]


def test_remove_takes_what_is_damaged(espnet_engine, cache):
    first, second = _put(cache), _put(cache, alpha="8")
    (first / "plan").unlink()
    assert espnet_engine("remove", "--damaged") == (0, [f"removed {first.name}"], "")
    assert espnet_engine("remove", "--damaged") == (0, [f"nothing to remove in {cache.folder}"], "")
    assert [entry.name for entry in cache.entries()] == [second.name]


def test_remove_all_leaves_what_is_not_the_caches_own(espnet_engine, cache):
    _put(cache)
    (cache.folder / "notes").mkdir()
    assert espnet_engine("remove", "--all")[0] == 0
    assert cache.entries() == []
    assert (cache.folder / "notes").is_dir()


@pytest.mark.parametrize("options", [[], ["--all", "--damaged"], ["tensorrt", "--all"]])
def test_remove_must_be_told_what(espnet_engine, cache, options):
    _put(cache)
    code, _, error = espnet_engine("remove", *options)
    assert (code, error) == (1, "espnet_ros: error: engine remove needs one of: names, --all, --damaged\n")
    assert len(cache.entries()) == 1


@pytest.mark.parametrize("action", ["verify", "remove"])
def test_a_name_that_fits_nothing_is_refused(espnet_engine, cache, action):
    _put(cache)
    code, _, error = espnet_engine(action, "tensorrt", "onnx")
    assert (code, "no engine name begins with 'onnx'" in error) == (1, True)
    assert len(cache.entries()) == 1


def test_two_commands_at_once_build_an_engine_once(untrained_checkpoint, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    options = ["--weights", str(untrained_checkpoint.path), "--cache", str(tmp_path)]
    options += ["--backend", "openvino", "--precision", "fp32"]
    command = [sys.executable, "-m", "espnet_ros.cli", "engine", "build", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    results = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    outcomes = sorted(re.search(r"  (built in|already built)", out).group(1) for out, _ in results)
    assert outcomes == ["already built", "built in"]
    (entry,) = EngineCache(str(tmp_path)).entries()
    assert entry.weights_name == "untrained.pth"
    assert cli.main(["engine", "verify", "--cache", str(tmp_path)]) == 0
