"""The functions of the CUDA runtime library that an engine needs, called through ctypes.

With them, a cached engine needs neither torch nor a Python package for CUDA, which Jetsons do not have by default. The
signatures are from the CUDA Runtime API, and have been the same since CUDA 10.2 (JetPack 4.6).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Any, Iterator, Tuple

from espnet_ros.errors import EngineError

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor and Minor
_NAME_BYTES = 256
_PROPERTIES_BYTES = 8192  # the size of struct cudaDeviceProp depends on the version; below 2 KiB so far
_SIGNATURES = {
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaFree": (c_void_p,),
    "cudaHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cudaFreeHost": (c_void_p,),
    "cudaStreamCreate": (POINTER(c_void_p),),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
}


class CudaRuntime:
    """The CUDA runtime of this process, on its first GPU (see ``CUDA_VISIBLE_DEVICES``).

    Addresses and streams are plain integers. Every method raises ``EngineError`` with CUDA's error if a call fails.

    Raises:
        EngineError: the library is not on this machine.
    """

    def __init__(self) -> None:
        self._library = _load_library()
        for name, types in _SIGNATURES.items():
            getattr(self._library, name).argtypes = types
        for name in ("cudaGetErrorName", "cudaGetErrorString"):
            function = getattr(self._library, name)
            function.argtypes, function.restype = (c_int,), c_char_p

    def device_name(self) -> str:
        """Return the name of the GPU."""
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        # CUDA 12 changed the struct and renamed the symbol; the name comes first in both versions
        symbol = "cudaGetDeviceProperties"
        if not hasattr(self._library, symbol):
            symbol += "_v2"
        self._call(symbol, properties, c_int(0))
        return properties.raw[:_NAME_BYTES].split(b"\0")[0].decode(errors="replace")

    def compute_capability(self) -> Tuple[int, int]:
        """Return the major and minor number of the GPU's compute capability."""
        return self._attribute(_CAPABILITY_MAJOR), self._attribute(_CAPABILITY_MINOR)

    def allocate(self, size: int) -> int:
        """Allocate ``size`` bytes of GPU memory; return the address."""
        address = c_void_p()
        self._call("cudaMalloc", byref(address), size)
        return address.value or 0

    def free(self, address: int) -> None:
        """Free memory from ``allocate``."""
        self._call("cudaFree", address)

    def allocate_pinned(self, size: int) -> int:
        """Allocate ``size`` bytes of page-locked host memory, as asynchronous copies require; return the address."""
        address = c_void_p()
        self._call("cudaHostAlloc", byref(address), size, 0)
        return address.value or 0

    def free_pinned(self, address: int) -> None:
        """Free memory from ``allocate_pinned``."""
        self._call("cudaFreeHost", address)

    def create_stream(self) -> int:
        """Create a stream, which runs operations in order and asynchronously to the caller."""
        stream = c_void_p()
        self._call("cudaStreamCreate", byref(stream))
        return stream.value or 0

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream from ``create_stream``."""
        self._call("cudaStreamDestroy", stream)

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueue a copy of ``size`` bytes from pinned memory to GPU memory."""
        self._call("cudaMemcpyAsync", target, source, size, _HOST_TO_DEVICE, stream)

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueue a copy of ``size`` bytes from GPU memory to pinned memory."""
        self._call("cudaMemcpyAsync", target, source, size, _DEVICE_TO_HOST, stream)

    def synchronize(self, stream: int) -> None:
        """Wait until all operations in the stream have finished."""
        self._call("cudaStreamSynchronize", stream)

    def _attribute(self, attribute: int) -> int:
        value = c_int()
        self._call("cudaDeviceGetAttribute", byref(value), attribute, 0)
        return value.value

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            name, text = (
                getattr(self._library, f"cudaGetError{part}")(code).decode(errors="replace")
                for part in ("Name", "String")
            )
            raise EngineError(f"CUDA: {function} failed: {text} ({name}, {code})")


def _load_library() -> Any:
    tried = []
    for name in _library_names():
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            tried.append(f"{name} ({error})")
    raise EngineError(f"the CUDA runtime library libcudart is not on this machine; tried: {'; '.join(tried)}")


def _library_names() -> Iterator[str]:
    """Yield possible locations of libcudart: CUDA_HOME, CUDA_PATH, the loader's path, /usr/local/cuda, pip packages."""
    for folder in filter(None, (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"))):
        yield str(Path(folder) / "lib64" / "libcudart.so")
    yield ctypes.util.find_library("cudart") or "libcudart.so"
    yield "/usr/local/cuda/lib64/libcudart.so"
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages.submodule_search_locations or []) if packages else []:
        yield from sorted(str(path) for path in Path(folder).glob("*/lib/libcudart.so.*"))
