"""Compiles a program to an object file in a folder, and runs it from there on several threads."""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Dict, Optional, Tuple

import llvmlite.binding as llvm
import numpy as np

from espnet_ros.engines.native.emission import END_TIME, PROGRESS_STRIDE, emit
from espnet_ros.engines.native.program import WORD, Program
from espnet_ros.engines.native.vectors import VectorUnit
from espnet_ros.errors import EngineError, one_line
from espnet_ros.types import ImageSize

CODE_FILE = "code.o"
_CONSTANTS_FILE = "constants.bin"
_LAYOUT_FILE = "layout.json"
_LIBC = ctypes.CDLL(None)
_Arguments = Tuple[int, int, int]
"""Arguments of the generated function ``run``: address of the context, float_pixels, with_confidence."""


def write_machine_code(program: Program, unit: VectorUnit, folder: Path) -> None:
    """Compile a program for this processor, and write the files that ``MachineCode`` loads.

    Args:
        program: what to compile.
        unit: vector unit to use; this processor must have it.
        folder: existing folder for the files.

    Raises:
        EngineError: LLVM rejects the generated code.
    """
    machine = _target_machine()
    try:
        module = llvm.parse_assembly(emit(program, unit))
        module.verify()
    except RuntimeError as error:
        raise EngineError(f"code for {unit.name} is not valid: {one_line(error)}") from error
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # the code is vectorised and unrolled already, and these passes take long
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    code = machine.emit_object(module)
    layout = {
        "code_sha256": hashlib.sha256(code).hexdigest(),
        "steps": len(program.steps),
        "arena": program.arena,
        "size": [program.height, program.width],
        "borders": [
            {
                "offset": each.offset,
                "shape": [each.height + 2 * each.border, each.words, each.pitch, WORD],
                "zero_points": each.zero_points,
            }
            for each in program.quantised
        ],
    }
    (folder / CODE_FILE).write_bytes(code)
    (folder / _CONSTANTS_FILE).write_bytes(bytes(program.constants))
    (folder / _LAYOUT_FILE).write_text(json.dumps(layout), encoding="utf-8")


class MachineCode:
    """Machine code loaded from a folder, with its memory and worker threads.

    Args:
        folder: folder that ``write_machine_code`` wrote.
        threads: number of threads that share the work, including the caller's.

    Attributes:
        size: image size.
        labels: (h, w) uint8, filled by ``run``.
        confidence: (h, w) uint8, filled by ``run`` on request; 255 is 1.0.

    Raises:
        EngineError: the files cannot be loaded.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        try:
            layout = json.loads((folder / _LAYOUT_FILE).read_text(encoding="utf-8"))
            constants = (folder / _CONSTANTS_FILE).read_bytes()
            self._constants = _allocate_pages(len(constants))
            self._constants[:] = np.frombuffer(constants, np.uint8)
            code = (folder / CODE_FILE).read_bytes()
            # LLVM aborts the process on a damaged object file
            if hashlib.sha256(code).hexdigest() != layout["code_sha256"]:
                raise ValueError(f"{CODE_FILE} does not have the SHA-256 recorded in {_LAYOUT_FILE}")
            self._code = _load(code)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise EngineError(f"machine code in {folder} cannot be loaded: {one_line(error)}") from error
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
        self._run: Optional[Any] = signature(self._code.get_function_address("run"))
        self.size = ImageSize(*layout["size"])
        self._arena = _allocate_arena(layout)
        self._progress = _allocate_pages(layout["steps"] * PROGRESS_STRIDE)
        self.labels = np.zeros(self.size, np.uint8)
        self.confidence = np.zeros(self.size, np.uint8)
        self._workers = [_Worker(self._run, f"engine {index}") for index in range(1, threads)]

    def run(self, pixels: np.ndarray, with_confidence: bool) -> None:
        """Compute ``labels`` and, on request, ``confidence``.

        Args:
            pixels: (h, w, 3) BGR, uint8 or float32, C-contiguous.
            with_confidence: compute the confidence, too.
        """
        assert self._run is not None, "run() was called after close()"
        for worker in self._workers:  # a worker that woke up late may still be stepping through the last image
            worker.wait()
        self._progress[:] = 0
        arrays = (self._arena, self._constants, pixels, self.labels, self.confidence, self._progress)
        context = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        arguments = (ctypes.addressof(context), int(pixels.dtype == np.float32), int(with_confidence))
        core = current_core()
        for worker in self._workers:
            worker.avoid_core(core)
            worker.start(arguments, context)
        self._run(*arguments)

    def step_end_times(self) -> np.ndarray:
        """Return the processor's cycle counter at the end of each step of the last image, (steps,) int64."""
        return self._progress.reshape(-1, PROGRESS_STRIDE)[:, END_TIME : END_TIME + 8].copy().view(np.int64)[:, 0]

    def close(self) -> None:
        """Stop the worker threads and free the code."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()
        self._run = None
        self._code.close()


class _Worker:
    """A thread that helps to compute an image when started."""

    def __init__(self, run: Any, name: str) -> None:
        self._run = run
        self._jobs: SimpleQueue[Optional[Tuple[_Arguments, Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(1)
        self._avoided_core = -1
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the last job has finished."""
        self._idle.acquire()

    def avoid_core(self, core: int) -> None:
        """Restrict the thread to cores other than ``core``, on which the caller runs.

        Linux may wake a thread on the core of the thread that woke it, and move it only milliseconds later. On our test
        machine this happened to every second image when images came every 0.1 s, and doubled the time for these images.
        """
        if core == self._avoided_core or not hasattr(os, "sched_setaffinity"):
            return
        others = os.sched_getaffinity(0) - {core}
        if others:
            with suppress(OSError):  # a container may forbid it
                os.sched_setaffinity(self._thread.native_id or 0, others)
        self._avoided_core = core

    def start(self, arguments: _Arguments, keep_alive: Any) -> None:
        """Start a job; call ``wait`` first. ``keep_alive`` is not freed before the job has finished."""
        self._jobs.put((arguments, keep_alive))

    def close(self) -> None:
        """Stop the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            self._run(*job[0])
            del job
            self._idle.release()


def _allocate_arena(layout: Dict[str, Any]) -> np.ndarray:
    """Allocate the memory for all maps, and fill int8 maps with their zero points. Steps never write the padding."""
    arena = _allocate_pages(layout["arena"])
    for border in layout["borders"]:
        rows, words, pitch, word = border["shape"]
        values = arena[border["offset"] : border["offset"] + rows * words * pitch * word].reshape(border["shape"])
        values[:] = np.array(border["zero_points"], np.uint8).reshape(1, words, 1, word)
    return arena


def _allocate_pages(size: int) -> np.ndarray:
    """Allocate zeroed, page-aligned memory. Unlike with ``malloc``, it returns to the system as soon as it is freed."""
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)


def current_core() -> int:
    """Return the core that the calling thread runs on, or -1 if it is unknown."""
    try:
        return int(_LIBC.sched_getcpu())
    except AttributeError:
        return -1


def host_cpu() -> Tuple[str, str]:
    """Return the name and features of this CPU as LLVM sees them; it may use any of these in the code."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _target_machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = host_cpu()
    return llvm.Target.from_default_triple().create_target_machine(name, features, opt=3, jit=True)


def _load(code: bytes) -> Any:
    """Load an object file into an execution engine."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
