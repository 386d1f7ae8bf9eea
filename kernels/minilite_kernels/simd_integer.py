"""Tile operations on integers of 8 and 16 bits: exact dot products and TFLite's requantization.

As in ``simd``, each operation has a NumPy body (its meaning) and an LLVM body (its speed).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from minilite_kernels import vector
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

LANE_BYTES = 4
"""Bytes that one lane multiplies and adds at once: four 8-bit values, or two of 16 bits."""

# vpdpbusd: unsigned x signed, four products summed into a 32-bit lane without saturation.
_DOT_PRODUCT = {
    16: ("avx512vnni", "llvm.x86.avx512.vpdpbusd.512"),
    8: ("avx512vnni", "llvm.x86.avx512.vpdpbusd.256"),
    4: ("avx512vnni", "llvm.x86.avx512.vpdpbusd.128"),
}[WIDTH]
_HAS_DOT_PRODUCT = _DOT_PRODUCT[0] in vector.FEATURES and not vector.PORTABLE
# vpmaddwd: signed 16-bit values, two products summed into a 32-bit lane.
_PAIR_PRODUCT = {
    16: ("avx512bw", "llvm.x86.avx512.pmaddw.d.512"),
    8: ("avx2", "llvm.x86.avx2.pmadd.wd"),
    4: ("sse2", "llvm.x86.sse2.pmadd.wd"),
}[WIDTH]
_HAS_PAIR_PRODUCT = _PAIR_PRODUCT[0] in vector.FEATURES and not vector.PORTABLE
# LLVM 21 gave the instruction's operands their own element type.
_BYTE_OPERANDS = binding.llvm_version_info[0] >= 21

_I8, _I16, _I32, _I64 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_LANES32, _LANES64 = ir.VectorType(_I32, WIDTH), ir.VectorType(_I64, WIDTH)
_BYTES, _HALVES = ir.VectorType(_I8, WIDTH * 4), ir.VectorType(_I16, WIDTH * 2)


def _dot_multiply_add(
    tile: Array, x: Array, offset: int, stride: int, last: int, weights: Array, panel: int
) -> Array:
    group = LANE_BYTES // x.itemsize
    values = x[tile_rows(offset, stride, last, tile.shape[0], group)]
    values = values.view(np.uint8) if group == 4 else values
    filters = weights[panel : panel + tile.shape[1] * group].reshape(-1, group)
    return tile + values.astype(np.int32) @ filters.astype(np.int32).T


@operation(_dot_multiply_add)
def dot_multiply_add(
    context: Any, tile: Any, x: Any, offset: Any, stride: Any, last: Any, weights: Any, panel: Any
) -> Any:
    """``tile[i, c] += sum_g x[offset + i * stride + g] * weights[panel + n * c + g]``, ``g < n``.

    ``n`` values fill the ``LANE_BYTES`` of a lane; sums wrap at 32 bits. The bytes of ``x`` are taken as
    unsigned, those of ``weights`` as signed; 16-bit values are signed on both sides, their weights from
    the range of 8 bits.
    """
    operand, dot = (_BYTES, _dot) if x.dtype.bitwidth == 8 else (_HALVES, _dot_halves)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, last, _, panel = arguments
        x, weights = e.data(1), e.data(5)
        row = [e.load(weights, e.offset(panel, operand.count * j), operand) for j in range(tile.vectors)]
        column = {}

        def step(i: int, j: int, old: Any) -> Any:
            # As in simd.outer_multiply_add: loaded right before its row.
            if j == 0:
                address = builder.gep(x, [e.offset(offset, e.clamped_row(i, last, stride))])
                lane = builder.load(builder.bitcast(address, _I32.as_pointer()), align=1)
                column[i] = builder.bitcast(e.splat(lane), operand)
            return dot(builder, old, column[i], row[j])

        return map_tile(e, tile, step, value)

    return tile(tile, x, types.intp, types.intp, types.intp, weights, types.intp), emit


def _dot_halves(builder: Any, accumulator: Any, left: Any, right: Any) -> Any:
    """``accumulator[l] + left[2 l] * right[2 l] + left[2 l + 1] * right[2 l + 1]`` on 32-bit lanes."""
    if _HAS_PAIR_PRODUCT:
        kind = ir.FunctionType(_LANES32, [_HALVES, _HALVES])
        function = cgutils.get_or_insert_function(builder.module, kind, _PAIR_PRODUCT[1])
        return builder.add(accumulator, builder.call(function, [left, right]))
    left, right = (builder.bitcast(v, _LANES32) for v in (left, right))
    down = ir.Constant(_LANES32, [16] * WIDTH)
    low = builder.mul(*(builder.ashr(builder.shl(v, down), down) for v in (left, right)))
    high = builder.mul(*(builder.ashr(v, down) for v in (left, right)))
    return builder.add(builder.add(accumulator, low), high)


def _dot(builder: Any, accumulator: Any, unsigned: Any, signed: Any) -> Any:
    """``accumulator[l] + sum_g unsigned[4 l + g] * signed[4 l + g]`` on 32-bit lanes."""
    if _HAS_DOT_PRODUCT:
        operand = _BYTES if _BYTE_OPERANDS else _LANES32
        kind = ir.FunctionType(_LANES32, [_LANES32, operand, operand])
        function = cgutils.get_or_insert_function(builder.module, kind, _DOT_PRODUCT[1])
        if not _BYTE_OPERANDS:
            unsigned, signed = (builder.bitcast(v, _LANES32) for v in (unsigned, signed))
        return builder.call(function, [accumulator, unsigned, signed])
    # Two of each lane's bytes at a time, widened to 16 bits.
    unsigned, signed = (builder.bitcast(v, _HALVES) for v in (unsigned, signed))
    byte = ir.Constant(_HALVES, [8] * _HALVES.count)
    for shift in (builder.shl, lambda value, _: value):
        left, right = builder.lshr(shift(unsigned, byte), byte), builder.ashr(shift(signed, byte), byte)
        accumulator = _dot_halves(builder, accumulator, left, right)
    return accumulator


def _weave(x: Array, offsets: tuple[int, ...], keep: int, change: int, rows: int) -> Array:
    woven = np.zeros(WIDTH, np.uint32)
    for row in range(rows):
        values = x[offsets[row] : offsets[row] + WIDTH].view(f"u{x.itemsize}")
        woven |= values.astype(np.uint32) << np.uint32(8 * x.itemsize * row)
    changed = woven & np.uint32(keep & 0xFFFFFFFF) ^ np.uint32(change & 0xFFFFFFFF)
    return changed.view(np.int32)[None]


@operation(_weave)
def weave(context: Any, x: Any, offsets: Any, keep: Any, change: Any, rows: Any) -> Any:
    """A vector whose lanes hold side by side what ``rows`` rows of ``x`` have there.

    Lane ``c`` is made of ``x[offsets[r] + c]``, the first in its lowest bits; then those bits that are not in
    ``keep`` are cleared, and those in ``change`` turned over. There are four ``offsets``.
    """
    tile, bits = TileType(1, 1, types.int32), x.dtype.bitwidth

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        narrow = ir.VectorType(ir.IntType(bits), WIDTH)
        woven = e.constant(0, _LANES32)
        for row in range(rows.literal_value):
            values = e.load(e.data(0), builder.extract_value(arguments[1], row), narrow)
            moved = builder.shl(builder.zext(values, _LANES32), e.constant(bits * row, _LANES32))
            woven = builder.or_(woven, moved)
        kept, changed = (e.splat(builder.trunc(word, _I32)) for word in arguments[2:4])
        woven = builder.xor(builder.and_(woven, kept), changed)
        return map_tile(e, tile, lambda _i, _j, _old: woven, None)

    offsets = types.UniTuple(types.intp, 4)
    return tile(x, offsets, types.int64, types.int64, rows), emit


def _multiply_add_lanes(
    tile: Array, lanes: Array, offset: int, stride: int, last: int, weights: Array, panel: int
) -> Array:
    group = LANE_BYTES // weights.itemsize
    words = lanes[tile_rows(offset, stride, last, tile.shape[0], WIDTH)]
    values = words.view(np.uint8 if group == 4 else np.int16).reshape(*words.shape, group)
    filters = weights[panel : panel + WIDTH * group].reshape(WIDTH, group)
    return tile + (values.astype(np.int32) * filters.astype(np.int32)).sum(axis=2, dtype=np.int32)


@operation(_multiply_add_lanes)
def multiply_add_lanes(
    context: Any, tile: Any, lanes: Any, offset: Any, stride: Any, last: Any, weights: Any, panel: Any
) -> Any:
    """``tile[i, c] += sum_g lanes[offset + i * stride + c][g] * weights[panel + n * c + g]``, ``g < n``.

    ``lanes`` int32 from ``weave``: ``n`` values each, unsigned bytes where the ``weights`` are int8, signed
    ones of 16 bits where they are int16. One vector a row.
    """
    operand, dot = (_BYTES, _dot) if weights.dtype.bitwidth == 8 else (_HALVES, _dot_halves)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, last, _, panel = arguments
        source, filters = e.data(1), e.load(e.data(5), panel, operand)

        def row(i: int, _j: int, old: Any) -> Any:
            words = e.load(source, e.offset(offset, e.clamped_row(i, last, stride)), _LANES32)
            return dot(builder, old, builder.bitcast(words, operand), filters)

        return map_tile(e, tile, row, value)

    return tile(tile, lanes, types.intp, types.intp, types.intp, weights, types.intp), emit


def _pairwise_multiply_add(
    tile: Array, x: Array, offset: int, stride: int, zero: int, weights: Array, panel: int
) -> Array:
    rows, width = tile.shape
    values = x[tile_rows(offset, stride, rows, rows, width)].astype(np.int32)
    return tile + (values - np.int32(zero)) * weights[panel : panel + width].astype(np.int32)


@operation(_pairwise_multiply_add)
def pairwise_multiply_add(
    context: Any, tile: Any, x: Any, offset: Any, stride: Any, zero: Any, weights: Any, panel: Any
) -> Any:
    """``tile[i, c] += (x[offset + i * stride + c] - zero) * weights[panel + c]``: a depthwise tap.

    ``x`` uint8, int8 or int16, ``weights`` int16 (a uint8 filter less its zero point).
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, zero, _, panel = arguments
        source, filters = e.data(1), e.data(5)
        widen = builder.sext if x.dtype.signed else builder.zext
        halves, narrow = (ir.VectorType(ir.IntType(bits), WIDTH) for bits in (16, x.dtype.bitwidth))
        row = [
            builder.sext(e.load(filters, e.offset(panel, WIDTH * j), halves), _LANES32)
            for j in range(tile.vectors)
        ]
        shift = e.splat(builder.trunc(zero, _I32))

        def tap(i: int, j: int, old: Any) -> Any:
            place = e.offset(offset, builder.mul(stride, _I64(i)), WIDTH * j)
            values = builder.sub(widen(e.load(source, place, narrow), _LANES32), shift)
            return builder.add(old, builder.mul(values, row[j]))

        return map_tile(e, tile, tap, value)

    return tile(tile, x, types.intp, types.intp, types.int64, weights, types.intp), emit


def _add_row_terms(tile: Array, terms: Array, offset: int, last: int, factor: int) -> Array:
    rows = offset + np.minimum(np.arange(tile.shape[0]), last)
    return tile + (terms[rows] * np.int32(factor))[:, None]


@operation(_add_row_terms)
def add_row_terms(context: Any, tile: Any, terms: Any, offset: Any, last: Any, factor: Any) -> Any:
    """``tile[i, :] += terms[offset + i] * factor``; int32 wraps."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, last, factor = arguments
        source, narrow = e.data(1), builder.trunc(factor, _I32)
        rows = []
        for i in range(tile.rows):
            term = builder.load(builder.gep(source, [e.offset(offset, e.clamped_row(i, last, _I64(1)))]))
            rows.append(e.splat(builder.mul(term, narrow)))
        return map_tile(e, tile, lambda i, j, old: builder.add(old, rows[i]), value)

    return tile(tile, terms, types.intp, types.intp, types.int64), emit


PLACES = 1 << 16
"""What ``keys`` has to be larger than."""


def _keys(x: Array, offset: int, position: int) -> Array:
    values = x[offset : offset + WIDTH].astype(np.int32) * np.int32(PLACES)
    return (values + np.int32(PLACES - 1 - position) - np.arange(WIDTH, dtype=np.int32))[None]


@operation(_keys)
def keys(context: Any, x: Any, offset: Any, position: Any) -> Any:
    """Bytes ``x[offset:]``, numbered from ``position`` on, as keys: of equals the first one's is the largest.

    A key is ``value * PLACES + PLACES - 1 - number``; numbers are less than ``PLACES``.
    """
    tile = TileType(1, 1, types.int32)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        widen = builder.sext if x.dtype.signed else builder.zext
        values = widen(e.load(e.data(0), arguments[1], ir.VectorType(_I8, WIDTH)), _LANES32)
        places = ir.Constant(_LANES32, [PLACES - 1 - i for i in range(WIDTH)])
        places = builder.sub(places, e.splat(builder.trunc(arguments[2], _I32)))
        key = builder.or_(builder.shl(values, e.constant(16, _LANES32)), places)
        return map_tile(e, tile, lambda _i, _j, _old: key, None)

    return tile(x, types.intp, types.int64), emit


def _largest(tile: Array) -> int:
    return int(tile.max())


@operation(_largest)
def largest(context: Any, tile: Any) -> Any:
    """The largest element of a tile of one vector."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I32, [_LANES32])
        name = f"llvm.vector.reduce.smax.v{WIDTH}i32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [builder.extract_value(arguments[0], 0)])

    return types.int32(tile), emit


def _to_float(tile: Array) -> Array:
    return tile.astype(np.float32)


@operation(_to_float)
def to_float(context: Any, tile: Any) -> Any:
    """The nearest float32 of each element, ties to even."""
    result = TileType(tile.rows, tile.vectors, types.float32)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        registers = [builder.extract_value(arguments[0], place) for _, _, place in each_register(tile)]
        converted = [builder.sitofp(register, result.vector) for register in registers]
        return map_tile(e, result, lambda i, j, _: converted[i * tile.vectors + j], None)

    return result(tile), emit


def _requantize(
    tile: Array, multipliers: Array, lefts: Array, rights: Array, column: int, zero: int
) -> Array:
    part = slice(column, column + tile.shape[1])
    left, right = lefts[part].astype(np.int64), rights[part].astype(np.int64)
    half = (np.int64(1) << right) >> 1
    if multipliers.dtype == np.int16:
        return (((tile.astype(np.int64) * multipliers[part] + half) >> right) + zero).astype(np.int32)
    shifted = (tile.astype(np.int64) << left).astype(np.int32).astype(np.int64)
    high = (shifted * multipliers[part] + (1 << 30)) >> 31
    rounded = (high + half - ((high < 0) & (right > 0))) >> right
    return (rounded + zero).astype(np.int32)


@operation(_requantize)
def requantize(
    context: Any, tile: Any, multipliers: Any, lefts: Any, rights: Any, column: Any, zero: Any
) -> Any:
    """Each column scaled in TFLite's fixed point (``internal/common.cc``), plus ``zero``; int32 wraps.

    With 32-bit multipliers by ``multiplier * 2**(left - right - 31)``, rounded twice: a doubling high
    multiply with ties towards +infinity, then a division by ``2**right`` with ties away from zero. With
    16-bit ones by ``multiplier * 2**-right``, rounded once, ties towards +infinity. One value of each
    table a column, from ``column`` on, padded to whole tiles.
    """
    scale = _scale_once if multipliers.dtype.bitwidth == 16 else _scale_twice

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, _, _, column, zero = arguments

        def table(position: int, j: int) -> Any:
            bits = signature.args[position].dtype.bitwidth
            vector = ir.VectorType(ir.IntType(bits), WIDTH)
            return e.load(e.data(position), e.offset(column, WIDTH * j), vector)

        columns = [tuple(table(position, j) for position in (1, 2, 3)) for j in range(tile.vectors)]
        offset = e.splat(builder.trunc(zero, _I32))
        return map_tile(e, tile, lambda _i, j, old: builder.add(scale(e, old, *columns[j]), offset), value)

    return tile(tile, multipliers, lefts, rights, types.intp, types.int64), emit


def _store_requantized(
    tile: Array,
    out: Array,
    offset: int,
    stride: int,
    last: int,
    columns: int,
    terms: Array,
    row: int,
    tables: tuple[Array, Array, Array],
    column: int,
    numbers: tuple[int, int, int, int],
) -> None:
    factor, zero, low, high = numbers
    tile = _requantize(_add_row_terms(tile, terms, row, last, factor), *tables, column, zero)
    width = min(columns, tile.shape[1])
    out[tile_rows(offset, stride, last, tile.shape[0], width)] = tile[:, :width].clip(low, high)


@operation(_store_requantized)
def store_requantized(
    context: Any,
    tile: Any,
    out: Any,
    offset: Any,
    stride: Any,
    last: Any,
    columns: Any,
    terms: Any,
    row: Any,
    tables: Any,
    column: Any,
    numbers: Any,
) -> Any:
    """``add_row_terms`` from ``row`` on, ``requantize``, ``simd.clamp`` and ``simd.store`` in one.

    Register by register, so that few are needed beside the tile. ``tables`` are multipliers, lefts and
    rights; ``numbers`` the terms' factor, the zero point, low and high.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        value, _, offset, stride, last, columns, _, row, packed, column, numbers = arguments
        factor, zero, low, high = (
            builder.trunc(builder.extract_value(numbers, i), _I32) for i in range(len(signature.args[-1]))
        )
        zero, low, high = (e.splat(number) for number in (zero, low, high))
        scale = _scale_once if tables.types[0].dtype.bitwidth == 16 else _scale_twice
        scales = []
        for j in range(tile.vectors):
            part = []
            for i, kind in enumerate(tables.types):
                table = context.make_array(kind)(context, builder, builder.extract_value(packed, i)).data
                vector = ir.VectorType(ir.IntType(kind.dtype.bitwidth), WIDTH)
                part.append(e.load(table, e.offset(column, WIDTH * j), vector))
            scales.append(part)
        masks = [e.mask(columns, WIDTH * j) for j in range(tile.vectors)]
        target, narrow = e.data(1), ir.VectorType(ir.IntType(out.dtype.bitwidth), WIDTH)
        for i, j, place in each_register(tile):
            if j == 0:
                there = e.offset(row, e.clamped_row(i, last, _I64(1)))
                term = e.splat(builder.mul(builder.load(builder.gep(e.data(6), [there])), factor))
            sums = builder.add(builder.extract_value(value, place), term)
            scaled = builder.add(scale(e, sums, *scales[j]), zero)
            scaled = builder.select(builder.icmp_signed("<", scaled, low), low, scaled)
            scaled = builder.select(builder.icmp_signed(">", scaled, high), high, scaled)
            where = e.offset(offset, e.clamped_row(i, last, stride), WIDTH * j)
            e.store(builder.trunc(scaled, narrow), target, where, masks[j])
        return context.get_dummy_value()

    place, numbers = types.intp, types.UniTuple(types.int64, 4)
    signature = types.void(tile, out, place, place, place, place, terms, place, tables, place, numbers)
    return signature, emit


def _scale_twice(e: Emitter, old: Any, multiplier: Any, left: Any, right: Any) -> Any:
    return _divided_by_pot(e, _doubled_high_product(e, e.builder.shl(old, left), multiplier), right)


def _doubled_high_product(e: Emitter, one: Any, other: Any) -> Any:
    """``(one * other + 2**30) >> 31``, the product in 64 bits: of the even lanes, then of the odd ones.

    So no lane is moved but for one shift; hosts multiply the lower halves of 64-bit lanes.
    """
    b = e.builder
    pairs = ir.VectorType(_I64, WIDTH // 2)
    one, other = b.bitcast(one, pairs), b.bitcast(other, pairs)
    upper, half, single = (e.constant(number, pairs) for number in (32, 1 << 30, 1))
    even = b.mul(*(b.ashr(b.shl(value, upper), upper) for value in (one, other)))
    odd = b.mul(*(b.ashr(value, upper) for value in (one, other)))
    low = b.lshr(b.add(even, half), e.constant(31, pairs))
    high = b.shl(b.add(odd, half), single)
    chosen = ir.Constant(ir.VectorType(_I32, WIDTH), [i + WIDTH * (i % 2) for i in range(WIDTH)])
    return b.shuffle_vector(b.bitcast(low, _LANES32), b.bitcast(high, _LANES32), chosen)


def _divided_by_pot(e: Emitter, value: Any, right: Any) -> Any:
    """``value / 2**right``, ties away from zero, without adding what 32 bits may have no room for."""
    b = e.builder
    one = e.constant(1, _LANES32)
    mask = b.sub(b.shl(one, right), one)
    threshold = b.sub(b.lshr(mask, one), b.ashr(value, e.constant(31, _LANES32)))
    up = b.icmp_signed(">", b.and_(value, mask), threshold)
    divided = b.ashr(value, right)
    return b.select(up, b.add(divided, one), divided)


def _scale_once(e: Emitter, old: Any, multiplier: Any, _left: Any, right: Any) -> Any:
    b = e.builder
    product = b.mul(b.sext(old, _LANES64), b.sext(multiplier, _LANES64))
    far = b.zext(right, _LANES64)
    half = b.lshr(b.shl(e.constant(1, _LANES64), far), e.constant(1, _LANES64))
    return b.trunc(b.ashr(b.add(product, half), far), _LANES32)


def _divide_half_away(tile: Array, divisor: int) -> Array:
    magnitude = np.abs(tile.astype(np.int64))
    return (np.sign(tile) * ((magnitude + divisor // 2) // divisor)).astype(np.int32)


@operation(_divide_half_away)
def divide_half_away(context: Any, tile: Any, divisor: Any) -> Any:
    """Each element divided by a positive integer of 31 bits, ties away from zero: an average."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        b = builder
        doubles = ir.VectorType(ir.DoubleType(), WIDTH)
        zero, narrow = e.constant(0, _LANES32), b.trunc(arguments[1], _I32)
        half = e.splat(b.lshr(narrow, _I32(1)))
        whole = e.splat(b.uitofp(narrow, ir.DoubleType()))

        def average(_i: int, _j: int, old: Any) -> Any:
            negative = b.icmp_signed("<", old, zero)
            magnitude = b.add(b.select(negative, b.sub(zero, old), old), half)
            # A quotient of integers of 32 bits, rounded to 53, has the right whole part.
            quotient = b.trunc(b.fptosi(b.fdiv(b.uitofp(magnitude, doubles), whole), _LANES64), _LANES32)
            return b.select(negative, b.sub(zero, quotient), quotient)

        return map_tile(e, tile, average, arguments[0])

    return tile(tile, types.int64), emit


def _mix_half_away(tile: Array, other: Array, weight: int, bits: int) -> Array:
    one = np.int64(1 << bits)
    mixed = tile.astype(np.int64) * (one - weight) + other.astype(np.int64) * weight
    rounded = (np.abs(mixed) + one * one // 2) >> (2 * bits)
    return (np.sign(mixed) * rounded).astype(np.int32)


@operation(_mix_half_away)
def mix_half_away(context: Any, tile: Any, other: Any, weight: Any, bits: Any) -> Any:
    """``tile`` and ``other``, of ``bits`` fractional bits, in the ratio ``2**bits - weight : weight``.

    The result has none: it is rounded, ties away from zero. ``weight`` is an int32, ``bits`` a constant.
    """
    one = 1 << bits.literal_value

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        b = builder
        zero, half = e.constant(0, _LANES64), e.constant(one * one // 2, _LANES64)
        weights = [b.sext(e.splat(w), _LANES64) for w in (b.sub(_I32(one), arguments[2]), arguments[2])]

        def mixed(i: int, j: int, old: Any) -> Any:
            new = b.extract_value(arguments[1], i * tile.vectors + j)
            first, second = (
                b.mul(b.sext(value, _LANES64), weight)
                for value, weight in zip((old, new), weights, strict=True)
            )
            total = b.add(first, second)
            negative = b.icmp_signed("<", total, zero)
            magnitude = b.select(negative, b.sub(zero, total), total)
            rounded = b.lshr(b.add(magnitude, half), e.constant(2 * bits.literal_value, _LANES64))
            return b.trunc(b.select(negative, b.sub(zero, rounded), rounded), _LANES32)

        return map_tile(e, tile, mixed, arguments[0])

    return tile(tile, tile, types.int32, bits), emit
