"""Reads what ``torch.save`` wrote without running code from the file.

``torch.load(weights_only=True)`` refuses a whole file because of one NumPy scalar or ``argparse.Namespace`` beside the
weights, and PyTorch before 1.13 lacks it. Here everything that is not a tensor or a plain container becomes a
``StandIn``, which ignores what it is given.
"""

from __future__ import annotations

import inspect
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Tuple

import torch
from torch import Tensor


class StandIn:
    """Takes the place of any object that is neither a tensor nor a container.

    Attributes:
        state: what the file says about the object, such as the content of a whole module.
        entries: by name, of a mapping of an unknown class.
    """

    dump_patches = False  # torch reads it from the classes of whole modules
    state: Any = None
    entries: Dict[str, Any]

    def __new__(cls, *_arguments: Any, **_options: Any) -> StandIn:
        stand_in = super().__new__(cls)
        stand_in.entries = {}
        return stand_in

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *_arguments: Any, **_options: Any) -> StandIn:
        return StandIn()

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, str):
            self.entries[key] = value

    def append(self, _value: Any) -> None:
        """Ignore an element of a list of unknown class."""

    def extend(self, _values: Any) -> None:
        """Ignore the elements of a list of unknown class."""

    def add(self, _value: Any) -> None:
        """Ignore an element of a set of unknown class."""


class PlainDict(Dict[Any, Any]):
    """Takes the place of ``OrderedDict`` and ``defaultdict``, and ignores the attributes that the file gives it."""

    def __setstate__(self, _state: Any) -> None:
        pass


def _default_dict(*_factory: Any) -> PlainDict:
    return PlainDict()


def _rebuild_tensor(storage: Any, offset: int, size: Tuple[int, ...], stride: Tuple[int, ...], *_rest: Any) -> Tensor:
    """Rebuild a tensor without the gradient flag, hooks and attributes that follow in the file."""
    tensor: Tensor = torch._utils._rebuild_tensor(storage, offset, size, stride)  # type: ignore[no-untyped-call]
    return tensor


def _rebuild_parameter(tensor: Any, *_rest: Any) -> Any:
    return tensor


def _rebuild_subclass(rebuild: Callable[..., Any], _kind: Any, arguments: Tuple[Any, ...], _state: Any) -> Any:
    return rebuild(*arguments)


_SAFE: Dict[Tuple[str, str], Any] = {
    ("collections", "OrderedDict"): PlainDict,
    ("collections", "defaultdict"): _default_dict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_subclass,
}


class _InertUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """The unpickler in Python: a flipped bit in a file makes the one in C allocate up to 64 GiB for its memo."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.cuda", "torch.storage") and name.endswith("Storage"):
            return getattr(torch, name, StandIn)
        return _SAFE.get((module, name), StandIn)


def _load(stream: Any, **options: Any) -> Any:
    return _InertUnpickler(stream, **options).load()


_PICKLE_MODULE = SimpleNamespace(__name__="inert_unpickler", Unpickler=_InertUnpickler, load=_load)


def load_inert(path: Path) -> Any:
    """Return the content of a file of ``torch.save``, on the CPU, with stand-ins for everything unknown.

    Raises:
        Exception: of any type, as the file is damaged.
    """
    options: Dict[str, Any] = {"map_location": "cpu", "pickle_module": _PICKLE_MODULE}
    options["encoding"] = "latin1"  # of Python 2's strings, among them the bytes of NumPy scalars
    if "weights_only" in inspect.signature(torch.load).parameters:  # PyTorch 1.13 and newer
        options["weights_only"] = False
    # torch treats the path of a .safetensors file in its own way, whatever the file contains
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the source code of whole modules
        return torch.load(stream, **options)
