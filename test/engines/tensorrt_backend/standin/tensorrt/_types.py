"""Enumerations, loggers and the like."""

import enum
import sys
import time


class _Enum(enum.Enum):
    """Like pybind11's: it becomes an int when asked, and has no order."""

    def __int__(self):
        return self.value


def _enum(name, *members):
    return _Enum(name, [(member, index) for index, member in enumerate(members)])


ActivationType = _enum("ActivationType", "RELU", "SIGMOID", "TANH")
BuilderFlag = _enum("BuilderFlag", "FP16", "INT8", "DEBUG", "GPU_FALLBACK", "STRICT_TYPES", "TF32")
CalibrationAlgoType = _enum(
    "CalibrationAlgoType", "LEGACY_CALIBRATION", "ENTROPY_CALIBRATION", "ENTROPY_CALIBRATION_2", "MINMAX_CALIBRATION"
)
DataType = _enum("DataType", "FLOAT", "HALF", "INT8", "INT32", "BOOL")
DeviceType = _enum("DeviceType", "GPU", "DLA")
ElementWiseOperation = _enum("ElementWiseOperation", "SUM", "PROD", "MAX", "MIN", "SUB", "DIV", "POW")
InterpolationMode = _enum("InterpolationMode", "NEAREST", "LINEAR", "CUBIC")
MemoryPoolType = _enum("MemoryPoolType", "WORKSPACE")
NetworkDefinitionCreationFlag = _enum("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")
PaddingMode = _enum("PaddingMode", "EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP")
PoolingType = _enum("PoolingType", "MAX", "AVERAGE", "MAX_AVERAGE_BLEND")
ReduceOperation = _enum("ReduceOperation", "SUM", "PROD", "MAX", "MIN", "AVG")
ResizeCoordinateTransformation = _enum("ResizeCoordinateTransformation", "ALIGN_CORNERS", "ASYMMETRIC", "HALF_PIXEL")
ScaleMode = _enum("ScaleMode", "UNIFORM", "CHANNEL", "ELEMENTWISE")
TensorIOMode = _enum("TensorIOMode", "NONE", "INPUT", "OUTPUT")
TensorLocation = _enum("TensorLocation", "DEVICE", "HOST")
TopKOperation = _enum("TopKOperation", "MAX", "MIN")
UnaryOperation = _enum("UnaryOperation", "EXP", "LOG", "SQRT", "RECIP", "ABS", "NEG")
_Severity = _enum("Severity", "INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")


class Weights:
    """Weights without values."""

    def __init__(self, type=DataType.FLOAT):  # noqa: A002
        self.dtype = type
        self.size = 0


class IHostMemory(bytes):
    """A serialised engine."""

    @property
    def nbytes(self):
        return len(self)


class ILogger:
    """Base of loggers in Python."""

    Severity = _Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = _Severity

    def __init__(self):
        pass

    def log(self, severity, msg):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Logger(ILogger):
    """Prints like TensorRT's own."""

    def __init__(self, min_severity=_Severity.WARNING):
        super().__init__()
        self.min_severity = min_severity

    def log(self, severity, msg):
        if int(severity) <= int(self.min_severity):
            sys.__stderr__.write(f"[{time.strftime('%m/%d/%Y-%H:%M:%S')}] [TRT] [{'FEWIV'[int(severity)]}] {msg}\n")
            sys.__stderr__.flush()
