"""Builds the machine code of a checkpoint, and judges it, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from espnet_ros.engines.agreement import judge_against_torch
from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.cache_key import cpu_flags
from espnet_ros.engines.conversion_child import ConversionRequest, convert_in_child, serve_conversion
from espnet_ros.engines.native.vectors import choose_unit

LIMIT = 0.99
"""Share of a sample's labels that must be torch's, whatever the precision."""
_SAMPLE = 12
"""Images for the ranges of int8, every second one, and for the comparison with torch, the others."""


def export_in_child(spec: EngineSpec, precision: str, folder: Path) -> None:
    """Write the machine code and its verdict into ``folder``, from a child process.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be used.
        EngineError: the conversion failed; the message holds what the child said last.
    """
    convert_in_child(__name__, "native", ConversionRequest(spec, precision, folder))


def export(request: ConversionRequest) -> None:
    """The conversion itself."""
    from espnet_ros.engines.native.lowering import lower
    from espnet_ros.engines.native.machine_code import MachineCode, write_machine_code
    from espnet_ros.engines.native.program import BF16, FP32
    from espnet_ros.engines.native.ranges import measure_ranges
    from espnet_ros.model.espnet import ESPNet
    from espnet_ros.model.loading import load_network

    spec, flags = request.spec, cpu_flags()
    network, unit = load_network(spec.checkpoint), choose_unit(flags)
    assert isinstance(network, ESPNet) and unit is not None, "the engine has seen to both"
    images = spec.calibration.images(spec.input_size, _SAMPLE)
    ranges = measure_ranges(network, spec.checkpoint, images[::2]) if request.precision == "int8" else {}
    element = BF16 if request.precision != "fp32" and unit.has(unit.bf16, flags) else FP32
    write_machine_code(lower(network, spec.checkpoint, spec.input_size, element, ranges), unit, request.folder)
    code = MachineCode(request.folder, threads=1)

    def label(image: np.ndarray) -> np.ndarray:
        code.run(image, with_confidence=False)
        return code.labels

    judged = images[1::2] or images
    verdict = judge_against_torch(spec, network, request.precision, label, judged, LIMIT)
    verdict.write(request.folder)


if __name__ == "__main__":
    sys.exit(serve_conversion(export))
