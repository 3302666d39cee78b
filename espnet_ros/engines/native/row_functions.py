"""Writes the LLVM IR function that computes one row of a step's output."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, Sequence, Tuple, Union

from llvmlite import ir

from espnet_ros.engines.native.program import (
    INT8,
    NO_CONSTANTS,
    SIDE_PADDING,
    WORD,
    Branch,
    ClassifierArgmax,
    Convolution,
    FeatureMap,
    MapSlice,
    Normalisation,
    Stage,
    Store,
    TransposedConvolution2x,
    word_count,
)
from espnet_ros.engines.native.vectors import F32, I8, I64, POINTER, VOID, VectorUnit, VectorWriter

ARENA, CONSTANTS, PIXELS, LABELS, CONFIDENCE, PROGRESS = range(6)
"""Indices of the pointers in the context that the machine code receives."""


class RowFunctionWriter(VectorWriter):
    """Writes one function ``void (void **context, int64 row)``. Call exactly one of the step methods.

    Args:
        module: module to add the function to.
        name: name of the function.
        unit: vector unit to write for.
    """

    def __init__(self, module: ir.Module, name: str, unit: VectorUnit) -> None:
        function = ir.Function(module, ir.FunctionType(VOID, [POINTER, I64]), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        super().__init__(function, unit)
        self.row = function.args[1]
        self.arena = self._context_pointer(ARENA)
        self.constants = self._context_pointer(CONSTANTS)

    # -- steps

    def normalise(self, step: Normalisation, kind: ir.Type) -> ir.Function:
        """Write a normalisation of pixels of type ``kind``: uint8 (``I8``) or float32 (``F32``)."""
        size, lanes, target = (1 if kind == I8 else 4), self.unit.lanes, step.target
        pixels = self.offset(self._context_pointer(PIXELS), self.b.mul(self.row, I64(target.width * 3 * size)))
        vector = ir.VectorType(kind, lanes)
        with self._tiles(target.width, 1) as x:
            start = self.offset(pixels, self.b.mul(x, I64(3 * size)))
            parts = [self.b.load(self.offset(start, part * lanes * size), typ=vector, align=1) for part in range(3)]
            for channel, values in enumerate(self.deinterleave(parts)):
                floats = values if kind == F32 else self.b.uitofp(self.b.zext(values, self.words), self.floats)
                gain, bias = (self._constant(step.constants + 8 * channel + at) for at in (0, 4))
                normalised = self.b.bitcast(self.fma(floats, gain, bias), self.words)
                self.store(normalised, self._address(target, self.row, channel, x), target.width)
        return self._return()

    def convolve(self, step: Convolution) -> ir.Function:
        """Write chains of convolutions; each branch continues with the sums of the branches before it."""
        widest = max(outputs for outputs, _ in step.chains)
        vectors = max(1, min(self.unit.accumulators // widest, step.width // self.unit.lanes))
        with self._tiles(step.width, vectors) as x:
            for outputs, branches in step.chains:
                for part in _split_outputs(outputs, self.unit.accumulators // vectors):
                    sums = [self.zero_accumulator(step.source.element)] * (len(part) * vectors)
                    for branch in branches:
                        sums = self._accumulate(step, branch, outputs, part, sums, x)
                        for vector in range(vectors):
                            column = self.b.add(x, I64(vector * self.unit.lanes))
                            self._apply_stages(sums[vector::vectors], branch.stages, part.start, column)
        return self._return()

    def upsample_2x(self, step: TransposedConvolution2x) -> ir.Function:
        """Write a transposed convolution. Neighbouring output columns are computed together and stored interleaved."""
        with self._tiles(step.source.width, 1) as x:
            for row in range(2):
                out_row, out_column = self._upsampled_position(row, x)
                for part in _split_outputs(step.outputs, self.unit.accumulators // 2):
                    left, right = self._accumulate_subpixels(step, step.outputs, row, (0, 1), part, x)
                    self._apply_stages_to_pairs(left, right, step.stages, part.start, out_row, out_column)
        return self._return()

    def classify(self, step: ClassifierArgmax, with_confidence: bool) -> ir.Function:
        """Write the last layer and the argmax, which is taken while the logits are in registers."""
        with self._tiles(step.source.width, 1) as x:
            for row in range(2):
                out_row, out_column = self._upsampled_position(row, x)
                position = self.b.add(self.b.mul(out_row, I64(2 * step.source.width)), out_column)
                labels, confidence = [], []
                for column in range(2):
                    logits: List[Any] = []
                    best, label = self.splat(float("-inf")), self.splat_int(0)
                    for part in _split_outputs(step.classes, self.unit.accumulators):
                        (values,) = self._accumulate_subpixels(step, step.classes, row, (column,), part, x)
                        best, label = self._update_argmax(best, label, values, part.start)
                        logits += values
                    labels.append(label)
                    if with_confidence:
                        confidence.append(self._confidence(logits, best))
                self._store_bytes(LABELS, labels, position, 2 * step.source.width)
                if with_confidence:
                    self._store_bytes(CONFIDENCE, confidence, position, 2 * step.source.width)
        return self._return()

    def _return(self) -> ir.Function:
        self.b.ret_void()
        return self.function

    # -- sums of products

    def _accumulate(
        self, step: Convolution, branch: Branch, outputs: int, part: range, sums: List[Any], x: Any
    ) -> List[Any]:
        """Add a branch's products to ``sums``, which are in the order output, vector."""
        source, kernel, stride = step.source, step.kernel, step.stride
        radius, vectors = kernel // 2 * branch.dilation, len(sums) // len(part)
        size = kernel * outputs * WORD
        left = self.b.sub(self.b.mul(x, I64(stride)), I64(radius))
        top = self.b.sub(self.b.mul(self.row, I64(stride)), I64(radius))
        with self.loop(kernel, sums) as (kernel_row, outer):
            row = self.b.add(top, self.b.mul(kernel_row, I64(branch.dilation)))
            pixels = self._address(source, row, 0, left)
            weights = self.offset(self.constants, self.b.mul(kernel_row, I64(source.words * size)))
            with self.loop(source.words, outer) as (word, current):
                pixel = self.offset(pixels, self.b.mul(word, I64(source.pitch * WORD)))
                weight = self.offset(weights, self.b.mul(word, I64(size)))
                for column in range(kernel):
                    shifts = [column * branch.dilation + v * self.unit.lanes * stride for v in range(vectors)]
                    inputs = [self.load(self.offset(pixel, shift * WORD), stride) for shift in shifts]
                    for index, output in enumerate(part):
                        at = branch.weights + (column * outputs + output) * WORD
                        factor = self.broadcast(self.offset(weight, at))
                        for v in range(vectors):
                            slot = index * vectors + v
                            current[slot] = self.dot_accumulate(source.element, current[slot], inputs[v], factor)
            outer[:] = current
        return outer

    def _accumulate_subpixels(
        self,
        step: Union[TransposedConvolution2x, ClassifierArgmax],
        outputs: int,
        row: int,
        columns: Sequence[int],
        part: range,
        x: Any,
    ) -> List[List[Any]]:
        """Return the sums of a transposed convolution: for each of ``columns``, those of the outputs in ``part``."""
        source = step.source
        sums = [self.zero_accumulator(source.element)] * (len(columns) * len(part))
        pixels = self._address(source, self.row, 0, x)
        weights = self.offset(self.constants, step.weights + row * source.words * 2 * outputs * WORD)
        with self.loop(source.words, sums) as (word, current):
            pixel = self.load(self.offset(pixels, self.b.mul(word, I64(source.pitch * WORD))))
            weight = self.offset(weights, self.b.mul(word, I64(2 * outputs * WORD)))
            for index, (column, output) in enumerate((column, output) for column in columns for output in part):
                factor = self.broadcast(self.offset(weight, (column * outputs + output) * WORD))
                current[index] = self.dot_accumulate(source.element, current[index], pixel, factor)
        return [current[start : start + len(part)] for start in range(0, len(current), len(part))]

    # -- epilogue

    def _apply_stages(self, values: List[Any], stages: Sequence[Stage], first: int, column: Any) -> None:
        """Apply an epilogue to the outputs from ``first`` on, for the pixels from ``column`` on."""
        if values[0].type == self.words:
            values = [self.b.sitofp(value, self.floats) for value in values]
        for stage in stages:
            values = self._apply_activation(values, stage, first, self.row, column)
            for store in stage.stores:
                word, words = self._words_to_store(values, store, first)
                for index, each in enumerate(words):
                    target = store.target.map
                    self.store(each, self._address(target, self.row, word + index, column), target.width)

    def _apply_stages_to_pairs(
        self, left: List[Any], right: List[Any], stages: Sequence[Stage], first: int, row: Any, column: Any
    ) -> None:
        """Apply an epilogue to the even (``left``) and odd columns of an upsampled row."""
        for stage in stages:
            left, right = (self._apply_activation(values, stage, first, row, column) for values in (left, right))
            for store in stage.stores:
                (word, left_words), (_, right_words) = (
                    self._words_to_store(side, store, first) for side in (left, right)
                )
                for index, pair in enumerate(zip(left_words, right_words)):
                    target = store.target.map
                    address = self._address(target, row, word + index, column)
                    self.store(self.interleave(*pair), address, target.width)

    def _apply_activation(self, values: List[Any], stage: Stage, first: int, row: Any, column: Any) -> List[Any]:
        if stage.constants == NO_CONSTANTS:
            return values
        residuals: List[Any] = [None] * len(values)
        for source in stage.residual:
            residuals = self._load_values(source, first, len(values), row, column)
        constants = [stage.constants + 16 * (first + index) for index in range(len(values))]
        return [self._activate(*each) for each in zip(values, residuals, constants)]

    def _activate(self, value: Any, residual: Any, constants: int) -> Any:
        bias = self._constant(constants + 8)
        if residual is not None:
            bias = self.fma(residual, self._constant(constants + 4), bias)
        value = self.fma(value, self._constant(constants), bias)
        negative = self.b.fcmp_ordered("<", value, self.splat(0.0))
        return self.b.select(negative, self.b.fmul(value, self._constant(constants + 12)), value)

    def _load_values(self, source: MapSlice, first: int, count: int, row: Any, column: Any) -> List[Any]:
        """Load ``count`` channels, from channel ``first`` of the slice on, as fp32 vectors."""
        element, values = source.map.element, []
        word = source.word + first // element.per_word
        for index in range(word_count(count, element)):
            values += self.unpack(element, self.load(self._address(source.map, row, word + index, column)))
        return values[:count]

    def _words_to_store(self, values: List[Any], store: Store, first: int) -> Tuple[int, List[Any]]:
        """Pack those of ``values``, the outputs from ``first`` on, that ``store`` covers.

        Returns:
            The index of the first word to write, and the words.
        """
        start = max(first, store.first)
        chosen = values[start - first : max(0, store.first + store.count - first)]
        skipped, element = start - store.first, store.target.map.element
        if store.constants != NO_CONSTANTS:
            constants = [store.constants + 8 * (skipped + index) for index in range(len(chosen))]
            chosen = [
                self.fma(value, self._constant(at), self._constant(at + 4)) for value, at in zip(chosen, constants)
            ]
        return store.target.word + skipped // element.per_word, self.pack(element, chosen)

    # -- labels and confidence

    def _update_argmax(self, best: Any, label: Any, logits: List[Any], first: int) -> Tuple[Any, Any]:
        """Update the largest logit and its class with the classes from ``first`` on; ties keep the lower class."""
        for index, logit in enumerate(logits, first):
            better = self.b.fcmp_ordered(">", logit, best)
            best = self.b.select(better, logit, best)
            label = self.b.select(better, self.splat_int(index), label)
        return best, label

    def _confidence(self, logits: List[Any], best: Any) -> Any:
        """Compute the same as ``model.graph.softmax_confidence``."""
        total: Any = self.splat(0.0)
        for logit in logits:
            total = self.b.fadd(total, self.exp(self.b.fsub(logit, best)))
        return self.b.fptoui(self.b.fadd(self.b.fdiv(self.splat(255.0), total), self.splat(0.5)), self.words)

    def _store_bytes(self, target: int, columns: Sequence[Any], position: Any, width: int) -> None:
        """Store the even and odd columns of an upsampled row as bytes."""
        narrow = ir.VectorType(I8, self.unit.lanes)
        both = self.interleave(*(self.b.trunc(values, narrow) for values in columns))
        self.store(both, self.offset(self._context_pointer(target), position), width)

    # -- addresses

    def _context_pointer(self, index: int) -> Any:
        return self.b.load(self.b.gep(self.function.args[0], [I64(index)], source_etype=POINTER), typ=POINTER)

    def _constant(self, offset: int) -> Any:
        return self.broadcast_float(self.offset(self.constants, offset))

    def _address(self, target: FeatureMap, row: Any, word: int, column: Any) -> Any:
        rows = self.b.mul(self.b.add(row, I64(target.border)), I64(target.words * target.pitch * WORD))
        position = self.b.add(rows, self.b.mul(column, I64(WORD)))
        word_offset = target.offset + (word * target.pitch + SIDE_PADDING) * WORD
        return self.offset(self.offset(self.arena, position), word_offset)

    def _upsampled_position(self, row: int, x: Any) -> Tuple[Any, Any]:
        """Return the output row, and the first output column, for row 0 or 1 of the upsampled tile at ``x``."""
        return self.b.add(self.b.mul(self.row, I64(2)), I64(row)), self.b.mul(x, I64(2))

    @contextmanager
    def _tiles(self, width: int, vectors: int) -> Iterator[Any]:
        """Loop over the first columns of tiles that cover a row. If they do not fit exactly, the last two overlap."""
        size = vectors * self.unit.lanes
        with self.loop(-(-width // size)) as (tile, _):
            start, last = self.b.mul(tile, I64(size)), I64(width - size)
            yield self.b.select(self.b.icmp_unsigned("<", start, last), start, last)


def _split_outputs(outputs: int, most: int) -> List[range]:
    """Split outputs into similar parts of at most ``most``. All but the last fill whole words in any element type."""
    words = word_count(outputs, INT8)
    count = -(-words // max(1, most // INT8.per_word))
    bounds = [index * words // count * INT8.per_word for index in range(count)]
    return [range(start, end) for start, end in zip(bounds, [*bounds[1:], outputs])]
