"""The operations of our networks against torch2trt's converters, one by one."""

import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from espnet_ros.engines.tensorrt.graph import TensorRtGraph
from espnet_ros.engines.tensorrt.operations import (
    MODULES,
    OWN_NAMES,
    TENSOR_OPERATIONS,
    find_unconverted,
    find_warned,
)
from espnet_ros.model.checkpoint import select_checkpoint
from espnet_ros.model.loading import build_network
from espnet_ros.types import ImageSize

pytestmark = pytest.mark.process

# What of torch2trt's lists our networks meet, as it is in its repository at these versions.
_EVERYWHERE = (
    "torch.Tensor.permute", "torch.Tensor.__sub__", "torch.Tensor.__mul__", "torch.Tensor.__add__", "torch.cat",
    "torch.nn.functional.conv2d", "torch.nn.functional.batch_norm", "torch.nn.functional.prelu",
    "torch.nn.functional.avg_pool2d", *OWN_NAMES,
)  # fmt: skip
LISTS = {
    "0.4.0": (*_EVERYWHERE, "torch.nn.Conv2d.forward", "torch.nn.ConvTranspose2d.forward"),
    "0.5.0": (*_EVERYWHERE, "torch.nn.functional.conv_transpose2d"),
}


def _converters(version, without=()):
    return {name: {"is_real": name not in without} for name in LISTS[version]}


@pytest.fixture(params=["espnet", "espnet_c"])
def graph(request):
    checkpoint = select_checkpoint("street", "espnet", 3)
    return TensorRtGraph(build_network(request.param, 3, 12, 19).eval(), checkpoint, ImageSize(48, 64)).eval()


@pytest.mark.parametrize("version", LISTS)
def test_torch2trt_converts_all_that_our_networks_do(graph, version):
    assert find_unconverted(graph, _converters(version)) == []


_NAMES = [name for version in ("0.5.0",) for name in LISTS[version]]


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("converters", ["absent", "only warned about"])
def test_each_converter_that_is_missing_is_noticed(graph, name, converters):
    known = _converters("0.5.0", without=(name,))
    if converters == "absent":
        del known[name]
    is_met = name != "torch.nn.functional.conv_transpose2d" or hasattr(graph.network, "up_l3")
    problems = find_unconverted(graph, known)
    assert len(problems) == is_met
    assert all(name in problem for problem in problems)


class _Recorder(TorchFunctionMode):
    """Notes the functions of torch that are called, but not what these call."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.add(resolve_name(function) or function.__name__)
        return function(*args, **(kwargs or {}))


def test_the_operations_that_are_checked_are_those_that_run(graph, monkeypatch):
    """What decides the labels has its own converter, so only what comes before is looked at."""
    functions = TensorRtGraph.forward.__globals__

    for name in OWN_NAMES:
        monkeypatch.setitem(functions, name.rsplit(".", 1)[-1], lambda scores, size: (scores, scores))
    pixels = torch.zeros(1, 48, 64, 3)
    with torch.no_grad(), _Recorder() as recorder:
        graph(pixels)
    checked = {name for operation in (*MODULES.values(), *TENSOR_OPERATIONS) for name in operation.converters}
    equivalents = {"torch.Tensor.sub": "torch.Tensor.__sub__", "torch.Tensor.mul": "torch.Tensor.__mul__",
                   "torch.Tensor.add": "torch.Tensor.__add__"}  # fmt: skip
    ran = {equivalents.get(name, name) for name in recorder.names}
    harmless = {name for name in ran if not find_warned(f"Encountered known unsupported method {name}")}
    assert ran - harmless - checked == set()
    assert {"torch.cat", "torch.nn.functional.prelu", "torch.nn.functional.avg_pool2d"} <= ran | checked


def _one(module):
    holder = nn.Sequential()
    holder.add_module("part", module.eval())
    return holder


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (nn.Conv2d(2, 3, 3, padding=4, dilation=4), ""),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), "padding_mode must be zeros, is reflect"),
        (nn.Conv2d(2, 3, 3, padding="same"), "padding must be numbers, is 'same'"),
        (nn.ConvTranspose2d(3, 3, 2, stride=2), ""),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), "as many outputs as inputs, has 5 and 3"),
        (nn.ConvTranspose2d(3, 3, 3, stride=2, output_padding=1), r"output_padding must be 0, is \(1, 1\)"),
        (nn.ConvTranspose2d(3, 3, 3, dilation=2), r"dilation must be 1, is \(2, 2\)"),
        (nn.BatchNorm2d(3), ""),
        (nn.BatchNorm2d(3, affine=False), "it must have weights"),
        (nn.BatchNorm2d(3, track_running_stats=False), "the statistics of the training"),
        (nn.PReLU(3), ""),
        (nn.AvgPool2d(3, stride=2, padding=1), ""),
        (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), ""),
        (nn.AvgPool2d(3, stride=2, ceil_mode=True), "ceil_mode must be False"),
        (nn.AvgPool2d(3, divisor_override=4), "divisor_override must be None, is 4"),
        (nn.Hardswish(), r"^Hardswish \(part: not one of the operations that were checked"),
    ],
)
def test_what_a_converter_cannot_do_is_named_with_its_place(module, problem):
    import re

    problems = find_unconverted(_one(module), _converters("0.5.0"))
    assert len(problems) == bool(problem)
    assert all(re.search(problem, found) and "part" in found for found in problems)


def test_warnings_of_torch2trt_are_collected_but_not_those_that_lose_no_tensor():
    printed = """
Warning: Encountered known unsupported method torch.Tensor.argmax
Warning: Encountered known unsupported method torch.is_grad_enabled
Warning: Encountered known unsupported method torch.Tensor.is_contiguous
Warning: Encountered known unsupported method torch.Tensor.argmax
Warning: Encountered known unsupported method torch.nn.functional.pixel_shuffle
Warning: Encountered known unsupported method torch.Tensor.numel
"""
    assert find_warned(printed) == ["torch.Tensor.argmax", "torch.nn.functional.pixel_shuffle"]
