"""Finds the tensors of a network in what a training program saved, and names the network that they belong to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Set

import torch
from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.file_format import MAX_EXPANSION, SAFETENSORS, damaged, detect_format, unreadable
from espnet_ros.model.inert_unpickler import StandIn, load_inert

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module", "ema")
"""Names under which training programs store the network, the preferred one first."""
_NOT_THE_NETWORK = ("optim", "scheduler", "scaler", "loss", "criterion", "metric")
_WRAPPER_MODULES = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of a key that DataParallel, torch.compile, FSDP and activation checkpointing add."""
_FIRST_KEY = "level1.conv.weight"
_ENCODER = "encoder."
_DECODER_KEY = "level3_C.conv.weight"
_AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged?)([._]|$)", re.IGNORECASE)
"""In the name of a moving average of the weights."""
_COUNTERS = ("total_ops", "total_params")
"""Tensors that thop, which counts operations, adds to each module."""
_MAX_DEPTH = 16
"""Of mappings and modules inside each other; a file can be built to nest without end."""


def read_state_dict(path: Path) -> Dict[str, Tensor]:
    """Read a network's tensors from a file of torch.save or safetensors. Code in the file is not run.

    What training programs put around the network is removed: mappings such as ``{"state_dict": ...}``, whole modules,
    and prefixes such as ``module.``. What lies beside it, such as an optimizer's state or the weights' moving average,
    is left out.

    Returns:
        The tensors by name, on the CPU; floating-point ones as float32.

    Raises:
        WeightsError: the file cannot be read, has no tensors, or has NaN or infinite values or negative variances.
    """
    content: Any
    is_safetensors = detect_format(path) == SAFETENSORS
    try:
        if is_safetensors:
            from safetensors.torch import load_file

            content = load_file(str(path))
        else:
            content = load_inert(path)
    except OSError as error:
        raise WeightsError(f"weights {path}: cannot be read: {error.strerror or 'damaged'}") from error
    except Exception as error:  # a damaged pickle can raise any type
        raise unreadable(path, damaged()) from error
    state = _without_prefixes(_Search(path).find(content, _MAX_DEPTH), path)
    if not state:
        raise unreadable(path, "it contains no tensors by name: save the network's state_dict() with torch.save")
    if sum(value.numel() * value.element_size() for value in state.values()) > path.stat().st_size + MAX_EXPANSION:
        raise unreadable(path, damaged())  # a stored number can be repeated without end
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = value = value.float()
            if not torch.isfinite(value).all():
                raise WeightsError(f"weights {path}: values must be finite, but {key} has NaN or infinite ones")
            if key.endswith("running_var") and (value < 0).any():
                raise WeightsError(f"weights {path}: variances must not be negative, but {key} has negative ones")
    return state


class _Search:
    """The search for a network in the content of a file. It enters each container once.

    Args:
        path: of the file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: Dict[int, Dict[str, Tensor]] = {}

    def find(self, content: Any, depth: int) -> Dict[str, Tensor]:
        """Return the tensors by name in a mapping or module, or in what it is wrapped in; empty if there are none.

        An ESPNet is preferred to other tensors, the largest group of other tensors to smaller ones.
        """
        if not depth or not isinstance(content, (Mapping, StandIn, list, tuple)):
            return {}
        if id(content) not in self._found:
            self._found[id(content)] = {}  # if it contains itself
            self._found[id(content)] = self._enter(content, depth)
        return self._found[id(content)]

    def _enter(self, content: Any, depth: int) -> Dict[str, Tensor]:
        if _is_module(content):
            return self._tensors_of_module(content, depth)
        content = _as_mapping(content)
        own = self._own_tensors(content)
        if _has_espnet(own):
            return own
        others = [own]
        for wrapper in _WRAPPERS:
            others.append(self.find(content.get(wrapper), depth - 1))
            if _has_espnet(others[-1]):
                return others[-1]
        found = {key: self.find(value, depth - 1) for key, value in content.items() if _may_be_network(key)}
        names = [key for key, tensors in found.items() if _has_espnet(tensors)]
        if names:
            return found[_choose_one(names, self._path)]
        return max([*others, *found.values()], key=len)

    def _own_tensors(self, content: Mapping[Any, Any]) -> Dict[str, Tensor]:
        for key, value in content.items():
            if isinstance(key, str) and key.endswith(".weight") and isinstance(value, StandIn):
                problem = f"{key} is no plain tensor: save float tensors, neither quantised nor sparse, with torch.save"
                raise unreadable(self._path, problem)
        named = ((str(key), value) for key, value in content.items() if isinstance(key, (str, int)))
        return {key: value for key, value in named if isinstance(value, Tensor)}

    def _tensors_of_module(self, module: StandIn, depth: int) -> Dict[str, Tensor]:
        """Return the tensors of a whole module that torch.save pickled, with the names that ``state_dict`` gives."""
        state = module.state
        found: Dict[str, Tensor] = {}
        dropped = state.get("_non_persistent_buffers_set", ())
        for group in ("_parameters", "_buffers"):
            for name, value in _items(state.get(group)):
                if isinstance(value, Tensor) and (group == "_parameters" or name not in dropped):
                    found[name] = value
        for name, child in _items(state["_modules"]):
            if _is_module(child):
                found.update({f"{name}.{key}": value for key, value in self.find(child, depth - 1).items()})
        return found


def _is_module(content: Any) -> bool:
    return isinstance(content, StandIn) and isinstance(content.state, Mapping) and "_modules" in content.state


def _as_mapping(content: Any) -> Mapping[Any, Any]:
    """Return what a container holds by name or position; empty if it is no container."""
    if isinstance(content, StandIn):
        content = content.entries or content.state  # a mapping of an unknown class, or an object's attributes
    if isinstance(content, (list, tuple)):
        is_pairs = all(
            isinstance(each, (list, tuple)) and len(each) == 2 and isinstance(each[0], str) for each in content
        )
        return dict(content) if is_pairs else {str(index): value for index, value in enumerate(content)}
    return content if isinstance(content, Mapping) else {}


def _has_espnet(state: Iterable[str]) -> bool:
    return any(("." + _plain(key)).endswith("." + _FIRST_KEY) for key in state)


def _plain(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPER_MODULES)


def _may_be_network(key: Any) -> bool:
    return isinstance(key, str) and not any(part in key.lower() for part in _NOT_THE_NETWORK)


def _items(group: Any) -> List[Any]:
    return list(group.items()) if isinstance(group, Mapping) else []


def _choose_one(names: List[str], path: Path) -> str:
    """Return the name of the network to take, which is not that of a moving average if there are others."""
    names = [name for name in names if not _AVERAGE.search(name)] or names
    if len(names) > 1:
        shown = ", ".join(sorted(name.rstrip(".") or "one without prefix" for name in names))
        raise unreadable(path, f"it contains several networks, {shown}: save one of them alone")
    return names[0]


def _without_prefixes(state: Mapping[str, Tensor], path: Path) -> Dict[str, Tensor]:
    """Remove what wrappers put before the names of ESPNet's tensors, and the tensors beside the network."""
    plain = {_plain(key): value for key, value in state.items() if key.rpartition(".")[2] not in _COUNTERS}
    prefixes = {key[: -len(_FIRST_KEY)] for key in plain if ("." + key).endswith("." + _FIRST_KEY)}
    outer: Set[str] = set()
    for prefix in prefixes:
        parent = prefix[: -len(_ENCODER)]
        is_encoder = ("." + prefix).endswith("." + _ENCODER) and parent + _DECODER_KEY in plain
        outer.add(parent if is_encoder else prefix)
    if not outer:
        return plain
    prefix = _choose_one(sorted(outer), path)
    return {key[len(prefix) :]: value for key, value in plain.items() if key.startswith(prefix) and "." in key}
