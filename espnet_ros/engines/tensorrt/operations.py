"""The operations of our networks, one by one, against torch2trt's list of converters.

torch2trt takes what it cannot convert for a constant: the engine is built, and labels every image like the one it was
converted with. So what it lacks is found here, by name, before anything is built; what it warns about while it converts
is collected too, and at the end the engine's labels are compared with torch's on other images.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from espnet_ros.engines.tensorrt.converters import NAMES as OWN_NAMES

_WARNING = re.compile(r"Encountered known unsupported method (\S+)")
# Functions that give no tensor, so that nothing is lost where torch2trt does not know them.
_GIVES_NO_TENSOR = re.compile(
    r"(is|has|get|set|can)_\w+|are_\w+|dim|ndimension|numel|nelement|size|stride|storage_offset|element_size|data_ptr|"
    r"result_type|type|typename|requires_grad_|register_\w+|__(len|hash|repr|format|bool|int|index|contains)__"
)


class Operation(NamedTuple):
    """One operation and what converts it.

    Attributes:
        name: for messages.
        converters: names in torch2trt's list; any one of them does, as versions hook into different places.
        limit: what the converter cannot do although torch can, of a module; "" where the module needs none of it.
    """

    name: str
    converters: Tuple[str, ...]
    limit: Callable[[Any], str] = lambda module: ""


def _limit_of_convolution(module: Any) -> str:
    if module.padding_mode != "zeros":
        return f"padding_mode must be zeros, is {module.padding_mode}"
    if isinstance(module.padding, str):
        return f"padding must be numbers, is '{module.padding}'"
    return ""


def _limit_of_transposed_convolution(module: Any) -> str:
    if any(module.output_padding):
        return f"output_padding must be 0, is {module.output_padding}"
    if set(module.dilation) != {1}:
        return f"dilation must be 1, is {module.dilation}"
    if module.in_channels != module.out_channels:  # torch2trt 0.5 reads the outputs where torch has the inputs
        return f"it must have as many outputs as inputs, has {module.out_channels} and {module.in_channels}"
    return ""


def _limit_of_batch_norm(module: Any) -> str:
    if module.training or module.running_var is None:
        return "it must use the statistics of the training, not those of the image"
    return "" if module.affine else "it must have weights"


def _limit_of_average_pooling(module: Any) -> str:
    if module.divisor_override:
        return f"divisor_override must be None, is {module.divisor_override}"
    return "ceil_mode must be False" if module.ceil_mode else ""


MODULES: Dict[str, Operation] = {
    "Conv2d": Operation(
        "convolution, dilated or not",
        ("torch.nn.functional.conv2d", "torch.nn.Conv2d.forward"),
        _limit_of_convolution,
    ),
    "ConvTranspose2d": Operation(
        "transposed convolution",
        ("torch.nn.functional.conv_transpose2d", "torch.nn.ConvTranspose2d.forward"),
        _limit_of_transposed_convolution,
    ),
    "BatchNorm2d": Operation("batch normalisation", ("torch.nn.functional.batch_norm",), _limit_of_batch_norm),
    "PReLU": Operation("PReLU", ("torch.nn.functional.prelu",)),
    "AvgPool2d": Operation(
        "average pooling with padding", ("torch.nn.functional.avg_pool2d",), _limit_of_average_pooling
    ),
}
"""By the type of a module without parts."""

TENSOR_OPERATIONS = (
    Operation("change of layout", ("torch.Tensor.permute",)),
    Operation("subtraction of the mean", ("torch.Tensor.__sub__",)),
    Operation("multiplication with the scale", ("torch.Tensor.__mul__",)),
    Operation("sum of two branches", ("torch.Tensor.__add__",)),
    Operation("concatenation", ("torch.cat",)),
    Operation("labels of subpixels", OWN_NAMES[:1]),
    Operation("labels at full size", OWN_NAMES[1:]),
)
"""What the graph does between its modules."""


def find_unconverted(graph: Any, converters: Mapping[str, Any]) -> List[str]:
    """What of a graph cannot be converted, each with the reason; empty where all can.

    Args:
        graph: a ``torch.nn.Module``.
        converters: ``torch2trt.CONVERTERS``.
    """
    problems = [_lacks(operation, converters) for operation in TENSOR_OPERATIONS]
    for path, module in graph.named_modules():
        if next(module.children(), None) is None:
            problems.append(_problem_of_module(path, module, converters))
    return list(dict.fromkeys(problem for problem in problems if problem))


def _problem_of_module(path: str, module: Any, converters: Mapping[str, Any]) -> Optional[str]:
    kind = type(module).__name__
    operation = MODULES.get(kind)
    if operation is None:
        return f"{kind} ({path}: not one of the operations that were checked against torch2trt)"
    limit = operation.limit(module)
    return f"{operation.name} ({path}: {limit})" if limit else _lacks(operation, converters)


def _lacks(operation: Operation, converters: Mapping[str, Any]) -> Optional[str]:
    if any(_is_real(converters.get(name)) for name in operation.converters):
        return None
    return f"{operation.name} (torch2trt has no converter for {' or '.join(operation.converters)})"


def _is_real(converter: Any) -> bool:
    """torch2trt lists what it only warns about too."""
    return converter is not None and bool(converter.get("is_real", True))


def find_warned(printed: str) -> List[str]:
    """Functions that torch2trt said, while it converted, that it does not know, and that give a tensor."""
    return list(dict.fromkeys(_warned(printed)))


def _warned(printed: str) -> Iterator[str]:
    for name in _WARNING.findall(printed):
        if not _GIVES_NO_TENSOR.fullmatch(name.rsplit(".", 1)[-1]):
            yield name
