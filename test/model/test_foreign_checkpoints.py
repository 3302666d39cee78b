"""Files of other training programs, and files that are no weights, as ``weights`` meets them."""

import argparse
import io
import pickle
import random
import tarfile
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from espnet_ros.errors import WeightsError, one_line
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
torch.manual_seed(0)
NETWORK = build_network("espnet", 3, 12)
STATE = NETWORK.state_dict()


class _Trainer(nn.Module):
    """A module around the network, with tensors of its own, as Lightning's."""

    def __init__(self, name):
        super().__init__()
        self.add_module(name, NETWORK)
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(12))
        self.register_buffer("steps", torch.tensor([1.0, 2.0]))


def _prefixed(prefix):
    return {prefix + key: value for key, value in STATE.items()}


def _optimizer_state():
    optimizer = torch.optim.Adam(NETWORK.parameters())
    for parameter in NETWORK.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def _parameters():
    return OrderedDict(
        (key, nn.Parameter(value, requires_grad=value.is_floating_point())) for key, value in STATE.items()
    )


WRAPPED = {
    "plain": STATE,
    "state_dict": {"epoch": 3, "arch": "espnet", "state_dict": STATE},
    "model": {"model": STATE},
    "model_state_dict": {"model_state_dict": STATE, "optimizer_state_dict": {"state": {0: {"step": torch.ones(2)}}}},
    "net": {"net": STATE},
    "network": {"network": STATE},
    "an unknown name": {"segmentation": STATE, "epoch": 1},
    "nested": {"checkpoint": {"model": {"state_dict": STATE}}},
    "a list": [STATE, {"lr": 0.1}],
    "defaultdict": defaultdict(dict, model=STATE),
    "numpy scalars and arrays": {
        "state_dict": STATE,
        "iou": np.float64(0.5),
        "per_class": np.arange(12.0),
        "date": np.datetime64("2024-01-01"),
    },
    "Namespace": {"args": argparse.Namespace(lr=5e-4), "model": STATE, "device": torch.device("cpu")},
    "tensors beside": {"best": torch.tensor(0.5), "class_weights": torch.ones(12), "state_dict": STATE},
    "optimizer": {"optimizer": _optimizer_state(), "model": STATE, "random": random.Random(1)},
    "average beside": {"ema": {key: value * 0 for key, value in STATE.items()}, "model": STATE},
    "module.": _prefixed("module."),
    "_orig_mod.": _prefixed("_orig_mod."),
    "model.": _prefixed("model."),
    "several prefixes": {"state_dict": _prefixed("_orig_mod.module.model.")},
    "prefix inside": {key.replace("encoder.", "encoder._orig_mod."): value for key, value in STATE.items()},
    "Lightning": {"state_dict": _Trainer("net").state_dict(), "pytorch-lightning_version": "2.4.0", "loops": {}},
    "whole module": NETWORK,
    "whole DataParallel": nn.DataParallel(NETWORK),
    "whole module, wrapped": {"model": _Trainer("segmenter"), "epoch": np.int64(3)},
    "parameters": _parameters(),
}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", list(WRAPPED))
def test_what_training_programs_put_around_a_network_is_removed(name, is_zip, tmp_path):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(WRAPPED[name], path, _use_new_zipfile_serialization=is_zip)
    found = read_state_dict(path)
    assert set(found) == set(STATE)
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_float_type_are_converted(dtype, tmp_path):
    path = tmp_path / "half.pth"
    torch.save({key: value.to(dtype) if value.is_floating_point() else value for key, value in STATE.items()}, path)
    found = read_state_dict(path)
    assert found["conv.conv.weight"].dtype == torch.float32
    assert torch.equal(found["conv.conv.weight"], STATE["conv.conv.weight"].to(dtype).float())


def test_an_espnet_c_stored_as_an_encoder_is_unwrapped(tmp_path):
    encoder = build_network("espnet_c", 3, 12).state_dict()
    torch.save({"state_dict": {"encoder." + key: value for key, value in encoder.items()}}, tmp_path / "e.pth")
    assert set(read_state_dict(tmp_path / "e.pth")) == set(encoder)


@pytest.fixture
def refusal(tmp_path):
    """Writes a file with metadata next to it, and returns the message with which it is refused."""

    def refuse(content, suffix=".pth", **metadata):
        path = tmp_path / f"mine{suffix}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        path.with_suffix(".yaml").write_text(yaml.safe_dump({**METADATA, **metadata}))
        with pytest.raises(WeightsError) as caught:
            load_network(select_checkpoint(str(path), "espnet", 8))
        message = str(caught.value)
        assert message.startswith(f"weights {path}")
        assert message.isprintable()
        assert len(message) < 400
        return message

    return refuse


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["encoder.level1.conv.weight", "br.running_var", "conv.act.weight"])
def test_weights_that_are_not_finite_are_refused_with_their_name(key, value, refusal):
    broken = {name: tensor.clone() for name, tensor in STATE.items()}
    broken[key].view(-1)[-1] = value
    assert f"values must be finite, but {key} has NaN or infinite ones" in refusal({"state_dict": broken})


def _zip(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


def _torch_bytes(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def _tar():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return stream.getvalue()


def _arrays():
    stream = io.BytesIO()
    np.savez(stream, weight=np.ones(3))
    return stream.getvalue()


def _script():
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), stream)
    return stream.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:8f3eb198\nsize 1500000\n"
LEGACY = {"_use_new_zipfile_serialization": False}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (POINTER, "a Git LFS pointer: fetch the file itself with 'git lfs pull'"),
        (b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "a web page, not the file that it offers: download"),
        (b"<html>404", "a web page"),
        (b"\xef\xbb\xbf<HTML lang='en'>", "a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML file"),
        (b'{"message": "Not Found"}', "a text file"),
        (b"", "the file is empty: copy or download it again"),
        (bytes(5000), "zeros only, as an interrupted copy leaves them"),
        (b"\x1f\x8b\x08\x00", "a gzip archive: unpack it"),
        (_tar(), "a tar archive: unpack it"),
        (_zip(readme="hello"), "a zip archive without tensors"),
        (_zip(weights="no"), "a zip archive without tensors"),
        (_zip(**{"mine.pth": "no"}), "a zip archive without tensors: unpack it"),
        (_zip(archive__data_pkl="no"), "a zip archive without tensors"),
        (_zip(**{"archive/data.pkl": b"\x80\x02}q\x00"}), "the file is damaged or incomplete"),
        (_arrays(), "an archive of NumPy arrays"),
        (_script(), "a TorchScript archive: save the network's state_dict() with torch.save instead"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x80\x01", "an ONNX model: save the network's state_dict()"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
        (b"ptrt" + bytes(40), "a TensorRT engine"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
        (_torch_bytes(STATE)[:100_000], "the file is cut short: copy or download it again"),
        (_torch_bytes(STATE, **LEGACY)[:100_000], "the file is damaged or incomplete"),
        (_torch_bytes(STATE, **LEGACY)[:30], "the file is damaged or incomplete"),
        (b"\x10\x27\0\0\0\0\0\0" + b'{"__metadata__":', "the file is cut short"),
        ({}, "it contains no tensors by name"),
        ({"epoch": 3, "best": torch.tensor(0.5)}, "do not fit espnet with alpha 3 and 12 classes: 134 missing"),
        ([1, 2, 3], "it contains no tensors by name"),
        (torch.ones(3), "it contains no tensors by name"),
        ({"student": STATE, "teacher": STATE}, "it contains several networks, student, teacher: save one of them"),
        ({**_prefixed("student."), **_prefixed("teacher.")}, "it contains several networks, student, teacher"),
        (
            {key: value.int() for key, value in STATE.items()},
            "not floating-point: encoder.level1.conv.weight is torch.int32",
        ),
    ],
)
def test_what_is_no_weights_is_refused_in_one_line_that_says_what_it_is(content, reason, refusal):
    assert reason in refusal(content)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=f"^weights {tmp_path}: is a folder: give the .pth or .safetensors file in"):
        select_checkpoint(str(tmp_path), "espnet", 8)


def test_the_content_of_a_file_counts_not_its_suffix(tmp_path):
    save_file(STATE, tmp_path / "renamed.pth")
    torch.save(STATE, tmp_path / "renamed.safetensors")
    for path in tmp_path.glob("renamed.*"):
        path.with_suffix(".yaml").write_text(yaml.safe_dump(METADATA))
        assert set(load_network(select_checkpoint(str(path), "espnet", 8)).state_dict()) == set(STATE)


@pytest.mark.parametrize(
    ("network", "alpha", "classes", "reason"),
    [
        ("espnet", 5, 12, "the file has espnet with alpha 5 and 12 classes: correct alpha in its metadata"),
        ("espnet", 8, 20, "espnet with alpha 8 and 20 classes: correct alpha and classes in its metadata"),
        ("espnet", 3, 2, "espnet with alpha 3 and 2 classes: correct classes in its metadata"),
        ("espnet_c", 3, 12, "espnet_c with alpha 3 and 12 classes: correct network in its metadata"),
        ("espnet_c", 5, 20, "espnet_c with alpha 5 and 20 classes: correct network and alpha and classes in its"),
    ],
)
def test_a_file_of_another_espnet_says_which_one_it_has(network, alpha, classes, reason, refusal):
    message = refusal(build_network(network, alpha, classes, 19).state_dict())
    assert "do not fit espnet with alpha 3 and 12 classes: the file has" in message
    assert reason in message


def test_an_espnet_given_as_espnet_c_is_named(refusal):
    message = refusal(STATE, network="espnet_c", alpha=8)
    assert (
        "espnet_c with alpha 8 and 12 classes: the file has espnet with alpha 3 and 12 classes: correct netw" in message
    )


# Names of keys as the repositories of these networks have them.
@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("net.level1.conv.weight", "net.level2_0.eesp.proj_1x1.conv.weight"), "ESPNetv2"),
        (("module.net.level3.0.spp_dw.0.conv.weight", "module.project_l3.1.conv.weight"), "ESPNetv2"),
        (("base_net.level1.conv.weight", "base_net.level3.2.spp_dw.3.conv.weight"), "ESPNetv2"),
        (("learning_to_downsample.conv.conv.0.weight", "classifier.conv.1.weight"), "Fast-SCNN"),
        (("segformer.encoder.patch_embeddings.0.proj.weight", "decode_head.linear_c.3.proj.weight"), "SegFormer"),
        (("backbone.patch_embed1.proj.weight", "decode_head.linear_c4.proj.weight"), "SegFormer"),
        (("detail.S1.0.conv.weight", "bga.left1.0.weight"), "BiSeNetV2"),
        (("module.cp.resnet.conv1.weight", "conv_out.conv_out.weight"), "BiSeNet"),
        (("backbone.layer4.0.conv1.weight", "classifier.0.convs.0.0.weight"), "DeepLab"),
        (("backbone.conv1.weight", "classifier.aspp.convs.1.0.weight"), "DeepLab"),
        (("module.encoder.layers.1.conv3x1_1.weight",), "ERFNet"),
        (("inc.double_conv.0.weight", "down1.maxpool_conv.1.double_conv.0.weight"), "U-Net"),
        (("model.0.conv.weight", "model.22.cv2.0.0.conv.weight"), "YOLO"),
        (("conv1.weight", "layer4.0.conv1.weight", "fc.weight"), "a network on ResNet"),
    ],
)
def test_another_network_is_named(keys, name, refusal):
    message = refusal({"state_dict": {key: torch.ones(4, 4, 1, 1) for key in keys}})
    assert message.endswith(f"12 classes: they are weights of another network, {name}")


class _Payload:
    def __reduce__(self):
        return (print, ("code in a checkpoint was run",))


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_beside_the_weights_is_not_run(is_zip, tmp_path, capfd):
    path = tmp_path / "mine.pth"
    torch.save({"state_dict": STATE, "extra": _Payload()}, path, _use_new_zipfile_serialization=is_zip)
    assert set(read_state_dict(path)) == set(STATE)
    assert "was run" not in capfd.readouterr().out


@pytest.mark.parametrize(("is_zip", "count"), [(True, 40), (False, 200)])
def test_damaged_files_are_read_or_refused_in_one_line(is_zip, count, tmp_path):
    chance = random.Random(7)
    small = {key: value for key, value in STATE.items() if value.numel() < 4}
    intact = _torch_bytes({"state_dict": small, "iou": np.float64(0.5)}, _use_new_zipfile_serialization=is_zip)
    path = tmp_path / "mine.pth"
    refusals = []
    for _ in range(count):
        damaged = bytearray(intact[: chance.choice((len(intact), chance.randrange(len(intact))))])
        for _ in range(chance.randrange(20)):
            damaged.insert(chance.randrange(len(damaged) + 1), chance.randrange(256))
        if damaged:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            read_state_dict(path)
        except WeightsError as error:
            refusals.append(str(error))
    assert len(refusals) > count // 2
    assert all(each.isprintable() and each.startswith(f"weights {path}: ") for each in refusals)


def test_one_line_has_no_terminal_codes():
    error = RuntimeError("\x1b[1mtwo\x1b[0m\nlines\t\x07\x9b and \x1b]0;title")
    assert one_line(error) == "two lines and 0;title"
    assert one_line(ValueError("\x1b[0m")) == "ValueError"
