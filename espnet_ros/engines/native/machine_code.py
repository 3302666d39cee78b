"""Compiles a program to machine code, keeps it in a folder, and runs it from there on several threads."""

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

from espnet_ros.engines.native.emission import ENDED_AT, PROGRESS_STRIDE, emit
from espnet_ros.engines.native.program import WORD, Program
from espnet_ros.engines.native.vectors import VectorUnit
from espnet_ros.errors import EngineError
from espnet_ros.types import ImageSize

CODE_FILE = "code.o"
_CONSTANTS_FILE = "constants.bin"
_LAYOUT_FILE = "layout.json"
_LIBC = ctypes.CDLL(None)
_Call = Tuple[int, int, int]
"""Arguments of ``run``."""


def write_machine_code(program: Program, unit: VectorUnit, folder: Path) -> None:
    """Compile for this processor, and write all that ``MachineCode`` needs.

    Raises:
        EngineError: the code is not valid or cannot be written.
    """
    machine = _target_machine()
    try:
        module = llvm.parse_assembly(emit(program, unit))
        module.verify()
    except RuntimeError as error:
        raise EngineError(f"code for {unit.name} is not valid: {error}") from error
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # what could be done so is done; looking for more takes long
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
                "zeros": each.zeros,
            }
            for each in program.quantised
        ],
    }
    (folder / CODE_FILE).write_bytes(code)
    (folder / _CONSTANTS_FILE).write_bytes(bytes(program.constants))
    (folder / _LAYOUT_FILE).write_text(json.dumps(layout), encoding="utf-8")


class MachineCode:
    """A program that is ready to run.

    Args:
        folder: what ``write_machine_code`` filled.
        threads: that share the work; the caller's is one of them.

    Raises:
        EngineError: the folder's content cannot be used.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        try:
            layout = json.loads((folder / _LAYOUT_FILE).read_text(encoding="utf-8"))
            constants = (folder / _CONSTANTS_FILE).read_bytes()
            self._constants = _memory(len(constants))
            self._constants[:] = np.frombuffer(constants, np.uint8)
            code = (folder / CODE_FILE).read_bytes()
            # LLVM does not survive a file that is no object file
            if hashlib.sha256(code).hexdigest() != layout["code_sha256"]:
                raise ValueError(f"{CODE_FILE} is not the file that was written")
            self._code = _load(code)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise EngineError(f"machine code in {folder} cannot be loaded: {error}") from error
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
        self._run: Optional[Any] = signature(self._code.get_function_address("run"))
        self.size = ImageSize(*layout["size"])
        self._arena = _arena(layout)
        self._progress = _memory(layout["steps"] * PROGRESS_STRIDE)
        self.labels = np.zeros(self.size, np.uint8)
        self.confidence = np.zeros(self.size, np.uint8)
        self._helpers = [_Helper(self._run, f"engine {index}") for index in range(1, threads)]

    def run(self, pixels: np.ndarray, with_confidence: bool) -> None:
        """Fill ``labels``, and ``confidence`` where that is asked for.

        Args:
            pixels: (h, w, 3), uint8 or float32, C-contiguous.
            with_confidence: compute the confidence.
        """
        assert self._run is not None, "the code was closed"
        for helper in self._helpers:  # one that woke up late may still be on its way through the last image's steps
            helper.wait()
        self._progress[:] = 0
        arrays = (self._arena, self._constants, pixels, self.labels, self.confidence, self._progress)
        context = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        call = (ctypes.addressof(context), int(pixels.dtype == np.float32), int(with_confidence))
        here = current_core()
        for helper in self._helpers:
            helper.leave(here)
            helper.start(call, context)
        self._run(*call)

    def step_ends(self) -> np.ndarray:
        """(steps,) int64: the processor's clock at the end of each step of the last image."""
        return self._progress.reshape(-1, PROGRESS_STRIDE)[:, ENDED_AT : ENDED_AT + 8].copy().view(np.int64)[:, 0]

    def close(self) -> None:
        """End the threads and free the code."""
        for helper in self._helpers:
            helper.close()
        self._helpers.clear()
        self._run = None
        self._code.close()


class _Helper:
    """A thread that takes part when it is told to."""

    def __init__(self, run: Any, name: str) -> None:
        self._run = run
        self._calls: SimpleQueue[Optional[Tuple[_Call, Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(1)
        self._left = -1
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until what was started last has ended."""
        self._idle.acquire()

    def leave(self, core: int) -> None:
        """Keep off the caller's core.

        The system may wake a thread on the core of the one that woke it, to move it milliseconds later. That is what it
        did here with every second image whose predecessor was 0.1 s ago, which then took twice as long.
        """
        if core == self._left or not hasattr(os, "sched_setaffinity"):
            return
        others = os.sched_getaffinity(0) - {core}
        if others:
            with suppress(OSError):  # a container may forbid it
                os.sched_setaffinity(self._thread.native_id or 0, others)
        self._left = core

    def start(self, call: _Call, keep: Any) -> None:
        """Take part in a call; ``keep`` is kept from being freed meanwhile. ``wait`` came before."""
        self._calls.put((call, keep))

    def close(self) -> None:
        """End the thread."""
        self._calls.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            job = self._calls.get()
            if job is None:
                return
            self._run(*job[0])
            del job
            self._idle.release()


def _arena(layout: Dict[str, Any]) -> np.ndarray:
    """Memory for all maps, with the borders that no step writes."""
    arena = _memory(layout["arena"])
    for border in layout["borders"]:
        rows, words, pitch, word = border["shape"]
        values = arena[border["offset"] : border["offset"] + rows * words * pitch * word].reshape(border["shape"])
        values[:] = np.array(border["zeros"], np.uint8).reshape(1, words, 1, word)
    return arena


def _memory(size: int) -> np.ndarray:
    """Zeros that begin with a page, and that the system gets back when they are freed, which ``malloc`` may put off."""
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)


def current_core() -> int:
    """The core that the calling thread runs on; -1 where the system does not tell."""
    try:
        return int(_LIBC.sched_getcpu())
    except AttributeError:
        return -1


def _target_machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(llvm.get_host_cpu_name(), features, opt=3, jit=True)


def _load(code: bytes) -> Any:
    """An execution engine that holds an object file."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
