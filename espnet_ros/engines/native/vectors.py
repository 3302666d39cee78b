"""Writes vector instructions as LLVM IR, for the vector units that code can be generated for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from llvmlite import ir

from espnet_ros.engines.native.program import BF16, FP32, INT8, WORD, ElementType

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32 = ir.FloatType()
POINTER = ir.PointerType()
VOID = ir.VoidType()
_CURRENT_ROUNDING = 4
"""_MM_FROUND_CUR_DIRECTION: round as the processor is set to, which is to nearest, ties to even."""


class VectorUnit(NamedTuple):
    """A processor's vector unit.

    Attributes:
        name: display name.
        lanes: 32-bit lanes of a register; each lane holds one word of one pixel.
        accumulators: registers to use for sums, leaving enough for the factors.
        flags: /proc/cpuinfo flags that it requires.
        bf16, int8: flags of which one is required to multiply pairs of bf16 values, or groups of four int8 values.
    """

    name: str
    lanes: int
    accumulators: int
    flags: Tuple[str, ...]
    bf16: Tuple[str, ...]
    int8: Tuple[str, ...]

    def has_any(self, required: Sequence[str], flags: Sequence[str]) -> bool:
        """Return whether a processor with ``flags`` has at least one of the required ones."""
        return not set(required).isdisjoint(flags)


AVX512 = VectorUnit(
    "AVX-512", 16, 28, ("avx512f", "avx512bw", "avx512dq", "avx512vl"), ("avx512_bf16",), ("avx512_vnni",)
)
AVX2 = VectorUnit("AVX2", 8, 12, ("avx2", "fma"), (), ("avx_vnni",))


def choose_unit(flags: Sequence[str]) -> Optional[VectorUnit]:
    """Return the widest unit of a processor with these flags, or None if none is supported."""
    return next((unit for unit in (AVX512, AVX2) if set(unit.flags) <= set(flags)), None)


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat type, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


class VectorWriter:
    """Appends instructions to a function.

    Args:
        function: a function without blocks.
        unit: vector unit to write for.
    """

    def __init__(self, function: ir.Function, unit: VectorUnit) -> None:
        self.function = function
        self.unit = unit
        self.b = ir.IRBuilder(function.append_basic_block())
        lanes = unit.lanes
        self.floats = ir.VectorType(F32, lanes)
        self.words = ir.VectorType(I32, lanes)
        self.halves = ir.VectorType(I16, 2 * lanes)
        self.bytes = ir.VectorType(I8, 4 * lanes)
        self.bfloats = ir.VectorType(_BFloat(), 2 * lanes)

    # -- arithmetic

    def splat(self, value: float) -> Any:
        """Return a float constant in all lanes."""
        return ir.Constant(self.floats, [value] * self.unit.lanes)

    def splat_int(self, value: int) -> Any:
        """Return an int32 constant in all lanes."""
        return ir.Constant(self.words, [value] * self.unit.lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Compute ``a * b + c`` in fp32."""
        return self.call(f"llvm.fma.v{self.unit.lanes}f32", self.floats, [a, b, c])

    def dot_accumulate(self, element: ElementType, total: Any, pixels: Any, weights: Any) -> Any:
        """Add to each lane of ``total`` the dot product of a word of channels and a word of weights."""
        b, bits = self.b, 32 * self.unit.lanes
        if element == FP32:
            return self.fma(b.bitcast(pixels, self.floats), b.bitcast(weights, self.floats), total)
        # LLVM 21 and newer take int8 vectors, and accept the int32 vectors that older versions require
        kind = {BF16: self.bfloats, INT8: self.words}[element]
        name = {BF16: f"llvm.x86.avx512bf16.dpbf16ps.{bits}", INT8: f"llvm.x86.avx512.vpdpbusd.{bits}"}[element]
        return self.call(name, total.type, [total, b.bitcast(pixels, kind), b.bitcast(weights, kind)])

    def zero_accumulator(self, element: ElementType) -> Any:
        """Return the initial value of a sum: int32 for int8, otherwise fp32."""
        return ir.Constant(self.words if element == INT8 else self.floats, None)

    def exp(self, value: Any) -> Any:
        """Compute the exponential of non-positive values to a relative accuracy of 1e-6.

        The argument is split into a power of 2 and a remainder of at most ``ln(2) / 2``, whose exponential is a Taylor
        series.
        """
        scaled = self.b.fmul(value, self.splat(1.4426950408889634))
        scaled = self.b.select(self.b.fcmp_ordered(">", scaled, self.splat(-126.0)), scaled, self.splat(-126.0))
        whole = self.call(f"llvm.rint.v{self.unit.lanes}f32", self.floats, [scaled])
        part = self.b.fmul(self.b.fsub(scaled, whole), self.splat(0.6931471805599453))
        power: Any = self.splat(1 / 720)
        for divisor in (120, 24, 6, 2, 1, 1):
            power = self.fma(power, part, self.splat(1 / divisor))
        exponent = self.b.add(self.b.fptosi(whole, self.words), self.splat_int(127))
        return self.b.fmul(power, self.b.bitcast(self.b.shl(exponent, self.splat_int(23)), self.floats))

    # -- words of channels

    def unpack(self, element: ElementType, words: Any) -> List[Any]:
        """Unpack a vector of words to one fp32 vector per channel. Supports fp32 and bf16."""
        if element == FP32:
            return [self.b.bitcast(words, self.floats)]
        low, high = self.b.shl(words, self.splat_int(16)), self.b.and_(words, self.splat_int(0xFFFF0000))
        return [self.b.bitcast(half, self.floats) for half in (low, high)]

    def pack(self, element: ElementType, values: Sequence[Any]) -> List[Any]:
        """Pack fp32 vectors, one per channel, to vectors of words; the last word is filled up with zeros.

        For int8, values must be in quantisation steps; they are rounded and saturated.
        """
        missing = [ir.Constant(self.floats, None)] * (-len(values) % element.per_word)
        filled = [*values, *missing]
        if element == FP32:
            return [self.b.bitcast(value, self.words) for value in filled]
        pack_word = self._pack_bf16 if element == BF16 else self._pack_int8
        size = element.per_word
        return [pack_word(filled[index : index + size]) for index in range(0, len(filled), size)]

    def _pack_bf16(self, values: Sequence[Any]) -> Any:
        lanes, low, high = self.unit.lanes, *values
        both = self.call(f"llvm.x86.avx512bf16.cvtne2ps2bf16.{32 * lanes}", self.bfloats, [high, low])
        both = self.b.bitcast(both, self.halves)
        return self.b.bitcast(self.shuffle(both, both, _interleaved(2 * lanes)), self.words)

    def _pack_int8(self, values: Sequence[Any]) -> Any:
        rounded = [self._round_to_int(value) for value in values]
        prefix = "llvm.x86.avx512.{}.512" if self.unit == AVX512 else "llvm.x86.avx2.{}"
        low, high = (self.call(prefix.format("packssdw"), self.halves, rounded[at : at + 2]) for at in (0, 2))
        packed = self.call(prefix.format("packuswb"), self.bytes, [low, high])
        # both instructions work on blocks of 16 bytes, each of which now holds four pixels of each channel
        blocks = range(self.unit.lanes // 4)
        lanes = [16 * block + 4 * channel + pixel for block in blocks for pixel in range(4) for channel in range(4)]
        return self.b.bitcast(self.shuffle(packed, packed, lanes), self.words)

    def _round_to_int(self, value: Any) -> Any:
        if self.unit != AVX512:
            return self.call("llvm.x86.avx.cvt.ps2dq.256", self.words, [value])
        unmasked = [ir.Constant(self.words, None), I16(-1), I32(_CURRENT_ROUNDING)]
        return self.call("llvm.x86.avx512.mask.cvtps2dq.512", self.words, [value, *unmasked])

    # -- memory

    def offset(self, base: Any, size: Any) -> Any:
        """Return the address ``size`` bytes after ``base``."""
        return self.b.gep(base, [I64(size) if isinstance(size, int) else size], source_etype=I8)

    def load(self, address: Any, stride: int = 1) -> Any:
        """Load a word of each of the next pixels, or, with stride 2, of every second pixel."""
        first = self.b.load(address, typ=self.words, align=4)
        if stride == 1:
            return first
        second = self.b.load(self.offset(address, self.unit.lanes * WORD), typ=self.words, align=4)
        return self.shuffle(first, second, list(range(0, 2 * self.unit.lanes, 2)))

    def store(self, vector: Any, address: Any, count: int) -> None:
        """Store the first ``count`` lanes, or all if there are fewer."""
        if count < vector.type.count:
            vector = self.shuffle(vector, vector, list(range(count)))
        self.b.store(vector, address, align=vector.type.element.width // 8)

    def broadcast(self, address: Any) -> Any:
        """Load one word into all lanes."""
        word = self.b.load(address, typ=I32, align=4)
        single = self.b.insert_element(ir.Constant(self.words, ir.Undefined), word, I32(0))
        return self.b.shuffle_vector(single, single, ir.Constant(self.words, None))

    def broadcast_float(self, address: Any) -> Any:
        """Load one float into all lanes."""
        return self.b.bitcast(self.broadcast(address), self.floats)

    def interleave(self, left: Any, right: Any) -> Any:
        """Interleave the lanes of two vectors into one of twice the length."""
        return self.shuffle(left, right, _interleaved(2 * self.unit.lanes))

    def deinterleave(self, parts: Sequence[Any]) -> List[Any]:
        """Split three vectors of three-channel pixels into one vector per channel."""
        lanes = self.unit.lanes
        first = self.shuffle(parts[0], parts[1], list(range(2 * lanes)))
        last = self.shuffle(parts[2], parts[2], list(range(2 * lanes)))
        return [self.shuffle(first, last, [3 * pixel + channel for pixel in range(lanes)]) for channel in range(3)]

    def shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        """Select lanes of the concatenation of ``a`` and ``b``."""
        return self.b.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))

    # -- control flow

    def call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """Call an intrinsic or a function of the C library."""
        return self.b.call(declare(self.function.module, name, result, [each.type for each in arguments]), arguments)

    @contextmanager
    def loop(self, count: int, carried: Sequence[Any] = ()) -> Iterator[Tuple[Any, List[Any]]]:
        """Write a loop of ``count`` iterations, at least one.

        Args:
            count: number of iterations.
            carried: initial values of the variables that the iterations update.

        Yields:
            The index, and the list of variables. The body replaces the entries of the list; after the loop, they are
            the final values.
        """
        before = self.b.block
        body, after = (self.function.append_basic_block(name) for name in ("body", "after"))
        self.b.branch(body)
        self.b.position_at_end(body)
        index = self.b.phi(I64)
        phis = [self.b.phi(value.type) for value in carried]
        index.add_incoming(I64(0), before)
        for phi, value in zip(phis, carried):
            phi.add_incoming(value, before)
        current: List[Any] = list(phis)
        yield index, current
        following = self.b.add(index, I64(1))
        end = self.b.block
        index.add_incoming(following, end)
        for phi, value in zip(phis, current):
            phi.add_incoming(value, end)
        self.b.cbranch(self.b.icmp_unsigned("<", following, I64(count)), body, after)
        self.b.position_at_end(after)


def declare(module: ir.Module, name: str, result: Any, arguments: Sequence[Any]) -> ir.Function:
    """Return the function with this name; declare it if the module does not have it yet."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def _interleaved(count: int) -> List[int]:
    """Return the lanes 0, n, 1, n + 1, ... that interleave two halves of n = ``count`` / 2 lanes."""
    return [lane // 2 + count // 2 * (lane % 2) for lane in range(count)]
