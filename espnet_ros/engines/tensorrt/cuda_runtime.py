"""The few functions of the CUDA runtime library that running an engine takes, through ctypes.

So a cached engine starts without torch, and without a package that wraps CUDA: on a Jetson the library is all there is.
Signatures: CUDA Runtime API; those used here are the same from CUDA 10.2 (JetPack 4.6) on.
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
_PROPERTIES_BYTES = 8192  # struct cudaDeviceProp has another size in each version, below 2 KiB so far
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
    """The CUDA runtime of this process, on its first GPU (``CUDA_VISIBLE_DEVICES`` says which that is).

    Addresses and streams are plain integers. Every method raises EngineError with what CUDA said.

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
        """Name of the GPU."""
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        # CUDA 12 changed the struct, and with it the function's symbol; in both the name comes first
        symbol = "cudaGetDeviceProperties"
        if not hasattr(self._library, symbol):
            symbol += "_v2"
        self._call(symbol, properties, c_int(0))
        return properties.raw[:_NAME_BYTES].split(b"\0")[0].decode(errors="replace")

    def compute_capability(self) -> Tuple[int, int]:
        """Major and minor number of the GPU's compute capability."""
        return self._attribute(_CAPABILITY_MAJOR), self._attribute(_CAPABILITY_MINOR)

    def allocate(self, size: int) -> int:
        """Address of ``size`` bytes of the GPU's memory."""
        address = c_void_p()
        self._call("cudaMalloc", byref(address), size)
        return address.value or 0

    def free(self, address: int) -> None:
        """Give back what ``allocate`` gave."""
        self._call("cudaFree", address)

    def allocate_pinned(self, size: int) -> int:
        """Address of ``size`` bytes of page-locked memory of the host, which copies asynchronously."""
        address = c_void_p()
        self._call("cudaHostAlloc", byref(address), size, 0)
        return address.value or 0

    def free_pinned(self, address: int) -> None:
        """Give back what ``allocate_pinned`` gave."""
        self._call("cudaFreeHost", address)

    def create_stream(self) -> int:
        """A stream: what is put into it is done in order, while the caller goes on."""
        stream = c_void_p()
        self._call("cudaStreamCreate", byref(stream))
        return stream.value or 0

    def destroy_stream(self, stream: int) -> None:
        """Give back what ``create_stream`` gave."""
        self._call("cudaStreamDestroy", stream)

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Put a copy of ``size`` bytes from pinned memory to the GPU into the stream."""
        self._call("cudaMemcpyAsync", target, source, size, _HOST_TO_DEVICE, stream)

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Put a copy of ``size`` bytes from the GPU to pinned memory into the stream."""
        self._call("cudaMemcpyAsync", target, source, size, _DEVICE_TO_HOST, stream)

    def synchronize(self, stream: int) -> None:
        """Wait until all that is in the stream is done."""
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
    """Where libcudart may be: ``CUDA_HOME``, the loader's path, CUDA's usual place, NVIDIA's packages for pip."""
    for folder in filter(None, (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"))):
        yield str(Path(folder) / "lib64" / "libcudart.so")
    yield ctypes.util.find_library("cudart") or "libcudart.so"
    yield "/usr/local/cuda/lib64/libcudart.so"
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages.submodule_search_locations or []) if packages else []:
        yield from sorted(str(path) for path in Path(folder).glob("*/lib/libcudart.so.*"))
