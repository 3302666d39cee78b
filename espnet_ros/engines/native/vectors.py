"""Vector instructions as LLVM IR, for the units that the code can be written for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from llvmlite import ir

from espnet_ros.engines.native.program import BF16, FP32, INT8, WORD, Element

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32 = ir.FloatType()
POINTER = ir.PointerType()
VOID = ir.VoidType()
_NEAREST = 4
"""Rounding as the processor is set to: to the nearest, ties to even."""


class VectorUnit(NamedTuple):
    """What a processor computes with.

    Attributes:
        name: for people.
        lanes: 32-bit words of a register, each a pixel.
        sums: registers that sums may take, so that enough are left for what is multiplied.
        flags: of /proc/cpuinfo that it needs.
        bf16, int8: flags one of which it needs to multiply pairs of bf16, or fours of int8.
    """

    name: str
    lanes: int
    sums: int
    flags: Tuple[str, ...]
    bf16: Tuple[str, ...]
    int8: Tuple[str, ...]

    def has(self, needed: Sequence[str], flags: Sequence[str]) -> bool:
        """Whether a processor has one of the flags that something needs."""
        return not set(needed).isdisjoint(flags)


AVX512 = VectorUnit(
    "AVX-512", 16, 28, ("avx512f", "avx512bw", "avx512dq", "avx512vl"), ("avx512_bf16",), ("avx512_vnni",)
)
AVX2 = VectorUnit("AVX2", 8, 12, ("avx2", "fma"), (), ("avx_vnni",))


def choose_unit(flags: Sequence[str]) -> Optional[VectorUnit]:
    """The widest unit that a processor with these flags has; None where it has none."""
    return next((unit for unit in (AVX512, AVX2) if set(unit.flags) <= set(flags)), None)


class _BFloat(ir.Type):  # type: ignore[misc]
    """bfloat, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


class VectorWriter:
    """Appends instructions to a function.

    Args:
        function: which has no block yet.
        unit: whose vectors it computes with.
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
        """A constant in all lanes."""
        return ir.Constant(self.floats, [value] * self.unit.lanes)

    def splat_word(self, value: int) -> Any:
        """A constant in all lanes."""
        return ir.Constant(self.words, [value] * self.unit.lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``."""
        return self.call(f"llvm.fma.v{self.unit.lanes}f32", self.floats, [a, b, c])

    def multiply(self, element: Element, total: Any, pixels: Any, weights: Any) -> Any:
        """``total`` and, for each pixel, the products of a word of channels with a word of weights."""
        b, bits = self.b, 32 * self.unit.lanes
        if element == FP32:
            return self.fma(b.bitcast(pixels, self.floats), b.bitcast(weights, self.floats), total)
        kind = {BF16: self.bfloats, INT8: self.bytes}[element]
        name = {BF16: f"llvm.x86.avx512bf16.dpbf16ps.{bits}", INT8: f"llvm.x86.avx512.vpdpbusd.{bits}"}[element]
        return self.call(name, total.type, [total, b.bitcast(pixels, kind), b.bitcast(weights, kind)])

    def zero_sum(self, element: Element) -> Any:
        """What sums of products start from."""
        return ir.Constant(self.words if element == INT8 else self.floats, None)

    def exp(self, value: Any) -> Any:
        """Of what is not positive: a power of 2 times the exponential series up to ``ln(2) / 2``, to 1e-6."""
        scaled = self.b.fmul(value, self.splat(1.4426950408889634))
        scaled = self.b.select(self.b.fcmp_ordered(">", scaled, self.splat(-126.0)), scaled, self.splat(-126.0))
        whole = self.call(f"llvm.rint.v{self.unit.lanes}f32", self.floats, [scaled])
        part = self.b.fmul(self.b.fsub(scaled, whole), self.splat(0.6931471805599453))
        power: Any = self.splat(1 / 720)
        for divisor in (120, 24, 6, 2, 1, 1):
            power = self.fma(power, part, self.splat(1 / divisor))
        exponent = self.b.add(self.b.fptosi(whole, self.words), self.splat_word(127))
        return self.b.fmul(power, self.b.bitcast(self.b.shl(exponent, self.splat_word(23)), self.floats))

    # -- words of channels

    def unpack(self, element: Element, words: Any) -> List[Any]:
        """The channels of words in fp32 or bf16."""
        if element == FP32:
            return [self.b.bitcast(words, self.floats)]
        low, high = self.b.shl(words, self.splat_word(16)), self.b.and_(words, self.splat_word(0xFFFF0000))
        return [self.b.bitcast(half, self.floats) for half in (low, high)]

    def pack(self, element: Element, values: Sequence[Any]) -> List[Any]:
        """Channels to words, the last filled up with zeros. For int8 they are steps, which are rounded."""
        missing = [ir.Constant(self.floats, None)] * (-len(values) % element.per_word)
        filled = [*values, *missing]
        if element == FP32:
            return [self.b.bitcast(value, self.words) for value in filled]
        one_word = self._pack_bf16 if element == BF16 else self._pack_int8
        size = element.per_word
        return [one_word(filled[index : index + size]) for index in range(0, len(filled), size)]

    def _pack_bf16(self, values: Sequence[Any]) -> Any:
        lanes, low, high = self.unit.lanes, *values
        both = self.call(f"llvm.x86.avx512bf16.cvtne2ps2bf16.{32 * lanes}", self.bfloats, [high, low])
        both = self.b.bitcast(both, self.halves)
        return self.b.bitcast(self.shuffle(both, both, _alternate(2 * lanes)), self.words)

    def _pack_int8(self, values: Sequence[Any]) -> Any:
        steps = [self._round(value) for value in values]
        prefix = "llvm.x86.avx512.{}.512" if self.unit == AVX512 else "llvm.x86.avx2.{}"
        low, high = (self.call(prefix.format("packssdw"), self.halves, steps[at : at + 2]) for at in (0, 2))
        packed = self.call(prefix.format("packuswb"), self.bytes, [low, high])
        # both instructions work within 16 bytes, which now hold four pixels of each channel
        blocks = range(self.unit.lanes // 4)
        lanes = [16 * block + 4 * channel + pixel for block in blocks for pixel in range(4) for channel in range(4)]
        return self.b.bitcast(self.shuffle(packed, packed, lanes), self.words)

    def _round(self, value: Any) -> Any:
        if self.unit != AVX512:
            return self.call("llvm.x86.avx.cvt.ps2dq.256", self.words, [value])
        unmasked = [ir.Constant(self.words, None), I16(-1), I32(_NEAREST)]
        return self.call("llvm.x86.avx512.mask.cvtps2dq.512", self.words, [value, *unmasked])

    # -- memory

    def at(self, base: Any, offset: Any) -> Any:
        """The address some bytes on."""
        return self.b.gep(base, [I64(offset) if isinstance(offset, int) else offset], source_etype=I8)

    def load(self, address: Any, stride: int = 1) -> Any:
        """Words of neighbouring pixels, or of every second one."""
        first = self.b.load(address, typ=self.words, align=4)
        if stride == 1:
            return first
        second = self.b.load(self.at(address, self.unit.lanes * WORD), typ=self.words, align=4)
        return self.shuffle(first, second, list(range(0, 2 * self.unit.lanes, 2)))

    def store(self, vector: Any, address: Any, count: int) -> None:
        """Write ``count`` lanes, or all where there are fewer."""
        if count < vector.type.count:
            vector = self.shuffle(vector, vector, list(range(count)))
        self.b.store(vector, address, align=vector.type.element.width // 8)

    def broadcast(self, address: Any) -> Any:
        """One word in all lanes."""
        word = self.b.load(address, typ=I32, align=4)
        single = self.b.insert_element(ir.Constant(self.words, ir.Undefined), word, I32(0))
        return self.b.shuffle_vector(single, single, ir.Constant(self.words, None))

    def broadcast_float(self, address: Any) -> Any:
        """One float in all lanes."""
        return self.b.bitcast(self.broadcast(address), self.floats)

    def interleave(self, left: Any, right: Any) -> Any:
        """The lanes of two vectors by turns, in one of twice the length."""
        return self.shuffle(left, right, _alternate(2 * self.unit.lanes))

    def deinterleave(self, parts: Sequence[Any]) -> List[Any]:
        """Three vectors of values by threes to a vector of the first ones, of the second and of the third."""
        lanes = self.unit.lanes
        first = self.shuffle(parts[0], parts[1], list(range(2 * lanes)))
        last = self.shuffle(parts[2], parts[2], list(range(2 * lanes)))
        return [self.shuffle(first, last, [3 * pixel + channel for pixel in range(lanes)]) for channel in range(3)]

    def shuffle(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        """Lanes of both, counted through."""
        return self.b.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))

    # -- control

    def call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """Call an intrinsic or a function of the C library."""
        return self.b.call(declare(self.function.module, name, result, [each.type for each in arguments]), arguments)

    @contextmanager
    def loop(self, count: int, carried: Sequence[Any] = ()) -> Iterator[Tuple[Any, List[Any]]]:
        """``count`` times: the index, and a list of values that the body replaces; afterwards it holds the last."""
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
    """A function of that name, declared once."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def _alternate(count: int) -> List[int]:
    """0, n, 1, n + 1, ...: the lanes of two halves by turns."""
    return [lane // 2 + count // 2 * (lane % 2) for lane in range(count)]
