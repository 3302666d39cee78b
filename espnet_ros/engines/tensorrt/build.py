"""The build process: converts the network to a TensorRT engine and compares its labels with torch's.

Run as a module by ``build_process``. Reads a pickled ``BuildRequest`` from stdin and reports its progress on stdout.
"""

from __future__ import annotations

import json
import logging
import pickle
import sys
from dataclasses import replace
from typing import Any, List, Sequence, Tuple

import numpy as np
import tensorrt as trt

from espnet_ros.engines.agreement import LIMITS, measure_agreement
from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.child import enter_child
from espnet_ros.engines.tensorrt.build_process import PLAN_FILE, PREFIX, BuildRequest, PrecisionRefusedError
from espnet_ros.engines.tensorrt.conversion import convert
from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.engines.tensorrt.device import Gpu
from espnet_ros.engines.tensorrt.log import tensorrt_logger
from espnet_ros.engines.tensorrt.session import EngineSession
from espnet_ros.errors import DatasetError, EngineError, EspnetError, WeightsError

SAMPLE = 8
"""Number of images on which labels are compared with torch's."""
CALIBRATION = 64
"""Number of images used for int8 calibration. If there are enough images, none of them is in the sample."""
_LAST_MAJOR = 10  # TensorRT 11 has no fp16 and int8 builder modes, which torch2trt sets


def build(request: BuildRequest) -> None:
    """Build the engine and write it to the request's folder, together with the result of the comparison with torch.

    If too many labels differ from torch's, only the result is written.

    Raises:
        DatasetError: the calibration images cannot be read.
        WeightsError: the weights do not fit the network.
        EngineError: the engine cannot be built.
    """
    spec = request.spec
    _report_phase("checking the GPU and the images")
    require_precision(request.precision, request.gpu, spec.log_level)
    sample, calibration = split_images(spec, request.precision)
    _report_phase("loading torch and torch2trt")
    with_fp16 = request.precision != "fp32" and "fp16" in request.gpu.precisions
    plan = convert(spec, request.precision, with_fp16, calibration, _report_phase)
    _report_phase(f"comparing the labels of {len(sample)} images with torch's")
    result = AgreementResult(
        request.precision, _measure_agreement(plan, spec, sample), len(sample), LIMITS[request.precision]
    )
    if not result.refusal:
        (request.folder / PLAN_FILE).write_bytes(plan)
    result.write(request.folder)


def require_precision(precision: str, gpu: Gpu, log_level: str) -> None:
    """Check with TensorRT, which also knows GPUs that are not in our table, that it supports a precision.

    Raises:
        PrecisionRefusedError: the GPU does not support the precision, or is slow in it.
        EngineError: torch2trt does not support this version of TensorRT.
    """
    if int(trt.__version__.split(".")[0]) > _LAST_MAJOR:
        raise EngineError(f"torch2trt does not support TensorRT {trt.__version__}, only 8.2 to {_LAST_MAJOR}")
    builder = trt.Builder(tensorrt_logger(log_level))
    if not getattr(builder, f"platform_has_fast_{precision}", True):  # there is no such attribute for fp32
        raise PrecisionRefusedError(
            f"precision '{precision}' needs a GPU with fast {precision}; TensorRT {trt.__version__} reports that {gpu} "
            "does not have it"
        )


def split_images(spec: EngineSpec, precision: str) -> Tuple[List[np.ndarray], List[np.ndarray]]:
    """Return the images for the comparison, and those for int8 calibration, which are empty for other precisions."""
    if precision != "int8":
        return spec.calibration.images(spec.input_size, SAMPLE), []
    images = spec.calibration.images(spec.input_size, SAMPLE + CALIBRATION)
    step = 1 + CALIBRATION // SAMPLE
    others = [image for index, image in enumerate(images) if index % step]
    return images[::step], others or images


def _measure_agreement(plan: bytes, spec: EngineSpec, sample: Sequence[np.ndarray]) -> float:
    from espnet_ros.engines.torch_engine import TorchEngine

    session = EngineSession(plan, spec.input_size, spec.log_level, CudaRuntime())
    # on the CPU, because torch may use TF32 for fp32 on a GPU
    reference = TorchEngine(replace(spec, backend="torch", precision="fp32"), device="cpu")
    try:
        return measure_agreement(
            lambda image: session.run(image).labels, lambda image: reference.infer(image).labels, sample
        )
    finally:
        session.close()
        reference.close()


def _report(**event: Any) -> None:
    """Send an event to the parent process; ``build_process`` documents the format."""
    if sys.__stdout__ is not None:
        sys.__stdout__.write(f"{PREFIX}{json.dumps(event)}\n")
        sys.__stdout__.flush()


def _report_phase(phase: str) -> None:
    _report(phase=phase)


class _ForwardingHandler(logging.Handler):
    """Forwards log records to the parent process."""

    def emit(self, record: logging.LogRecord) -> None:
        _report(level=record.levelno, message=record.getMessage())


def _main() -> int:
    enter_child()
    request = pickle.load(sys.stdin.buffer)
    logging.basicConfig(handlers=[_ForwardingHandler()], level=logging.WARNING)
    logging.getLogger("espnet_ros").setLevel(logging.DEBUG)  # the parent decides what is shown
    try:
        build(request)
    except (DatasetError, PrecisionRefusedError, WeightsError) as error:
        _report(failure=type(error).__name__, message=str(error))
    except EspnetError as error:
        _report(failure=EngineError.__name__, message=str(error))
    except Exception as error:  # last resort: the parent reports any failure
        _report(failure=EngineError.__name__, message=f"{type(error).__name__}: {error}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(_main())
