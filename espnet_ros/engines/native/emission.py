"""Writes a program as an LLVM IR module: functions for the rows of each step, and ``run``, which schedules them."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

from llvmlite import ir

from espnet_ros.engines.native.program import Convolution, Normalisation, Program, Step, TransposedConvolution2x
from espnet_ros.engines.native.row_functions import PROGRESS, RowFunctionWriter
from espnet_ros.engines.native.vectors import F32, I8, I32, I64, POINTER, VOID, VectorUnit, declare

PROGRESS_STRIDE = 192
"""Bytes per step in the ``PROGRESS`` memory, which must be zero when an image starts."""
_STARTED_ROWS, _FINISHED_ROWS, END_TIME = 0, 64, 128
"""Offsets in a step's progress: rows started and rows finished (int32), and the cycle counter at its end (int64)."""
_SPINS_BEFORE_YIELD = 2000
"""How often a thread polls for the rows of other threads before it yields its core."""
_FLOAT_PIXELS, _WITH_CONFIDENCE = 1, 2
"""Arguments of ``run`` that select between the two functions of a step."""


class _StepCode(NamedTuple):
    """The functions of a step.

    Attributes:
        functions: one, or two if an argument of ``run`` selects between them.
        rows: number of rows to compute.
        selector: index of that argument; nonzero selects the second function.
    """

    functions: Sequence[ir.Function]
    rows: int
    selector: Optional[int] = None


def emit(program: Program, unit: VectorUnit) -> str:
    """Return the LLVM IR of a program.

    The module defines ``void run(void **context, int32 float_pixels, int32 with_confidence)``. Any number of threads
    may call it for the same image. Each takes rows of the current step until none are left, then waits until the step
    is finished before it goes on to the next. The function returns when all steps are finished.
    """
    module = ir.Module("espnet")
    _emit_run(module, [_emit_step(module, unit, index, step) for index, step in enumerate(program.steps)])
    return str(module)


def _emit_step(module: ir.Module, unit: VectorUnit, index: int, step: Step) -> _StepCode:
    def writer(name: str) -> RowFunctionWriter:
        return RowFunctionWriter(module, f"step{index}_{name}", unit)

    if isinstance(step, Normalisation):
        functions = [writer("bytes").normalise(step, I8), writer("floats").normalise(step, F32)]
        return _StepCode(functions, step.target.height, _FLOAT_PIXELS)
    if isinstance(step, Convolution):
        return _StepCode([writer("convolve").convolve(step)], step.height)
    if isinstance(step, TransposedConvolution2x):
        return _StepCode([writer("upsample").upsample_2x(step)], step.source.height)
    functions = [writer("labels").classify(step, False), writer("confidence").classify(step, True)]
    return _StepCode(functions, step.source.height, _WITH_CONFIDENCE)


def _emit_run(module: ir.Module, codes: Sequence[_StepCode]) -> None:
    run = ir.Function(module, ir.FunctionType(VOID, [POINTER, I32, I32]), "run")
    b = ir.IRBuilder(run.append_basic_block())
    progress = b.load(b.gep(run.args[0], [I64(PROGRESS)], source_etype=POINTER), typ=POINTER)
    for index, code in enumerate(codes):
        started, finished, end_time = (
            b.gep(progress, [I64(index * PROGRESS_STRIDE + at)], source_etype=I8)
            for at in (_STARTED_ROWS, _FINISHED_ROWS, END_TIME)
        )
        take_row, compute, wait, spin, end = (run.append_basic_block(f"step{index}") for _ in range(5))
        b.branch(take_row)
        b.position_at_end(take_row)
        row = b.atomic_rmw("add", started, I32(1), "monotonic")
        b.cbranch(b.icmp_unsigned("<", row, I32(code.rows)), compute, wait)

        b.position_at_end(compute)
        arguments = [run.args[0], b.zext(row, I64)]
        if code.selector is None:
            b.call(code.functions[0], arguments)
        else:
            with b.if_else(b.icmp_unsigned("!=", run.args[code.selector], I32(0))) as (selected, default):
                with selected:
                    b.call(code.functions[1], arguments)
                with default:
                    b.call(code.functions[0], arguments)
        b.atomic_rmw("add", finished, I32(1), "release")
        b.branch(take_row)

        b.position_at_end(wait)
        spins = b.phi(I32)
        spins.add_incoming(I32(0), take_row)
        all_finished = b.icmp_unsigned("==", b.load_atomic(finished, "acquire", 4, typ=I32), I32(code.rows))
        b.cbranch(all_finished, end, spin)
        b.position_at_end(spin)
        b.call(declare(module, "llvm.x86.sse2.pause", VOID, []), [])
        with b.if_then(b.icmp_unsigned(">", spins, I32(_SPINS_BEFORE_YIELD))):
            b.call(declare(module, "sched_yield", I32, []), [])
        spins.add_incoming(b.add(spins, I32(1)), b.block)
        b.branch(wait)

        b.position_at_end(end)
        b.store(b.call(declare(module, "llvm.readcyclecounter", I64, []), []), end_time, align=8)
    b.ret_void()
