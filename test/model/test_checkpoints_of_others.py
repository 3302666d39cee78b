"""More of what training programs save: averages beside the weights, unknown containers, odd tensors, bombs."""

import collections
import io
import json
import os
import pickle
import struct
import types
import zipfile

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
import yaml
from safetensors.torch import save_file

from espnet_ros.errors import WeightsError
from espnet_ros.model import file_format
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.model.loading import build_network, load_network
from espnet_ros.model.state_dict import read_state_dict

METADATA = {
    "network": "espnet",
    "alpha": 3,
    "classes": "camvid",
    "mean_bgr": [1, 2, 3],
    "std_bgr": [4, 5, 6],
    "input_size": [48, 64],
}
torch.manual_seed(1)
NETWORK = build_network("espnet", 3, 12)
STATE = NETWORK.state_dict()
AVERAGE = {key: value * 0 for key, value in STATE.items()}
BESIDE = {"main.0.weight": torch.ones(3), "main.0.bias": torch.ones(3)}


class _Dict(dict):
    """A mapping of a class that only the training program knows, as addict's, mmcv's or fvcore's."""


class _OrderedDict(collections.OrderedDict):
    pass


def _prefixed(prefix, state=STATE):
    return {prefix + key: value for key, value in state.items()}


def _swa():
    return torch.optim.swa_utils.AveragedModel(NETWORK).state_dict()


def _with_counters():
    """A network on which thop has counted operations."""
    modules = {key.rpartition(".")[0] for key in STATE}
    return {**STATE, **{f"{name}.total_ops": torch.zeros(1, dtype=torch.float64) for name in modules}}


def _one_storage():
    values = torch.cat([value.flatten().float() for value in STATE.values()])
    parts = values.split([value.numel() for value in STATE.values()])
    return {key: part.view(value.shape) for (key, value), part in zip(STATE.items(), parts)}


LOADED = {
    "timm": {"state_dict": STATE, "state_dict_ema": AVERAGE, "arch": "espnet"},
    "only the average": {"state_dict_ema": STATE, "epoch": 1},
    "model_ema beside": {"segmenter": STATE, "segmenter_ema": AVERAGE},
    "average by prefix": {"state_dict": {**_prefixed("model."), **_prefixed("model_ema.", AVERAGE)}},
    "SWA": _swa(),
    "mmseg": {
        "meta": {"CLASSES": ("a", "b")},
        "state_dict": {**_prefixed("backbone."), "auxiliary_head.conv.weight": torch.ones(3)},
    },
    "net. and module.": {"net": _prefixed("net.module.")},
    "some with module.": {("module." if "level" in key else "") + key: value for key, value in STATE.items()},
    "pairs": list(STATE.items()),
    "wrapped pairs": {"state_dict": list(STATE.items())},
    "OrderedDict subclass": {"state_dict": _OrderedDict(STATE)},
    "dict subclass": _Dict(model=_Dict(STATE)),
    "UserDict": collections.UserDict(STATE),
    "attributes": types.SimpleNamespace(net=STATE, epoch=3),
    "discriminator beside": {"generator": STATE, "discriminator": BESIDE},
    "params that are none": {"params": BESIDE, "espnet": STATE},
    "statistics beside": {"espnet": STATE, "statistics": {"mean": torch.ones(3), "std": torch.ones(3)}},
    "values of no module beside": {**STATE, "epoch": torch.tensor(3)},
    "thop": _with_counters(),
    "one storage": _one_storage(),
    "channels last": {
        key: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
        for key, value in STATE.items()
    },
    "gradients": {key: value.clone().requires_grad_(value.is_floating_point()) for key, value in STATE.items()},
    "same twice": {"model": STATE, "best": STATE},
}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", list(LOADED))
def test_the_network_is_found(name, is_zip, tmp_path):
    torch.save(LOADED[name], tmp_path / "mine.pth", _use_new_zipfile_serialization=is_zip)
    found = read_state_dict(tmp_path / "mine.pth")
    assert set(found) == set(STATE)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_numpy_scalars_that_python_2_stored_do_not_matter(tmp_path):
    stream = io.BytesIO()
    torch.save({"iouVal": "PLACEHOLDER", "state_dict": STATE}, stream, _use_new_zipfile_serialization=False)
    text = struct.pack("<I", 11) + b"PLACEHOLDER"
    assert stream.getvalue().count(b"X" + text) == 1
    binary = struct.pack("<d", 0.87)  # has bytes above 127
    (tmp_path / "mine.pth").write_bytes(stream.getvalue().replace(b"X" + text, b"U\x08" + binary))
    assert set(read_state_dict(tmp_path / "mine.pth")) == set(STATE)


def _kernels(change):
    return {key: change(value) if value.dim() == 4 else value for key, value in STATE.items()}


def _repeated(count):
    return {**STATE, "conv.conv.weight": torch.zeros(1).expand(count)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            _kernels(lambda value: value.to_sparse()),
            "encoder.level1.conv.weight is no plain tensor: save float tensors",
        ),
        (_kernels(lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)), "is no plain tensor"),
        (_kernels(lambda value: value.numpy()), "is no plain tensor"),
        (_kernels(lambda value: value.to("meta")), "is no plain tensor"),
        (
            _kernels(lambda value: value.to(torch.complex64)),
            "55 not floating-point: encoder.level1.conv.weight is torch.c",
        ),
        ({**STATE, "conv.conv.weight": torch.tensor(1.0)}, "conv.conv.weight is (), must be (12, 28, 3, 3)"),
        ({**STATE, "conv.conv.weight": None}, "1 missing: conv.conv.weight"),
        ({**STATE, "br.running_var": -STATE["br.running_var"]}, "variances must not be negative, but br.running_var"),
        (_kernels(lambda value: value.double() * 1e300), "values must be finite, but encoder.level1.conv.weight"),
        (
            {f"part{index}": STATE.copy() for index in range(2)},
            "several networks, part0, part1: save one of them alone",
        ),
        ({key.encode(): value for key, value in STATE.items()}, "it contains no tensors by name"),
        (_repeated(1 << 40), "the file is damaged or incomplete"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(content, reason, tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(content, path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(METADATA))
    with pytest.raises(WeightsError) as caught:
        load_network(select_checkpoint(str(path), "espnet", 8))
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def _nested(width, depth):
    content = {"x.y": 1}
    for _ in range(depth):
        content = {str(index): content for index in range(width)}
    return content


def _recursive():
    content = {}
    content.update(state_dict=content, model=[content, content])
    return content


@pytest.mark.parametrize("content", [_nested(20, 15), _recursive(), _nested(1, 300)], ids=["wide", "endless", "deep"])
def test_containers_inside_each_other_end(content, tmp_path):
    torch.save(content, tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match="it contains no tensors by name"):
        read_state_dict(tmp_path / "mine.pth")


class _Call:
    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def test_a_pickle_neither_runs_programs_nor_fills_the_memory(tmp_path):
    mark = tmp_path / "was run"
    calls = [_Call(os.system, f"touch '{mark}'"), _Call(eval, f"open({str(mark)!r}, 'w')"), _Call(bytearray, 1 << 50)]
    torch.save({"state_dict": STATE, "beside": calls}, tmp_path / "mine.pth")
    assert set(read_state_dict(tmp_path / "mine.pth")) == set(STATE)
    assert not mark.exists()


def test_a_place_far_outside_the_memo_takes_no_memory(tmp_path):
    """The unpickler in C makes room for all places up to this one, 64 GiB."""
    header = torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {"little_endian": True}
    content = b"".join(pickle.dumps(each, protocol=2) for each in header) + b"\x80\x02}r\xff\xff\xff\xff."
    (tmp_path / "mine.pth").write_bytes(content + pickle.dumps([], protocol=2))
    with pytest.raises(WeightsError, match="it contains no tensors by name"):
        read_state_dict(tmp_path / "mine.pth")


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(file_format, "MAX_EXPANSION", 1 << 20)
    path = tmp_path / "mine.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2 << 20))
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    with pytest.raises(WeightsError, match="the file is damaged or incomplete"):
        read_state_dict(path)


def _safetensors(header, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(16)


@pytest.mark.parametrize(
    "content",
    [
        _safetensors(b'{"a":1}', 1 << 60),
        _safetensors(b'{"a":1}', 1 << 40),
        _safetensors(b'{"a":1}'),
        _safetensors(b'{"a":' + b"[" * 100_000),
        _safetensors({"__metadata__": {"network": 3}}),
        _safetensors({"__metadata__": [1]}),
        _safetensors({"a.b": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        _safetensors({"a.b": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 16]}}),
        _safetensors({"a.b": {"dtype": "F3", "shape": [4], "data_offsets": [0, 16]}}),
    ],
)
def test_a_safetensors_file_with_a_bad_header_is_refused(content, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(METADATA))
    with pytest.raises(WeightsError, match=rf"^weights {path}: ") as caught:
        load_network(select_checkpoint(str(path), "espnet", 8))
    assert str(caught.value).isprintable()


def test_metadata_in_a_safetensors_file_may_be_plain_text(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file(STATE, path, {**{key: str(value) for key, value in METADATA.items()}, "format": "pt"})
    assert select_checkpoint(str(path), "espnet", 8).input_size == (48, 64)


def test_incomplete_metadata_in_a_safetensors_file_gives_way_to_the_yaml(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file(STATE, path, {"format": "pt", "classes": "['a', 'b']"})
    path.with_suffix(".yaml").write_text(yaml.safe_dump(METADATA))
    assert select_checkpoint(str(path), "espnet", 8).classes == "camvid"


def test_arrays_of_numpy_beside_the_weights_do_not_matter(tmp_path):
    beside = {"confusion": np.eye(12), "scores": [np.float32(0.5)], "order": np.array(["a"], dtype=object)}
    torch.save({**beside, "state_dict": STATE}, tmp_path / "mine.pth")
    assert set(read_state_dict(tmp_path / "mine.pth")) == set(STATE)
