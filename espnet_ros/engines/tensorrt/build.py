"""Builds an engine, as a program of its own: converts the network, and compares the engine's labels with torch's.

Reads a pickled ``BuildRequest`` from stdin; tells on stdout how it goes, see ``build_process``.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import sys
import threading
from dataclasses import replace
from typing import Any, List, Sequence, Tuple

import numpy as np
import tensorrt as trt

from espnet_ros.engines.agreement import LIMITS, measure_agreement
from espnet_ros.engines.agreement_result import AgreementResult
from espnet_ros.engines.base import EngineSpec
from espnet_ros.engines.tensorrt.build_process import PLAN_FILE, PREFIX, BuildRequest, PrecisionRefusedError
from espnet_ros.engines.tensorrt.conversion import convert
from espnet_ros.engines.tensorrt.cuda_runtime import CudaRuntime
from espnet_ros.engines.tensorrt.device import Gpu
from espnet_ros.engines.tensorrt.log import tensorrt_logger
from espnet_ros.engines.tensorrt.session import EngineSession
from espnet_ros.errors import DatasetError, EngineError, EspnetError, WeightsError

SAMPLE = 8
"""Images on which labels are compared with torch's."""
CALIBRATION = 64
"""Images that int8 takes its ranges from; none of them is in the sample, where there are enough."""
_NICENESS = 10
_LAST_MAJOR = 10  # TensorRT 11 has neither fp16 nor int8 as a mode of the builder, which torch2trt sets


def build(request: BuildRequest) -> None:
    """Write the engine, unless its labels refuse it, and the verdict on it.

    Raises:
        DatasetError: the images for calibration cannot be used.
        WeightsError: the weights do not fit the network.
        EngineError: the engine cannot be built.
    """
    spec = request.spec
    _tell_phase("looking at the GPU and the images")
    require_tensorrt_has(request.precision, request.gpu, spec.log_level)
    sample, calibration = choose_images(spec, request.precision)
    _tell_phase("loading torch and torch2trt")
    with_fp16 = request.precision != "fp32" and "fp16" in request.gpu.precisions
    plan = convert(spec, request.precision, with_fp16, calibration, _tell_phase)
    _tell_phase(f"comparing the labels of {len(sample)} images with torch's")
    agreement = _compare(plan, spec, sample)
    verdict = AgreementResult(request.precision, agreement, len(sample), LIMITS[request.precision])
    if not verdict.refusal:
        (request.folder / PLAN_FILE).write_bytes(plan)
    verdict.write(request.folder)


def require_tensorrt_has(precision: str, gpu: Gpu, log_level: str) -> None:
    """Ask TensorRT itself, which knows GPUs that our table does not.

    Raises:
        PrecisionRefusedError: the GPU does not compute in it, or not fast.
        EngineError: torch2trt cannot use this TensorRT.
    """
    if int(trt.__version__.split(".")[0]) > _LAST_MAJOR:
        raise EngineError(f"torch2trt cannot use TensorRT {trt.__version__}: it needs 8.2 to {_LAST_MAJOR}")
    builder = trt.Builder(tensorrt_logger(log_level))
    if not getattr(builder, f"platform_has_fast_{precision}", True):  # there is none for fp32
        raise PrecisionRefusedError(
            f"precision '{precision}' needs a GPU that computes in it; TensorRT {trt.__version__} says that {gpu} does "
            "not, or not fast"
        )


def choose_images(spec: EngineSpec, precision: str) -> Tuple[List[np.ndarray], List[np.ndarray]]:
    """The sample, and what int8 is calibrated with, which is empty for other precisions."""
    if precision != "int8":
        return spec.calibration.images(spec.input_size, SAMPLE), []
    images = spec.calibration.images(spec.input_size, SAMPLE + CALIBRATION)
    step = 1 + CALIBRATION // SAMPLE
    others = [image for index, image in enumerate(images) if index % step]
    return images[::step], others or images


def _compare(plan: bytes, spec: EngineSpec, sample: Sequence[np.ndarray]) -> float:
    from espnet_ros.engines.torch_engine import TorchEngine

    session = EngineSession(plan, spec.input_size, spec.log_level, CudaRuntime())
    # on the CPU, as torch may take TF32 for fp32 on a GPU
    reference = TorchEngine(replace(spec, backend="torch", precision="fp32"), device="cpu")
    try:
        return measure_agreement(
            lambda image: session.label(image).labels, lambda image: reference.infer(image).labels, sample
        )
    finally:
        session.close()
        reference.close()


def _tell(**news: Any) -> None:
    if sys.__stdout__ is not None:
        sys.__stdout__.write(f"{PREFIX}{json.dumps(news)}\n")
        sys.__stdout__.flush()


def _tell_phase(phase: str) -> None:
    _tell(phase=phase)


class _TellingHandler(logging.Handler):
    """Passes what this process logs on to the one that waits for it."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell(level=record.levelno, message=record.getMessage())


def _end_with_parent() -> None:
    """End this process when the one that waits for it has ended: its end of the pipe is closed then."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _main() -> int:
    os.nice(max(0, _NICENESS - os.getpriority(os.PRIO_PROCESS, 0)))
    request = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    logging.basicConfig(handlers=[_TellingHandler()], level=logging.WARNING)
    logging.getLogger("espnet_ros").setLevel(logging.DEBUG)  # who waits for it decides what is shown
    try:
        build(request)
    except (DatasetError, PrecisionRefusedError, WeightsError) as error:
        _tell(failure=type(error).__name__, message=str(error))
    except EspnetError as error:
        _tell(failure=EngineError.__name__, message=str(error))
    except Exception as error:  # the process's edge: who waits for it shows what it was
        _tell(failure=EngineError.__name__, message=f"{type(error).__name__}: {error}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(_main())
