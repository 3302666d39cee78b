"""Checks each operation of our networks against torch2trt's list of converters.

torch2trt turns the result of an operation that it cannot convert into a constant. The build succeeds, but the engine
returns the labels of the conversion image for every image. There are three checks against this: this module finds
unsupported operations by name before the build, and collects torch2trt's warnings during the conversion; after the
build, the engine's labels are compared with torch's on other images.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.engines.tensorrt.converters import NAMES as OWN_NAMES

_WARNING = re.compile(r"Encountered known unsupported method (\S+)")
# Functions that return no tensor: the engine is correct even if torch2trt does not support them.
_RETURNS_NO_TENSOR = re.compile(
    r"(is|has|get|set|can)_\w+|are_\w+|dim|ndimension|numel|nelement|size|stride|storage_offset|element_size|data_ptr|"
    r"result_type|type|typename|requires_grad_|register_\w+|__(len|hash|repr|format|bool|int|index|contains)__"
)


class Operation(NamedTuple):
    """An operation and its converters.

    Attributes:
        name: display name.
        converters: names in torch2trt's list. One of them is enough: versions of torch2trt hook different functions.
        check: returns which limit of the converter a module exceeds, "" if none.
    """

    name: str
    converters: Tuple[str, ...]
    check: Callable[[Any], str] = lambda module: ""


def _check_convolution(module: Any) -> str:
    if module.padding_mode != "zeros":
        return f"padding_mode must be zeros, is {module.padding_mode}"
    if isinstance(module.padding, str):
        return f"padding must be numbers, is '{module.padding}'"
    return ""


def _check_transposed_convolution(module: Any) -> str:
    if any(module.output_padding):
        return f"output_padding must be 0, is {module.output_padding}"
    if set(module.dilation) != {1}:
        return f"dilation must be 1, is {module.dilation}"
    if module.in_channels != module.out_channels:  # torch2trt 0.5 takes the number of inputs for that of outputs
        return f"it must have as many outputs as inputs, has {module.out_channels} and {module.in_channels}"
    return ""


def _check_batch_norm(module: Any) -> str:
    if module.training or module.running_var is None:
        return "it must use the statistics of the training, not those of the image"
    return "" if module.affine else "it must have weights"


def _check_average_pooling(module: Any) -> str:
    if module.divisor_override:
        return f"divisor_override must be None, is {module.divisor_override}"
    return "ceil_mode must be False" if module.ceil_mode else ""


MODULES: Dict[str, Operation] = {
    "Conv2d": Operation(
        "convolution, dilated or not",
        ("torch.nn.functional.conv2d", "torch.nn.Conv2d.forward"),
        _check_convolution,
    ),
    "ConvTranspose2d": Operation(
        "transposed convolution",
        ("torch.nn.functional.conv_transpose2d", "torch.nn.ConvTranspose2d.forward"),
        _check_transposed_convolution,
    ),
    "BatchNorm2d": Operation("batch normalisation", ("torch.nn.functional.batch_norm",), _check_batch_norm),
    "PReLU": Operation("PReLU", ("torch.nn.functional.prelu",)),
    "AvgPool2d": Operation("average pooling with padding", ("torch.nn.functional.avg_pool2d",), _check_average_pooling),
}
"""Supported modules by type. Applies to leaf modules only."""

TENSOR_OPERATIONS = (
    Operation("change of layout", ("torch.Tensor.permute",)),
    Operation("subtraction of the mean", ("torch.Tensor.__sub__",)),
    Operation("multiplication with the scale", ("torch.Tensor.__mul__",)),
    Operation("sum of two branches", ("torch.Tensor.__add__",)),
    Operation("concatenation", ("torch.cat",)),
    Operation("labels of subpixels", OWN_NAMES[:1]),
    Operation("labels at full size", OWN_NAMES[1:]),
)
"""Operations of the graph between its modules."""


def find_unconverted(graph: Any, converters: Mapping[str, Any]) -> List[str]:
    """Return the operations of a graph that cannot be converted, each with the reason; empty if there are none.

    Args:
        graph: a ``torch.nn.Module``.
        converters: ``torch2trt.CONVERTERS``.
    """
    problems = [_find_missing(operation, converters) for operation in TENSOR_OPERATIONS]
    for path, module in graph.named_modules():
        if next(module.children(), None) is None:
            problems.append(_problem_of_module(path, module, converters))
    return list(dict.fromkeys(problem for problem in problems if problem))


def _problem_of_module(path: str, module: Any, converters: Mapping[str, Any]) -> Optional[str]:
    kind = type(module).__name__
    operation = MODULES.get(kind)
    if operation is None:
        return f"{kind} ({path}: not one of the operations that were checked against torch2trt)"
    problem = operation.check(module)
    return f"{operation.name} ({path}: {problem})" if problem else _find_missing(operation, converters)


def _find_missing(operation: Operation, converters: Mapping[str, Any]) -> Optional[str]:
    if any(_is_real(converters.get(name)) for name in operation.converters):
        return None
    return f"{operation.name} (torch2trt has no converter for {' or '.join(operation.converters)})"


def _is_real(converter: Any) -> bool:
    """Return whether an entry converts; torch2trt also lists functions that it only warns about."""
    return converter is not None and bool(converter.get("is_real", True))


def find_warned(printed: str) -> List[str]:
    """Return the functions returning a tensor that torch2trt reported as unsupported, from its printed output."""
    return list(dict.fromkeys(_warned(printed)))


def _warned(printed: str) -> Iterator[str]:
    for name in _WARNING.findall(printed):
        if not _RETURNS_NO_TENSOR.fullmatch(name.rsplit(".", 1)[-1]):
            yield name
