"""Builds the machine code of a checkpoint in a child process, and compares its labels with torch's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from espnet_ros.engines.agreement import compare_with_torch
from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.cache_key import cpu_flags
from espnet_ros.engines.conversion_child import ConversionRequest, convert_in_child, serve_conversion
from espnet_ros.engines.native.vectors import choose_unit

LIMIT = 0.99
"""Minimum fraction of labels that must equal torch's, in every precision."""
_SAMPLE = 12
"""Number of calibration images: every second one is used to measure int8 ranges, the others to compare labels."""


def export_in_child(spec: EngineSpec, precision: str, folder: Path) -> None:
    """Write the machine code and its agreement result to ``folder``, in a child process.

    Raises:
        WeightsError: the weights do not fit the network.
        DatasetError: the calibration images cannot be read.
        EngineError: the build failed; the message contains the child's last output.
    """
    convert_in_child(__name__, "native", ConversionRequest(spec, precision, folder))


def export(request: ConversionRequest) -> None:
    """Run the build; called in the child process."""
    from espnet_ros.engines.native.lowering import lower
    from espnet_ros.engines.native.machine_code import MachineCode, write_machine_code
    from espnet_ros.engines.native.program import BF16, FP32
    from espnet_ros.engines.native.ranges import measure_ranges
    from espnet_ros.model.espnet import ESPNet
    from espnet_ros.model.loading import load_network

    spec, flags = request.spec, cpu_flags()
    network, unit = load_network(spec.checkpoint), choose_unit(flags)
    assert isinstance(network, ESPNet) and unit is not None, "checked by NativeEngine"
    images = spec.calibration.images(spec.input_size, _SAMPLE)
    ranges = measure_ranges(network, spec.checkpoint, images[::2]) if request.precision == "int8" else {}
    element = BF16 if request.precision != "fp32" and unit.has_any(unit.bf16, flags) else FP32
    write_machine_code(lower(network, spec.checkpoint, spec.input_size, element, ranges), unit, request.folder)
    code = MachineCode(request.folder, threads=1)

    def label(image: np.ndarray) -> np.ndarray:
        code.run(image, with_confidence=False)
        return code.labels

    compared = images[1::2] or images
    compare_with_torch(spec, network, request.precision, label, compared, LIMIT).write(request.folder)


if __name__ == "__main__":
    sys.exit(serve_conversion(export))
