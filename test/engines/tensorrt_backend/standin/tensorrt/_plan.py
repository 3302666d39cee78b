"""A built network, as it is serialised and run."""

import pickle
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from tensorrt import _execution

_MAGIC = b"stand-in plan\n"
_QUANTISED = ("convolution", "deconvolution")


class PlanLayer(NamedTuple):
    """A layer, with (layer, output) numbers of what it takes."""

    kind: str
    settings: Dict[str, Any]
    inputs: List[Tuple[int, int]]


@dataclass
class Plan:
    """All that an engine is."""

    version: Tuple[int, ...]
    gpu: str
    layers: List[PlanLayer]
    inputs: Dict[str, int]
    outputs: Dict[str, Tuple[int, int]]
    shapes: Dict[str, Tuple[int, ...]]
    is_half: bool
    workspace: Optional[int]
    ranges: Dict[int, float] = field(default_factory=dict)
    calibrated_with: int = 0

    def serialise(self) -> bytes:
        return _MAGIC + pickle.dumps(self)

    def run(self, inputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        values = self.run_all(inputs)
        return {name: values[layer][index] for name, (layer, index) in self.outputs.items()}

    def run_all(self, inputs: Dict[str, np.ndarray]) -> List[List[np.ndarray]]:
        """Outputs of every layer."""
        given = {number: inputs[name] for name, number in self.inputs.items()}
        values: List[List[np.ndarray]] = []
        for number, layer in enumerate(self.layers):
            if number in given:
                values.append([self._round(given[number])])
                continue
            taken = [values[source][index] for source, index in layer.inputs]
            settings = layer.settings
            if self.ranges and layer.kind in _QUANTISED:
                taken = [_quantise(taken[0], self.ranges[layer.inputs[0][0]])]
                settings = {**settings, "kernel": _quantise_by_output(settings["kernel"], layer.kind)}
            values.append([self._round(value) for value in _execution.run_layer(layer.kind, settings, taken)])
        return values

    def _round(self, value: np.ndarray) -> np.ndarray:
        if value.dtype == np.int32:
            return value
        return value.astype(np.float16).astype(np.float32) if self.is_half else value.astype(np.float32)


def read(serialised: bytes) -> Optional[Plan]:
    """The plan, or None where it is none."""
    data = bytes(serialised)
    return pickle.loads(data[len(_MAGIC) :]) if data.startswith(_MAGIC) else None


def _quantise_by_output(kernel: np.ndarray, kind: str) -> np.ndarray:
    axis = 0 if kind == "convolution" else 1
    outputs = [_quantise(part, float(np.abs(part).max())) for part in np.moveaxis(kernel, axis, 0)]
    return np.moveaxis(np.stack(outputs), 0, axis)


def _quantise(value: np.ndarray, largest: float) -> np.ndarray:
    step = largest / 127 or 1.0
    return (np.clip(np.round(value / step), -127, 127) * step).astype(np.float32)
