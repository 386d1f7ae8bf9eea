"""Operations on register tiles that kernels are written in: loads, products, clamps, stores.

A kernel is written once, in Python, in terms of these; LLVM keeps the tiles in registers and picks the
host's instructions. Rows past ``last`` repeat row ``last``, so that a tile at the bottom edge reads and
writes only rows that exist: it computes the last row several times over instead of needing a second
shape. Float32 here, what is particular to integers in ``simd_integer``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from minilite_kernels.vector import (
    WIDTH,
    Array,
    Emitter,
    TileType,
    each_register,
    map_tile,
    operation,
    tile_rows,
)

_I32, _I64 = ir.IntType(32), ir.IntType(64)


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


def _load_rows(array: Array, offset: int, stride: int, rows: int) -> Array:
    return array[tile_rows(offset, stride, rows, rows, WIDTH)]


@operation(_load_rows)
def load_rows(context: Any, array: Any, offset: Any, stride: Any, rows: Any) -> Any:
    """A tile of ``rows`` rows of one vector, ``array[offset + i * stride:]``: a filter."""
    tile = TileType(rows.literal_value, 1, array.dtype)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        _, offset, stride, _ = arguments
        source = e.data(0)

        def row(i: int, j: int, _: Any) -> Any:
            return e.load(source, e.offset(offset, builder.mul(stride, _I64(i))), tile.vector)

        return map_tile(e, tile, row, None)

    return tile(array, types.intp, types.intp, rows), emit


def _correlate(
    tile: Array, x: Array, offset: int, distance: int, line: int, weights: Array, taps: int, stride: int
) -> Array:
    everything = (0, taps, 0, (len(tile) - 1) * stride + taps)
    return _correlate_border(tile, x, offset, distance, line, weights, taps, stride, everything)


@operation(_correlate)
def correlate(
    context: Any,
    tile: Any,
    x: Any,
    offset: Any,
    distance: Any,
    line: Any,
    weights: Any,
    taps: Any,
    stride: Any,
) -> Any:
    """A square depthwise filter over the tile's pixels, where what several of them see is loaded once.

    For ``u, t < taps``: ``tile[i, c] += x[offset + u * line + (i * stride + t) * distance + c] *
    weights[u * taps + t, c]``, in this order. ``weights`` is a tile of ``taps * taps`` rows; ``taps`` and
    ``stride`` are constants.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        _, _, offset, distance, line, _, _, _ = arguments
        source = e.data(1)

        def seen(u: int, position: int) -> Any:
            steps = builder.add(builder.mul(line, _I64(u)), builder.mul(distance, _I64(position)))
            return e.load(source, e.offset(offset, steps), tile.vector)

        return _correlated(e, tile, seen, arguments, taps.literal_value, stride.literal_value)

    signature = tile(tile, x, types.intp, types.intp, types.intp, weights, taps, stride)
    return signature, emit


def _correlated(
    e: Emitter, tile: TileType, seen: Callable[[int, int], Any], arguments: Any, taps: int, stride: int
) -> Any:
    """``seen(u, position)`` is the vector at that place of the lines and columns that the filter covers."""
    value, weights = arguments[0], arguments[5]
    sums = [e.builder.extract_value(value, i) for i in range(tile.rows)]
    for u in range(taps):
        row = [e.builder.extract_value(weights, u * taps + t) for t in range(taps)]
        for position in range((tile.rows - 1) * stride + taps):
            vector = seen(u, position)
            for i in range(tile.rows):
                if 0 <= position - i * stride < taps:
                    sums[i] = e.multiply_add(vector, row[position - i * stride], sums[i])
    return map_tile(e, tile, lambda i, j, old: sums[i], value)


def _correlate_border(
    tile: Array,
    x: Array,
    offset: int,
    distance: int,
    line: int,
    weights: Array,
    taps: int,
    stride: int,
    valid: tuple[int, int, int, int],
) -> Array:
    first_line, last_line, first, last = valid
    tile = tile.copy()
    for u, t, i in itertools.product(range(taps), range(taps), range(len(tile))):
        if first_line <= u < last_line and first <= i * stride + t < last:
            at = offset + u * line + (i * stride + t) * distance
            tile[i] += x[at : at + tile.shape[1]] * weights[u * taps + t]
    return tile


@operation(_correlate_border)
def correlate_border(
    context: Any,
    tile: Any,
    x: Any,
    offset: Any,
    distance: Any,
    line: Any,
    weights: Any,
    taps: Any,
    stride: Any,
    valid: Any,
) -> Any:
    """As ``correlate``, where a part of what the filter covers is not there and counts as zeros.

    ``valid`` is (first, last) of the lines and (first, last) of the columns that are there.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        _, _, offset, distance, line, _, _, _, valid = arguments
        source = e.data(1)
        bounds = [builder.extract_value(valid, i) for i in range(4)]
        zeros = builder.bitcast(
            cgutils.alloca_once_value(builder, ir.Constant(tile.vector, None)), source.type
        )

        def within(place: int, first: Any, last: Any) -> Any:
            after = builder.icmp_signed(">=", _I64(place), first)
            return builder.and_(after, builder.icmp_signed("<", _I64(place), last))

        def seen(u: int, position: int) -> Any:
            steps = builder.add(builder.mul(line, _I64(u)), builder.mul(distance, _I64(position)))
            there = builder.gep(source, [e.offset(offset, steps)])
            is_there = builder.and_(within(u, *bounds[:2]), within(position, *bounds[2:]))
            return e.load(builder.select(is_there, there, zeros), _I64(0), tile.vector)

        return _correlated(e, tile, seen, arguments, taps.literal_value, stride.literal_value)

    signature = tile(
        tile, x, types.intp, types.intp, types.intp, weights, taps, stride, types.UniTuple(types.intp, 4)
    )
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


def _scale_columns(tile: Array, factors: Array, column: int) -> Array:
    return tile * factors[column : column + tile.shape[1]]


@operation(_scale_columns)
def scale_columns(context: Any, tile: Any, factors: Any, column: Any) -> Any:
    """``tile[:, c] *= factors[column + c]``, float32: never fused with an addition."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        row = [e.load(e.data(1), e.offset(arguments[2], WIDTH * j), tile.vector) for j in range(tile.vectors)]
        return map_tile(e, tile, lambda i, j, old: builder.fmul(old, row[j]), arguments[0])

    return tile(tile, factors, types.intp), emit


def _add_columns(tile: Array, terms: Array, column: int) -> Array:
    return tile + terms[column : column + tile.shape[1]]


@operation(_add_columns)
def add_columns(context: Any, tile: Any, terms: Any, column: Any) -> Any:
    """``tile[:, c] += terms[column + c]``, float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        row = [e.load(e.data(1), e.offset(arguments[2], WIDTH * j), tile.vector) for j in range(tile.vectors)]
        return map_tile(e, tile, lambda i, j, old: builder.fadd(old, row[j]), arguments[0])

    return tile(tile, terms, types.intp), emit


def _add(tile: Array, other: Array) -> Array:
    return tile + other


@operation(_add)
def add(context: Any, tile: Any, other: Any) -> Any:
    """The sum of two tiles of one shape and type; int32 wraps."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        sum_of = builder.add if tile.element is types.int32 else builder.fadd

        def both(i: int, j: int, old: Any) -> Any:
            return sum_of(old, builder.extract_value(arguments[1], i * tile.vectors + j))

        return map_tile(e, tile, both, arguments[0])

    return tile(tile, tile), emit


def _larger(tile: Array, other: Array) -> Array:
    return np.where(other > tile, other, tile)


@operation(_larger)
def larger(context: Any, tile: Any, other: Any) -> Any:
    """The larger elements of two tiles of one shape and type; those of ``tile`` where ``other`` is NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        compare = builder.icmp_signed if tile.element is types.int32 else builder.fcmp_ordered

        def choose(i: int, j: int, old: Any) -> Any:
            new = builder.extract_value(arguments[1], i * tile.vectors + j)
            return builder.select(compare(">", new, old), new, old)

        return map_tile(e, tile, choose, arguments[0])

    return tile(tile, tile), emit


def _divide(tile: Array, divisor: float) -> Array:
    return tile / tile.dtype.type(divisor)


@operation(_divide)
def divide(context: Any, tile: Any, divisor: Any) -> Any:
    """Each element divided by a float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        everywhere = e.splat(arguments[1])
        return map_tile(e, tile, lambda i, j, old: builder.fdiv(old, everywhere), arguments[0])

    return tile(tile, types.float32), emit


def _square_root(tile: Array) -> Array:
    return np.sqrt(tile)


@operation(_square_root)
def square_root(context: Any, tile: Any) -> Any:
    """The square root of each float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        return map_tile(e, tile, lambda i, j, old: e.square_root(old), arguments[0])

    return tile(tile), emit


def _add_rows(tile: Array, x: Array, offset: int, stride: int, last: int, columns: int) -> Array:
    width = min(columns, tile.shape[1])
    sums = tile.copy()
    sums[:, :width] += x[tile_rows(offset, stride, last, tile.shape[0], width)]
    return sums


@operation(_add_rows)
def add_rows(context: Any, tile: Any, x: Any, offset: Any, stride: Any, last: Any, columns: Any) -> Any:
    """``tile[i, c] += x[offset + i * stride + c]`` for ``c < columns``; no other columns are read."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, last, columns = arguments
        source = e.data(1)
        masks = [e.mask(columns, WIDTH * j) for j in range(tile.vectors)]

        def add(i: int, j: int, old: Any) -> Any:
            place = e.offset(offset, e.clamped_row(i, last, stride), WIDTH * j)
            return builder.fadd(old, e.masked_load(source, place, tile.vector, masks[j]))

        return map_tile(e, tile, add, value)

    return tile(tile, x, types.intp, types.intp, types.intp, types.intp), emit


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


def _copy_vector(x: Array, offset: int, out: Array, place: int) -> None:
    count = 4 * WIDTH // x.itemsize
    out[place : place + count] = x[offset : offset + count]


@operation(_copy_vector)
def copy_vector(context: Any, x: Any, offset: Any, out: Any, place: Any) -> Any:
    """A register full of values from ``x[offset:]`` to ``out[place:]``, arrays of one type."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        vector = ir.VectorType(context.get_value_type(x.dtype), 4 * WIDTH // (x.dtype.bitwidth // 8))
        e.store(e.load(e.data(0), arguments[1], vector), e.data(2), arguments[3], None)
        return context.get_dummy_value()

    return types.void(x, types.intp, out, types.intp), emit


def _first_largest(x: Array, offset: int, count: int, vectors: int) -> int:
    values = x[offset : offset + count]
    equal = values == np.fmax.reduce(values)
    return int(np.argmax(equal))


@operation(_first_largest)
def first_largest(context: Any, x: Any, offset: Any, count: Any, vectors: Any) -> Any:
    """The first position of the largest of ``x[offset : offset + count]``, at most ``vectors`` of floats.

    A NaN is never the largest; where there is nothing else, the position is 0.
    """
    number = vectors.literal_value

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        _, offset, count, _ = arguments
        vector = ir.VectorType(ir.FloatType(), WIDTH)
        lowest = ir.Constant(vector, [float("-inf")] * WIDTH)
        masks = [e.mask(count, WIDTH * j) for j in range(number)]
        loaded = [
            e.masked_load(e.data(0), e.offset(offset, WIDTH * j), vector, masks[j]) for j in range(number)
        ]
        largest = lowest
        for values, mask in zip(loaded, masks, strict=True):
            larger = builder.and_(mask, builder.fcmp_ordered(">", values, largest))
            largest = builder.select(larger, values, largest)
        kind = ir.FunctionType(ir.FloatType(), [vector])
        reduce = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fmax.v{WIDTH}f32")
        top = e.splat(builder.call(reduce, [largest], fastmath=("nnan",)))
        bits = ir.IntType(64)(0)
        for j, (values, mask) in enumerate(zip(loaded, masks, strict=True)):
            equal = builder.and_(mask, builder.fcmp_ordered("==", values, top))
            lanes = builder.zext(builder.bitcast(equal, ir.IntType(WIDTH)), ir.IntType(64))
            bits = builder.or_(bits, builder.shl(lanes, ir.IntType(64)(WIDTH * j)))
        place = builder.cttz(bits, ir.IntType(1)(0))
        return builder.select(builder.icmp_unsigned("==", bits, ir.IntType(64)(0)), ir.IntType(64)(0), place)

    return types.intp(x, types.intp, types.intp, vectors), emit


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
        for i, j, place in each_register(tile):
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
