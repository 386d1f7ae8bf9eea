"""Explicit vectors for kernels: register tiles as values of a Numba function.

A *tile* is ``rows x vectors`` SIMD registers, each ``WIDTH`` 32-bit lanes wide: the accumulators of
a micro-kernel. A kernel is written once, in Python, in terms of the operations below; LLVM keeps
the tile in registers and picks the host's instructions.

Every operation has two bodies: NumPy code that says what it means (run under
``NUMBA_DISABLE_JIT=1``, where a tile is an array ``[rows, vectors * WIDTH]``) and LLVM IR that says
it fast. Rows past ``last`` repeat row ``last``, so that a tile at the bottom edge reads and writes
only rows that exist: it computes the last row several times over instead of needing a second shape.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

Array = np.ndarray[Any, np.dtype[Any]]

_FEATURES = binding.get_host_cpu_features()


def host_width() -> int:
    """32-bit lanes of the host's widest vector: 16 (AVX-512), 8 (AVX2) or 4 (NEON, SSE, others).

    ``MINILITE_SIMD_WIDTH`` forces a narrower one, to test it on a wider machine.
    """
    forced = os.environ.get("MINILITE_SIMD_WIDTH")
    if forced:
        if forced not in ("4", "8", "16"):
            raise ValueError(f"MINILITE_SIMD_WIDTH={forced!r}: use 4, 8 or 16")
        return int(forced)
    if _FEATURES.get("avx512f") and _FEATURES.get("avx512bw") and _FEATURES.get("avx512vl"):
        return 16
    return 8 if _FEATURES.get("avx2") else 4


WIDTH = host_width()

PORTABLE = bool(os.environ.get("MINILITE_SIMD_PORTABLE"))
"""Leave out instructions that only some hosts have, to test the general form on one that has them."""

# Rows and vectors of the matrix tiles: as many accumulators as the register file holds beside the
# operands (32 registers on AVX-512 and NEON, 16 on AVX2).
TILE_ROWS, TILE_VECTORS = {16: (14, 2), 8: (6, 2), 4: (8, 2)}[WIDTH]

# A host without fused multiply-add would call a library function for each one.
_FUSED = bool(_FEATURES.get("fma")) or "aarch64" in binding.get_default_triple()

_FLOAT, _I1, _I8, _I32, _I64 = ir.FloatType(), ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_LANES = {types.float32: _FLOAT, types.int32: _I32}


class TileType(types.Type):
    """Numba's type of a tile; ``element`` is float32 or int32."""

    def __init__(self, rows: int, vectors: int, element: types.Type) -> None:
        self.rows, self.vectors, self.element = rows, vectors, element
        super().__init__(f"tile({rows}x{vectors}x{WIDTH}, {element})")

    @property
    def vector(self) -> ir.VectorType:
        """The LLVM type of one register."""
        return ir.VectorType(_LANES[self.element], WIDTH)


@register_default(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, tile: TileType) -> None:
        super().__init__(manager, tile, ir.ArrayType(tile.vector, tile.rows * tile.vectors))


def operation(meaning: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Pair NumPy code (the meaning) with an intrinsic's typing function (the speed)."""

    def pair(typing_function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:
            return meaning
        return intrinsic(prefer_literal=True)(typing_function)

    return pair


class Emitter:
    """Short names for the IR that the operations below are made of."""

    def __init__(self, context: Any, builder: Any, signature: Signature, arguments: Any) -> None:
        self.context, self.builder, self.types, self.arguments = context, builder, signature.args, arguments

    def data(self, position: int) -> Any:
        """Pointer to the first element of the array argument at ``position``."""
        array = self.context.make_array(self.types[position])
        return array(self.context, self.builder, self.arguments[position]).data

    def offset(self, base: Any, *terms: Any) -> Any:
        """``base`` plus integers or IR values."""
        for term in terms:
            base = self.builder.add(base, _I64(term) if isinstance(term, int) else term)
        return base

    def clamped_row(self, row: int, last: Any, stride: Any) -> Any:
        """``min(row, last) * stride``."""
        b = self.builder
        number = b.select(b.icmp_signed("<", _I64(row), last), _I64(row), last)
        return b.mul(number, stride)

    def splat(self, scalar: Any, lanes: int = WIDTH) -> Any:
        """A scalar in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def constant(self, value: int, vector: ir.VectorType) -> Any:
        """A number in every lane."""
        return ir.Constant(vector, [value] * vector.count)

    def load(self, pointer: Any, offset: Any, vector: ir.VectorType) -> Any:
        """A vector from ``pointer[offset:]``."""
        # Alignment of one element: rows start anywhere.
        address = self.builder.bitcast(self.builder.gep(pointer, [offset]), vector.as_pointer())
        return self.builder.load(address, align=_bytes(vector.element))

    def mask(self, columns: Any, first: int) -> Any:
        """Lanes ``i`` with ``first + i < columns``."""
        b = self.builder
        lane = ir.Constant(ir.VectorType(_I64, WIDTH), [first + i for i in range(WIDTH)])
        return b.icmp_signed("<", lane, self.splat(columns))

    def store(self, value: Any, pointer: Any, offset: Any, mask: Any) -> None:
        """The lanes that ``mask`` has, or all, to ``pointer[offset:]``."""
        b = self.builder
        vector = value.type
        address = b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())
        if mask is None:
            b.store(value, address, align=_bytes(vector.element))
            return
        name = f"llvm.masked.store.{_mangled(vector)}.p0{_mangled(vector)}"
        kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), _I32, mask.type])
        function = cgutils.get_or_insert_function(b.module, kind, name)
        b.call(function, [value, address, _I32(_bytes(vector.element)), mask])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``, rounded once where the host can."""
        if not _FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = ir.FunctionType(a.type, [a.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{_mangled(a.type)}")
        return self.builder.call(function, [a, b, c])


def _bytes(element: Any) -> int:
    return 4 if isinstance(element, ir.FloatType) else element.width // 8


def _mangled(vector: ir.VectorType) -> str:
    """The type as it stands in the names of LLVM's intrinsics."""
    element = "f32" if isinstance(vector.element, ir.FloatType) else f"i{vector.element.width}"
    return f"v{vector.count}{element}"


def _each(tile: TileType) -> list[tuple[int, int, int]]:
    """(row, vector, place in the tile's aggregate)."""
    return [(i, j, i * tile.vectors + j) for i in range(tile.rows) for j in range(tile.vectors)]


def tile_rows(offset: int, stride: int, last: int, rows: int, columns: int) -> Array:
    """Index array [rows, columns] of a tile in a flat array."""
    starts = offset + np.minimum(np.arange(rows), last) * stride
    return starts[:, None] + np.arange(columns)


def map_tile(e: Emitter, tile: TileType, function: Callable[[int, int, Any], Any], value: Any) -> Any:
    """A tile whose registers are ``function(row, vector, register)`` of another's."""
    result = ir.Constant(e.context.get_value_type(tile), ir.Undefined)
    for row, vector, place in _each(tile):
        register = e.builder.extract_value(value, place) if value is not None else None
        result = e.builder.insert_value(result, function(row, vector, register), place)
    return result


def _broadcast_row(array: Array, offset: int, rows: int, vectors: int) -> Array:
    return np.tile(array[offset : offset + vectors * WIDTH], (rows, 1))


@operation(_broadcast_row)
def broadcast_row(context: Any, array: Any, offset: Any, rows: Any, vectors: Any) -> Any:
    """A tile whose every row is ``array[offset:offset + vectors * WIDTH]``: a bias."""
    tile = TileType(rows.literal_value, vectors.literal_value, array.dtype)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        source = e.data(0)
        row = [e.load(source, e.offset(arguments[1], WIDTH * j), tile.vector) for j in range(tile.vectors)]
        return map_tile(e, tile, lambda i, j, _: row[j], None)

    return tile(array, types.intp, rows, vectors), emit


def _zeros_like(tile: Array) -> Array:
    return np.zeros_like(tile)


@operation(_zeros_like)
def zeros_like(context: Any, tile: Any) -> Any:
    """A tile of zeros in the shape and type of another."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(tile), None)

    return tile(tile), emit


def _outer_multiply_add(
    tile: Array, x: Array, offset: int, stride: int, last: int, weights: Array, panel: int
) -> Array:
    column = x[tile_rows(offset, stride, last, tile.shape[0], 1)]
    return tile + column * weights[panel : panel + tile.shape[1]]


@operation(_outer_multiply_add)
def outer_multiply_add(
    context: Any, tile: Any, x: Any, offset: Any, stride: Any, last: Any, weights: Any, panel: Any
) -> Any:
    """``tile[i, :] += x[offset + i * stride] * weights[panel:]``: one step of a matrix product."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, last, _, panel = arguments
        x, weights = e.data(1), e.data(5)
        row = [e.load(weights, e.offset(panel, WIDTH * j), tile.vector) for j in range(tile.vectors)]
        column = {}

        def step(i: int, j: int, old: Any) -> Any:
            # A broadcast is loaded right before its row: all of them at once would not fit the registers.
            if j == 0:
                place = e.offset(offset, e.clamped_row(i, last, stride))
                column[i] = e.splat(builder.load(builder.gep(x, [place])))
            return e.multiply_add(column[i], row[j], old)

        return map_tile(e, tile, step, value)

    return tile(tile, x, types.intp, types.intp, types.intp, weights, types.intp), emit


def _pairwise_multiply_add(
    tile: Array, x: Array, offset: int, stride: int, weights: Array, panel: int
) -> Array:
    rows, width = tile.shape
    return tile + x[tile_rows(offset, stride, rows, rows, width)] * weights[panel : panel + width]


@operation(_pairwise_multiply_add)
def pairwise_multiply_add(
    context: Any, tile: Any, x: Any, offset: Any, stride: Any, weights: Any, panel: Any
) -> Any:
    """``tile[i, c] += x[offset + i * stride + c] * weights[panel + c]``: a depthwise tap."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, _, panel = arguments
        x, weights = e.data(1), e.data(4)
        row = [e.load(weights, e.offset(panel, WIDTH * j), tile.vector) for j in range(tile.vectors)]

        def tap(i: int, j: int, old: Any) -> Any:
            place = e.offset(offset, builder.mul(stride, _I64(i)), WIDTH * j)
            return e.multiply_add(e.load(x, place, tile.vector), row[j], old)

        return map_tile(e, tile, tap, value)

    return tile(tile, x, types.intp, types.intp, weights, types.intp), emit


def _correlate(
    tile: Array,
    x: Array,
    offset: int,
    distance: int,
    weights: Array,
    panel: int,
    panel_distance: int,
    taps: int,
    stride: int,
) -> Array:
    for tap in range(taps):
        at, weight = offset + tap * distance, panel + tap * panel_distance
        tile = _pairwise_multiply_add(tile, x, at, stride * distance, weights, weight)
    return tile


@operation(_correlate)
def correlate(
    context: Any,
    tile: Any,
    x: Any,
    offset: Any,
    distance: Any,
    weights: Any,
    panel: Any,
    panel_distance: Any,
    taps: Any,
    stride: Any,
) -> Any:
    """One row of a depthwise filter over the tile's pixels, where what several of them see is loaded once.

    For ``t < taps``: ``tile[i, c] += x[offset + (i * stride + t) * distance + c] * weights[panel + t *
    panel_distance + c]``. ``taps`` and ``stride`` are constants; sums are in the order of ``t``.
    """
    count, step = taps.literal_value, stride.literal_value

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, distance, _, panel, panel_distance, _, _ = arguments
        x, weights = e.data(1), e.data(4)
        row = [
            e.load(weights, e.offset(panel, builder.mul(panel_distance, _I64(t))), tile.vector)
            for t in range(count)
        ]
        sums = [builder.extract_value(value, i) for i in range(tile.rows)]
        for position in range((tile.rows - 1) * step + count):
            seen = e.load(x, e.offset(offset, builder.mul(distance, _I64(position))), tile.vector)
            for i in range(tile.rows):
                if 0 <= position - i * step < count:
                    sums[i] = e.multiply_add(seen, row[position - i * step], sums[i])
        return map_tile(e, tile, lambda i, j, old: sums[i], value)

    signature = tile(tile, x, types.intp, types.intp, weights, types.intp, types.intp, taps, stride)
    return signature, emit


def _scale(tile: Array, factor: float) -> Array:
    return tile * tile.dtype.type(factor)


@operation(_scale)
def scale(context: Any, tile: Any, factor: Any) -> Any:
    """Each element times a float32, rounded: never fused with an addition."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        everywhere = e.splat(arguments[1])
        return map_tile(e, tile, lambda i, j, old: builder.fmul(old, everywhere), arguments[0])

    return tile(tile, types.float32), emit


def _shift(tile: Array, term: float) -> Array:
    return tile + tile.dtype.type(term)


@operation(_shift)
def shift(context: Any, tile: Any, term: Any) -> Any:
    """Each element plus a float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        everywhere = e.splat(arguments[1])
        return map_tile(e, tile, lambda i, j, old: builder.fadd(old, everywhere), arguments[0])

    return tile(tile, types.float32), emit


def _add(tile: Array, other: Array) -> Array:
    return tile + other


@operation(_add)
def add(context: Any, tile: Any, other: Any) -> Any:
    """The sum of two float32 tiles of one shape."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)

        def both(i: int, j: int, old: Any) -> Any:
            return builder.fadd(old, builder.extract_value(arguments[1], i * tile.vectors + j))

        return map_tile(e, tile, both, arguments[0])

    return tile(tile, tile), emit


def _clamp(tile: Array, low: float, high: float) -> Array:
    return np.where(tile > high, tile.dtype.type(high), np.where(tile < low, tile.dtype.type(low), tile))


@operation(_clamp)
def clamp(context: Any, tile: Any, low: Any, high: Any) -> Any:
    """Each element limited to ``[low, high]``; NaN stays NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, low, high = arguments
        less = builder.icmp_signed if tile.element is types.int32 else builder.fcmp_ordered
        floor, ceiling = e.splat(low), e.splat(high)

        def limit(_i: int, _j: int, old: Any) -> Any:
            old = builder.select(less("<", old, floor), floor, old)
            return builder.select(less(">", old, ceiling), ceiling, old)

        return map_tile(e, tile, limit, value)

    return tile(tile, tile.element, tile.element), emit


def _store(tile: Array, out: Array, offset: int, stride: int, last: int, columns: int) -> None:
    width = min(columns, tile.shape[1])
    out[tile_rows(offset, stride, last, tile.shape[0], width)] = tile[:, :width]


@operation(_store)
def store(context: Any, tile: Any, out: Any, offset: Any, stride: Any, last: Any, columns: Any) -> Any:
    """``out[offset + i * stride + c] = tile[i, c]`` for ``c < columns``, in the type of ``out``.

    Floats become integers by truncation. Values must lie in the range of ``out``'s type. A constant
    ``columns`` that covers the tile makes plain stores instead of masked ones.
    """
    whole = isinstance(columns, types.IntegerLiteral) and columns.literal_value >= tile.vectors * WIDTH

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, last, columns = arguments
        target = e.data(1)
        masks = [None if whole else e.mask(columns, WIDTH * j) for j in range(tile.vectors)]
        for i, j, place in _each(tile):
            register = _converted(builder, builder.extract_value(value, place), tile.element, out.dtype)
            where = e.offset(offset, e.clamped_row(i, last, stride), WIDTH * j)
            e.store(register, target, where, masks[j])
        return context.get_dummy_value()

    columns = columns if whole else types.intp
    return types.void(tile, out, types.intp, types.intp, types.intp, columns), emit


def _converted(builder: Any, register: Any, element: types.Type, target: types.Type) -> Any:
    """A register of a tile in the type of the array it goes to."""
    if element is types.float32 and target is not types.float32:
        register = builder.fptosi(register, ir.VectorType(_I32, WIDTH))
    if target is not types.float32 and target.bitwidth < 32:
        register = builder.trunc(register, ir.VectorType(ir.IntType(target.bitwidth), WIDTH))
    return register
