import hashlib
import http.server
import json
import shutil
import threading

import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
import yaml
from safetensors.torch import save_file

from espnet_ros.errors import WeightsError
from espnet_ros.model import download
from espnet_ros.model.checkpoint import list_registry, list_weight_names, locate_checkpoint, select_checkpoint
from espnet_ros.model.loading import build_network, load_network
from espnet_ros.model.state_dict import read_state_dict

PUBLISHED = [entry for entry in list_registry() if entry.url]
METADATA = {
    "network": "espnet",
    "alpha": 3,
    "classes": "camvid",
    "mean_bgr": [1, 2, 3],
    "std_bgr": [4, 5, 6],
    "input_size": [48, 64],
}


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ESPNET_WEIGHTS_DIR", raising=False)
    return tmp_path


@pytest.fixture
def own_file(tmp_path):
    """A user's checkpoint with a metadata file next to it."""
    torch.manual_seed(0)
    path = tmp_path / "mine.pth"
    torch.save(build_network("espnet", 3, 12, 19).state_dict(), path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(METADATA))
    return path


def test_the_registry_has_the_seven_published_checkpoints():
    assert len(PUBLISHED) == 7
    assert len({entry.sha256 for entry in PUBLISHED}) == 7
    assert list_weight_names()[:3] == ["camvid", "cityscapes", "street"]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_every_published_checkpoint_loads_strictly(entry, published_weights):
    located = locate_checkpoint(entry, str(published_weights))
    network = load_network(located)
    stored = read_state_dict(located.path)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in stored.items())
    expected = {("cityscapes", "espnet"): 36, ("camvid", "espnet"): 31}.get((entry.family, entry.network))
    if expected:
        assert network.conv.conv.in_channels == expected


def test_a_family_gives_the_checkpoint_of_network_and_alpha():
    assert select_checkpoint("cityscapes", "espnet", 5).name == "espnet_alpha5_cityscapes"
    assert select_checkpoint("cityscapes", "espnet_c", 3).name == "espnet_c_alpha3_cityscapes"


def test_a_family_without_that_alpha_says_what_it_has():
    with pytest.raises(WeightsError, match="'camvid' have no espnet with alpha 3; they have: espnet alpha 8"):
        select_checkpoint("camvid", "espnet", 3)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsError, match="weights 'kitti': neither a file .* known names: camvid, cityscapes, "):
        select_checkpoint("kitti", "espnet", 8)


def test_a_missing_file_is_named():
    with pytest.raises(WeightsError, match=r"/nowhere/net\.pth: cannot be read: No such file"):
        select_checkpoint("/nowhere/net.pth", "espnet", 8)


def test_a_published_file_is_recognised_whatever_its_name(published_weights, tmp_path):
    path = tmp_path / "renamed.pth"
    shutil.copy(published_weights / "espnet" / "espnet_p_2_q_5.pth", path)
    checkpoint = select_checkpoint(str(path), "espnet", 8)
    assert (checkpoint.name, checkpoint.alpha, checkpoint.path) == ("espnet_alpha5_cityscapes", 5, path)


def test_a_users_file_takes_its_metadata_from_the_yaml_next_to_it(own_file):
    checkpoint = select_checkpoint(str(own_file), "espnet", 8)
    assert (checkpoint.alpha, checkpoint.input_size, checkpoint.mean_bgr) == (3, (48, 64), (1.0, 2.0, 3.0))
    assert load_network(checkpoint).skip_channels == 19


def test_a_safetensors_file_contains_its_metadata(tmp_path):
    path = tmp_path / "mine.safetensors"
    metadata = {key: json.dumps(value) for key, value in METADATA.items()}
    save_file(build_network("espnet", 3, 12).state_dict(), path, metadata)
    checkpoint = select_checkpoint(str(path), "espnet", 8)
    assert (checkpoint.classes, checkpoint.alpha) == ("camvid", 3)
    assert load_network(checkpoint).skip_channels == 16


def test_a_file_without_metadata_is_rejected_with_instructions(own_file):
    own_file.with_suffix(".yaml").unlink()
    with pytest.raises(WeightsError, match=r"without metadata; write mine\.yaml next to it, with: network, alpha"):
        select_checkpoint(str(own_file), "espnet", 8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"alpha": 4}, "alpha must be one of 3, 5, 8, is 4"),
        ({"std_bgr": [1, 0, 1]}, r"std_bgr must be above 0, is \[1.0, 0.0, 1.0\]"),
        ({"mean_bgr": [1, 2]}, r"mean_bgr must be 3 numbers, is \[1, 2\]"),
        ({"input_size": [50, 64]}, r"input_size must be positive multiples of 8, is \[50, 64\]"),
        ({"classes": "kitti"}, "class table 'kitti'"),
        ({"divisor": 0}, "divisor must be above 0, is 0"),
        ({"alpha": 3.0}, "alpha must be one of 3, 5, 8, is 3.0"),
        ({"mean_bgr": [float("nan"), 2, 3]}, r"mean_bgr must be 3 numbers, is \[nan, 2, 3\]"),
        ({"mean_bgr": [10**400, 2, 3]}, r"mean_bgr must be 3 numbers, is \[1000"),
        ({"std_bgr": [float("inf"), 2, 3]}, r"std_bgr must be 3 numbers, is \[inf, 2, 3\]"),
        ({"input_size": [float("inf"), 64]}, r"input_size must be 2 numbers, is \[inf, 64\]"),
        ({"input_size": [48.5, 64]}, r"input_size must be positive multiples of 8, is \[48.5, 64\]"),
        ({"divisor": True}, "divisor must be above 0, is True"),
        ({"divisor": float("nan")}, "divisor must be above 0, is nan"),
        ({"divisor": 10**400}, "divisor must be above 0, is 1000"),
        ({"classes": "a\0b.yaml"}, "class table .* embedded null byte"),
    ],
)
def test_invalid_metadata_is_rejected_with_the_rule(own_file, change, reason):
    own_file.with_suffix(".yaml").write_text(yaml.safe_dump({**METADATA, **change}))
    with pytest.raises(WeightsError, match=reason):
        select_checkpoint(str(own_file), "espnet", 8)


def test_metadata_that_is_nested_too_deep_is_refused(own_file):
    own_file.with_suffix(".yaml").write_text("[" * 3000)
    with pytest.raises(WeightsError, match=r"mine\.yaml is not YAML: it is nested too deep"):
        select_checkpoint(str(own_file), "espnet", 8)


def test_a_path_with_a_null_byte_is_refused():
    with pytest.raises(WeightsError, match="cannot be read: embedded null byte"):
        select_checkpoint("a\0b.pth", "espnet", 8)


def test_weights_of_another_network_name_missing_unexpected_and_misshaped_keys(own_file):
    state = build_network("espnet", 5, 20).state_dict()
    del state["br.weight"]
    torch.save(state, own_file)
    with pytest.raises(WeightsError) as caught:
        load_network(select_checkpoint(str(own_file), "espnet", 8))
    message = str(caught.value)
    assert "1 missing: br.weight" in message
    assert "unexpected: encoder.level3.3.c1.conv.weight" in message
    assert "encoder.classifier.conv.weight is (20, 256, 1, 1), must be (12, 256, 1, 1)" in message


class _Payload:
    def __reduce__(self):
        return (print, ("code in a checkpoint was run",))


def test_code_in_a_checkpoint_is_not_run(own_file, capfd):
    torch.save({"weights": _Payload()}, own_file)
    with pytest.raises(WeightsError, match="cannot be read as tensors"):
        load_network(select_checkpoint(str(own_file), "espnet", 8))
    assert "was run" not in capfd.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 torn"])
def test_a_damaged_file_is_refused(own_file, content):
    own_file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"mine\.pth: cannot be read as tensors"):
        load_network(select_checkpoint(str(own_file), "espnet", 8))


def test_a_registry_name_is_found_by_sha256_in_the_weights_folder(published_weights, no_cache, monkeypatch):
    folder = no_cache / "deep" / "er"
    folder.mkdir(parents=True)
    shutil.copy(published_weights / "espnet" / "espnet_p_2_q_3.pth", folder / "any.pth")
    monkeypatch.setenv("ESPNET_WEIGHTS_DIR", str(no_cache / "deep"))
    entry = select_checkpoint("cityscapes", "espnet", 3)
    assert locate_checkpoint(entry).path == folder / "any.pth"


@pytest.fixture
def server(tmp_path):
    """An HTTP server on this machine that serves ``tmp_path / 'www'``."""
    root = tmp_path / "www"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(root))

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as instance:
        threading.Thread(target=instance.serve_forever, daemon=True).start()
        yield root, f"http://127.0.0.1:{instance.server_port}"
        instance.shutdown()


def test_a_download_is_checked_and_kept(server, no_cache):
    root, url = server
    (root / "net.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    path = download.fetch(f"{url}/net.pth", digest, "net", show_progress=False)
    assert path.read_bytes() == b"weights"
    assert download.find_by_sha256(digest) == path


def test_a_download_with_the_wrong_sha256_is_rejected_and_not_kept(server, no_cache):
    root, url = server
    (root / "net.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="has SHA-256 .*, must be 0000"):
        download.fetch(f"{url}/net.pth", "0" * 64, "net", show_progress=False)
    assert list(download.download_folder().iterdir()) == []


def test_without_a_network_the_message_says_where_to_put_the_file(no_cache):
    with pytest.raises(WeightsError) as caught:
        download.fetch("http://127.0.0.1:9/net.pth", "0" * 64, "net", show_progress=False)
    assert "could not be downloaded from http://127.0.0.1:9/net.pth" in str(caught.value)
    assert "ESPNET_WEIGHTS_DIR" in str(caught.value)
