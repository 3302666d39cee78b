"""Writes a program as LLVM IR: a function for a row of each step, and one that goes through all steps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from llvmlite import ir

from espnet_ros.engines.native.program import (
    INT8,
    NOTHING,
    SIDE,
    WORD,
    Branch,
    ClassifierArgmax,
    Convolution,
    FeatureMap,
    Normalisation,
    Place,
    Program,
    Stage,
    Store,
    TransposedConvolution2x,
)
from espnet_ros.engines.native.vectors import F32, I8, I32, I64, POINTER, VOID, VectorUnit, VectorWriter, declare

ARENA, CONSTANTS, PIXELS, LABELS, CONFIDENCE, PROGRESS = range(6)
"""The context that the code is given: pointers, in this order."""
PROGRESS_STRIDE = 192
"""Bytes of ``PROGRESS`` that a step has, all zero at first."""
_TAKEN, _DONE, ENDED_AT = 0, 64, 128
"""Where a step keeps how many rows were begun and how many are done (int32), and the processor's clock when all were
(int64)."""
_SPINS = 2000
"""Times that a thread asks whether the others' last rows are done before it lets other threads have its core."""
_FLOAT_PIXELS, _WITH_CONFIDENCE = 1, 2
"""Arguments of ``run`` that choose between two functions for a step."""


class _Code(NamedTuple):
    """A step's functions, how many rows it has, and the argument of ``run`` that chooses the second function."""

    functions: Sequence[ir.Function]
    rows: int
    choice: Optional[int] = None


def emit(program: Program, unit: VectorUnit) -> str:
    """The module's text.

    It defines ``void run(void **context, int32 float_pixels, int32 with_confidence)``. Any number of threads may call
    it for the same image: each takes rows of the first step that has rows left, and waits for a step to be done before
    the next. It returns when all steps are done.
    """
    module = ir.Module("espnet")
    _emit_run(module, [_emit_step(module, unit, index, step) for index, step in enumerate(program.steps)])
    return str(module)


def _emit_step(module: ir.Module, unit: VectorUnit, index: int, step: Any) -> _Code:
    def row(name: str) -> _Row:
        return _Row(module, f"step{index}_{name}", unit)

    if isinstance(step, Normalisation):
        functions = [row("bytes").normalise(step, I8), row("floats").normalise(step, F32)]
        return _Code(functions, step.target.height, _FLOAT_PIXELS)
    if isinstance(step, Convolution):
        return _Code([row("convolve").convolve(step)], step.height)
    if isinstance(step, TransposedConvolution2x):
        return _Code([row("double").double(step)], step.source.height)
    functions = [row("labels").decide(step, False), row("confidence").decide(step, True)]
    return _Code(functions, step.source.height, _WITH_CONFIDENCE)


def _emit_run(module: ir.Module, codes: Sequence[_Code]) -> None:
    run = ir.Function(module, ir.FunctionType(VOID, [POINTER, I32, I32]), "run")
    b = ir.IRBuilder(run.append_basic_block())
    progress = b.load(b.gep(run.args[0], [I64(PROGRESS)], source_etype=POINTER), typ=POINTER)
    for index, code in enumerate(codes):
        taken, done, ended = (
            b.gep(progress, [I64(index * PROGRESS_STRIDE + at)], source_etype=I8) for at in (_TAKEN, _DONE, ENDED_AT)
        )
        take, work, wait, patience, following = (run.append_basic_block(f"step{index}") for _ in range(5))
        b.branch(take)
        b.position_at_end(take)
        row = b.atomic_rmw("add", taken, I32(1), "monotonic")
        b.cbranch(b.icmp_unsigned("<", row, I32(code.rows)), work, wait)

        b.position_at_end(work)
        arguments = [run.args[0], b.zext(row, I64)]
        if code.choice is None:
            b.call(code.functions[0], arguments)
        else:
            with b.if_else(b.icmp_unsigned("!=", run.args[code.choice], I32(0))) as (chosen, usual):
                with chosen:
                    b.call(code.functions[1], arguments)
                with usual:
                    b.call(code.functions[0], arguments)
        b.atomic_rmw("add", done, I32(1), "release")
        b.branch(take)

        b.position_at_end(wait)
        spins = b.phi(I32)
        spins.add_incoming(I32(0), take)
        finished = b.icmp_unsigned("==", b.load_atomic(done, "acquire", 4, typ=I32), I32(code.rows))
        b.cbranch(finished, following, patience)
        b.position_at_end(patience)
        b.call(declare(module, "llvm.x86.sse2.pause", VOID, []), [])
        with b.if_then(b.icmp_unsigned(">", spins, I32(_SPINS))):
            b.call(declare(module, "sched_yield", I32, []), [])
        spins.add_incoming(b.add(spins, I32(1)), b.block)
        b.branch(wait)

        b.position_at_end(following)
        b.store(b.call(declare(module, "llvm.readcyclecounter", I64, []), []), ended, align=8)
    b.ret_void()


class _Row(VectorWriter):
    """Writes a function that computes one row of a step: ``void (void **context, int64 row)``."""

    def __init__(self, module: ir.Module, name: str, unit: VectorUnit) -> None:
        function = ir.Function(module, ir.FunctionType(VOID, [POINTER, I64]), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        super().__init__(function, unit)
        self.row = function.args[1]
        self.arena = self._pointer(ARENA)
        self.constants = self._pointer(CONSTANTS)

    # -- steps

    def normalise(self, step: Normalisation, kind: ir.Type) -> ir.Function:
        """Pixels of uint8 or float32."""
        size, lanes, target = (1 if kind == I8 else 4), self.unit.lanes, step.target
        pixels = self.at(self._pointer(PIXELS), self.b.mul(self.row, I64(target.width * 3 * size)))
        vector = ir.VectorType(kind, lanes)
        with self._tiles(target.width, 1) as x:
            start = self.at(pixels, self.b.mul(x, I64(3 * size)))
            parts = [self.b.load(self.at(start, part * lanes * size), typ=vector, align=1) for part in range(3)]
            for channel, values in enumerate(self.deinterleave(parts)):
                floats = values if kind == F32 else self.b.uitofp(self.b.zext(values, self.words), self.floats)
                gain, bias = (self._constant(step.constants + 8 * channel + at) for at in (0, 4))
                normalised = self.b.bitcast(self.fma(floats, gain, bias), self.words)
                self.store(normalised, self._address(target, self.row, channel, x), target.width)
        return self._finished()

    def convolve(self, step: Convolution) -> ir.Function:
        """The branches of a chain go on with the sums of those before."""
        widest = max(outputs for outputs, _ in step.chains)
        vectors = max(1, min(self.unit.sums // widest, step.width // self.unit.lanes))
        with self._tiles(step.width, vectors) as x:
            for outputs, branches in step.chains:
                for part in _parts(outputs, self.unit.sums // vectors):
                    sums = [self.zero_sum(step.source.element)] * (len(part) * vectors)
                    for branch in branches:
                        sums = self._accumulate(step, branch, outputs, part, sums, x)
                        for vector in range(vectors):
                            column = self.b.add(x, I64(vector * self.unit.lanes))
                            self._finish(sums[vector::vectors], branch.stages, part.start, column)
        return self._finished()

    def double(self, step: TransposedConvolution2x) -> ir.Function:
        """Both pixels of a row that come of one are computed together, since they are stored side by side."""
        with self._tiles(step.source.width, 1) as x:
            for row in range(2):
                out_row, out_column = self._doubled(row, x)
                for part in _parts(step.outputs, self.unit.sums // 2):
                    left, right = self._subpixels(step, step.outputs, row, (0, 1), part, x)
                    self._finish_pairs(left, right, step.stages, part.start, out_row, out_column)
        return self._finished()

    def decide(self, step: ClassifierArgmax, with_confidence: bool) -> ir.Function:
        """The label of each of the four pixels that come of one, while its logits are in registers."""
        with self._tiles(step.source.width, 1) as x:
            for row in range(2):
                out_row, out_column = self._doubled(row, x)
                offset = self.b.add(self.b.mul(out_row, I64(2 * step.source.width)), out_column)
                labels, confidence = [], []
                for column in range(2):
                    logits: List[Any] = []
                    best, label = self.splat(float("-inf")), self.splat_word(0)
                    for part in _parts(step.classes, self.unit.sums):
                        (values,) = self._subpixels(step, step.classes, row, (column,), part, x)
                        best, label = self._better(best, label, values, part.start)
                        logits += values
                    labels.append(label)
                    if with_confidence:
                        confidence.append(self._confidence(logits, best))
                self._store_bytes(LABELS, labels, offset, 2 * step.source.width)
                if with_confidence:
                    self._store_bytes(CONFIDENCE, confidence, offset, 2 * step.source.width)
        return self._finished()

    def _finished(self) -> ir.Function:
        self.b.ret_void()
        return self.function

    # -- sums of products

    def _accumulate(
        self, step: Convolution, branch: Branch, outputs: int, part: range, sums: List[Any], x: Any
    ) -> List[Any]:
        """The sums, (output, vector), and the products of a branch's convolution."""
        source, kernel, stride = step.source, step.kernel, step.stride
        reach, vectors = kernel // 2 * branch.dilation, len(sums) // len(part)
        size = kernel * outputs * WORD
        left = self.b.sub(self.b.mul(x, I64(stride)), I64(reach))
        top = self.b.sub(self.b.mul(self.row, I64(stride)), I64(reach))
        with self.loop(kernel, sums) as (kernel_row, outer):
            row = self.b.add(top, self.b.mul(kernel_row, I64(branch.dilation)))
            pixels = self._address(source, row, 0, left)
            weights = self.at(self.constants, self.b.mul(kernel_row, I64(source.words * size)))
            with self.loop(source.words, outer) as (word, current):
                pixel = self.at(pixels, self.b.mul(word, I64(source.pitch * WORD)))
                weight = self.at(weights, self.b.mul(word, I64(size)))
                for column in range(kernel):
                    shifts = [column * branch.dilation + v * self.unit.lanes * stride for v in range(vectors)]
                    inputs = [self.load(self.at(pixel, shift * WORD), stride) for shift in shifts]
                    for index, output in enumerate(part):
                        factor = self.broadcast(self.at(weight, branch.weights + (column * outputs + output) * WORD))
                        for v in range(vectors):
                            at = index * vectors + v
                            current[at] = self.multiply(source.element, current[at], inputs[v], factor)
            outer[:] = current
        return outer

    def _subpixels(
        self,
        step: Union[TransposedConvolution2x, ClassifierArgmax],
        outputs: int,
        row: int,
        columns: Sequence[int],
        part: range,
        x: Any,
    ) -> List[List[Any]]:
        """Outputs of the transposed convolution, for each of the columns."""
        source = step.source
        sums = [self.zero_sum(source.element)] * (len(columns) * len(part))
        pixels = self._address(source, self.row, 0, x)
        weights = self.at(self.constants, step.weights + row * source.words * 2 * outputs * WORD)
        with self.loop(source.words, sums) as (word, current):
            pixel = self.load(self.at(pixels, self.b.mul(word, I64(source.pitch * WORD))))
            weight = self.at(weights, self.b.mul(word, I64(2 * outputs * WORD)))
            for index, (column, output) in enumerate((column, output) for column in columns for output in part):
                factor = self.broadcast(self.at(weight, (column * outputs + output) * WORD))
                current[index] = self.multiply(source.element, current[index], pixel, factor)
        return [current[start : start + len(part)] for start in range(0, len(current), len(part))]

    # -- what follows the sums

    def _finish(self, values: List[Any], stages: Sequence[Stage], first: int, column: Any) -> None:
        if values[0].type == self.words:
            values = [self.b.sitofp(value, self.floats) for value in values]
        for stage in stages:
            values = self._apply(values, stage, first, self.row, column)
            for store in stage.stores:
                word, words = self._words(values, store, first)
                for index, each in enumerate(words):
                    target = store.place.map
                    self.store(each, self._address(target, self.row, word + index, column), target.width)

    def _finish_pairs(
        self, left: List[Any], right: List[Any], stages: Sequence[Stage], first: int, row: Any, column: Any
    ) -> None:
        for stage in stages:
            left, right = (self._apply(values, stage, first, row, column) for values in (left, right))
            for store in stage.stores:
                (word, left_words), (_, right_words) = (self._words(side, store, first) for side in (left, right))
                for index, pair in enumerate(zip(left_words, right_words)):
                    target = store.place.map
                    address = self._address(target, row, word + index, column)
                    self.store(self.interleave(*pair), address, target.width)

    def _apply(self, values: List[Any], stage: Stage, first: int, row: Any, column: Any) -> List[Any]:
        if stage.constants == NOTHING:
            return values
        added: List[Any] = [None] * len(values)
        for place in stage.residual:
            added = self._load_values(place, first, len(values), row, column)
        constants = [stage.constants + 16 * (first + index) for index in range(len(values))]
        return [self._activate(*each) for each in zip(values, added, constants)]

    def _activate(self, value: Any, residual: Any, constants: int) -> Any:
        bias = self._constant(constants + 8)
        if residual is not None:
            bias = self.fma(residual, self._constant(constants + 4), bias)
        value = self.fma(value, self._constant(constants), bias)
        negative = self.b.fcmp_ordered("<", value, self.splat(0.0))
        return self.b.select(negative, self.b.fmul(value, self._constant(constants + 12)), value)

    def _load_values(self, place: Place, first: int, count: int, row: Any, column: Any) -> List[Any]:
        element, values = place.map.element, []
        word = place.word + first // element.per_word
        for index in range(-(-count // element.per_word)):
            values += self.unpack(element, self.load(self._address(place.map, row, word + index, column)))
        return values[:count]

    def _words(self, values: List[Any], store: Store, first: int) -> Tuple[int, List[Any]]:
        """What a store writes of the values of outputs from ``first`` on: the word it begins with, and the words."""
        start = max(first, store.first)
        chosen = values[start - first : max(0, store.first + store.count - first)]
        done, element = start - store.first, store.place.map.element
        if store.constants != NOTHING:
            constants = [store.constants + 8 * (done + index) for index in range(len(chosen))]
            chosen = [
                self.fma(value, self._constant(at), self._constant(at + 4)) for value, at in zip(chosen, constants)
            ]
        return store.place.word + done // element.per_word, self.pack(element, chosen)

    # -- decisions

    def _better(self, best: Any, label: Any, logits: List[Any], first: int) -> Tuple[Any, Any]:
        """The largest logit and its class, the first of several; ``first`` is the class of the first logit here."""
        for index, logit in enumerate(logits, first):
            better = self.b.fcmp_ordered(">", logit, best)
            best = self.b.select(better, logit, best)
            label = self.b.select(better, self.splat_word(index), label)
        return best, label

    def _confidence(self, logits: List[Any], best: Any) -> Any:
        """As ``model.graph.softmax_confidence``."""
        total: Any = self.splat(0.0)
        for logit in logits:
            total = self.b.fadd(total, self.exp(self.b.fsub(logit, best)))
        return self.b.fptoui(self.b.fadd(self.b.fdiv(self.splat(255.0), total), self.splat(0.5)), self.words)

    def _store_bytes(self, target: int, columns: Sequence[Any], offset: Any, width: int) -> None:
        narrow = ir.VectorType(I8, self.unit.lanes)
        both = self.interleave(*(self.b.trunc(values, narrow) for values in columns))
        self.store(both, self.at(self._pointer(target), offset), width)

    # -- addresses

    def _pointer(self, index: int) -> Any:
        return self.b.load(self.b.gep(self.function.args[0], [I64(index)], source_etype=POINTER), typ=POINTER)

    def _constant(self, offset: int) -> Any:
        return self.broadcast_float(self.at(self.constants, offset))

    def _address(self, target: FeatureMap, row: Any, word: int, column: Any) -> Any:
        rows = self.b.mul(self.b.add(row, I64(target.border)), I64(target.words * target.pitch * WORD))
        offset = self.b.add(rows, self.b.mul(column, I64(WORD)))
        return self.at(self.at(self.arena, offset), target.offset + (word * target.pitch + SIDE) * WORD)

    def _doubled(self, row: int, x: Any) -> Tuple[Any, Any]:
        """Row and first column of what a transposed convolution makes of a tile."""
        return self.b.add(self.b.mul(self.row, I64(2)), I64(row)), self.b.mul(x, I64(2))

    @contextmanager
    def _tiles(self, width: int, vectors: int) -> Iterator[Any]:
        """The first columns of tiles that cover a row; the last overlaps the one before where it does not fit."""
        size = vectors * self.unit.lanes
        with self.loop(-(-width // size)) as (tile, _):
            start, last = self.b.mul(tile, I64(size)), I64(width - size)
            yield self.b.select(self.b.icmp_unsigned("<", start, last), start, last)


def _parts(outputs: int, most: int) -> List[range]:
    """Outputs in parts of at most ``most``, about equal, each but the last of whole words of any element."""
    words = -(-outputs // INT8.per_word)
    count = -(-words // max(1, most // INT8.per_word))
    bounds = [index * words // count * INT8.per_word for index in range(count)]
    return [range(start, end) for start, end in zip(bounds, [*bounds[1:], outputs])]
