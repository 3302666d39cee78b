"""Finds the tensors of a network in what a training program saved, and names the network that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Set

import torch
from torch import Tensor

from espnet_ros.errors import WeightsError
from espnet_ros.model.file_format import SAFETENSORS, damaged, detect_format, unreadable
from espnet_ros.model.inert_unpickler import StandIn, load_inert

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module", "ema")
"""Names under which training programs store the network, the preferred one first."""
_NOT_THE_NETWORK = ("optim", "scheduler", "scaler", "loss", "criterion", "metric")
_WRAPPER_MODULES = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of a key that DataParallel, torch.compile, FSDP and activation checkpointing add."""
_FIRST_KEY = "level1.conv.weight"
_ENCODER = "encoder."
_DECODER_KEY = "level3_C.conv.weight"
_MAX_DEPTH = 16
"""Of mappings and modules inside each other; a file can be built to nest without end."""


def read_state_dict(path: Path) -> Dict[str, Tensor]:
    """Read a network's tensors from a file of torch.save or safetensors. Code in the file is not run.

    What training programs put around the network is removed: mappings such as ``{"state_dict": ...}``, whole modules,
    and prefixes such as ``module.``. What lies beside it, such as an optimizer's state, is left out.

    Returns:
        The tensors by name, on the CPU; floating-point ones as float32.

    Raises:
        WeightsError: the file cannot be read, has no tensors, or has NaN or infinite values.
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
    state = _find_tensors(content, path, _MAX_DEPTH)
    if not state:
        raise unreadable(path, "it contains no tensors by name: save the network's state_dict() with torch.save")
    state = _without_prefixes(state, path)
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = value = value.float()
            if not torch.isfinite(value).all():
                raise WeightsError(f"weights {path}: values must be finite, but {key} has NaN or infinite ones")
    return state


def _find_tensors(content: Any, path: Path, depth: int) -> Dict[str, Tensor]:
    """Return the tensors by name in a mapping or whole module, or in what it is wrapped in; empty if there are none."""
    if isinstance(content, StandIn):
        return _tensors_of_module(content, depth)
    if isinstance(content, (list, tuple)):
        content = {str(index): value for index, value in enumerate(content)}
    if not isinstance(content, Mapping) or not depth:
        return {}
    for wrapper in _WRAPPERS:
        found = _find_nested(content.get(wrapper), path, depth)
        if found:
            return found
    own = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if any("." in key for key in own):
        return own
    others = {str(key): _find_nested(value, path, depth) for key, value in content.items() if _may_be_network(key)}
    named = {key: found for key, found in others.items() if found}
    if len(named) > 1:
        raise unreadable(path, f"it contains several networks, {', '.join(sorted(named))}: save one of them alone")
    return next(iter(named.values()), own)


def _find_nested(value: Any, path: Path, depth: int) -> Dict[str, Tensor]:
    return _find_tensors(value, path, depth - 1) if isinstance(value, (Mapping, StandIn, list, tuple)) else {}


def _may_be_network(key: Any) -> bool:
    return isinstance(key, str) and not any(part in key.lower() for part in _NOT_THE_NETWORK)


def _tensors_of_module(module: StandIn, depth: int, prefix: str = "") -> Dict[str, Tensor]:
    """Return the tensors of a whole module that torch.save pickled, with the names that ``state_dict`` gives them."""
    state = module.state
    if not isinstance(state, Mapping) or not depth:
        return {}
    found: Dict[str, Tensor] = {}
    dropped = state.get("_non_persistent_buffers_set", ())
    for group in ("_parameters", "_buffers"):
        for name, value in _items(state.get(group)):
            if isinstance(value, Tensor) and (group == "_parameters" or name not in dropped):
                found[f"{prefix}{name}"] = value
    for name, child in _items(state.get("_modules")):
        if isinstance(child, StandIn):
            found.update(_tensors_of_module(child, depth - 1, f"{prefix}{name}."))
    return found


def _items(group: Any) -> List[Any]:
    return list(group.items()) if isinstance(group, Mapping) else []


def _without_prefixes(state: Mapping[str, Tensor], path: Path) -> Dict[str, Tensor]:
    """Remove what wrappers put before the names of ESPNet's tensors, and the tensors beside the network."""
    plain = {
        ".".join(part for part in key.split(".") if part not in _WRAPPER_MODULES): value for key, value in state.items()
    }
    prefixes = {key[: -len(_FIRST_KEY)] for key in plain if ("." + key).endswith("." + _FIRST_KEY)}
    outer: Set[str] = set()
    for prefix in prefixes:
        parent = prefix[: -len(_ENCODER)]
        is_encoder = ("." + prefix).endswith("." + _ENCODER) and parent + _DECODER_KEY in plain
        outer.add(parent if is_encoder else prefix)
    if len(outer) > 1:
        names = ", ".join(sorted(prefix.rstrip(".") or "one without prefix" for prefix in outer))
        raise unreadable(path, f"it contains several networks, {names}: save one of them alone")
    prefix = next(iter(outer), "")
    return {key[len(prefix) :]: value for key, value in plain.items() if key.startswith(prefix)}
