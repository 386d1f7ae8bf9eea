"""FULLY_CONNECTED: packed weights, and rows that are few.

A product of one row reads each weight once, and that is what takes the time: several panels are under way
at once, and chunks are panels, so that each thread reads weights of its own. Many rows are multiplied on
tiles, as pixels are, and chunks are rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilite_kernels import simd
from minilite_kernels import simd_integer as integer
from minilite_kernels.hybrid import asymmetric_scale, ordered, symmetric_scale
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import PANEL, ROWS, VECTORS, WIDTH
from minilite_kernels.quantized import Levels, multiply_lanes
from minilite_kernels.requantize import round_half_away

TOGETHER = 4
"""Panels of which the sums of one row are under way at once."""

AT_ONCE = 2 * TOGETHER * PANEL
"""Units whose sums are held before they are scaled, for each row."""


class Product(NamedTuple):
    """``rows`` of ``depth`` values, times the weights of ``units``; chunks are rows, or panels of units."""

    rows: int
    depth: int
    units: int
    by_rows: int


@helper
def bounds_of(p: Product, start: int, stop: int) -> Any:
    """First and last row, first and last unit of a chunk."""
    if p.by_rows != 0:
        return start, stop, 0, p.units
    return 0, p.rows, start * PANEL, min(stop * PANEL, p.units)


def panels_of(units: int) -> int:
    """Panels that units are packed in, the last one perhaps narrower."""
    return -(-units // PANEL)


@helper
def multiply_vector(
    x: Any,
    at: int,
    depth: int,
    weights: Any,
    initial: Any,
    first: int,
    last: int,
    out: Any,
    target: int,
    lane: int,
    multiply: Any,
    finish: Any,
    operands: Any,
) -> None:
    """``out[target + c] = finish(initial[c] + sum_k x[at + k] * weights[c, k])``, ``c`` in ``first..last``.

    ``first`` is where a panel begins; a step of the sum takes ``lane`` values.
    """
    column = first
    while column + TOGETHER * PANEL <= last:
        a = simd.broadcast_row(initial, column, 1, VECTORS)
        b = simd.broadcast_row(initial, column + PANEL, 1, VECTORS)
        c = simd.broadcast_row(initial, column + 2 * PANEL, 1, VECTORS)
        d = simd.broadcast_row(initial, column + 3 * PANEL, 1, VECTORS)
        panel = column * depth
        for k in range(0, depth, lane):
            place = panel + k * PANEL
            a = multiply(a, x, at + k, depth, 0, weights, place)
            b = multiply(b, x, at + k, depth, 0, weights, place + PANEL * depth)
            c = multiply(c, x, at + k, depth, 0, weights, place + 2 * PANEL * depth)
            d = multiply(d, x, at + k, depth, 0, weights, place + 3 * PANEL * depth)
        for tile in (a, b, c, d):
            simd.store(finish(tile, operands, column, 0, 0), out, target + column, 0, 0, PANEL)
            column += PANEL
    while column < last:
        valid, panel = last - column, column * depth
        if valid > WIDTH:
            tile = simd.broadcast_row(initial, column, 1, VECTORS)
            for k in range(0, depth, lane):
                tile = multiply(tile, x, at + k, depth, 0, weights, panel + k * PANEL)
            simd.store(finish(tile, operands, column, 0, 0), out, target + column, 0, 0, valid)
        else:
            half = simd.broadcast_row(initial, column, 1, 1)
            for k in range(0, depth, lane):
                half = multiply(half, x, at + k, depth, 0, weights, panel + k * WIDTH)
            simd.store(finish(half, operands, column, 0, 0), out, target + column, 0, 0, valid)
        column += PANEL


@helper
def keep_sums(tile: Any, operands: Any, column: int, row: int, last: int) -> Any:
    """Sums as they are."""
    return tile


@helper
def store_sums(
    tile: Any, operands: Any, column: int, row: int, out: Any, target: int, stride: int, last: int, valid: int
) -> None:
    """Sums as they are, stored."""
    simd.store(tile, out, target, stride, last, valid)


@helper
def sum_on_tiles(
    values: Any, rows: int, stride: int, weights: Any, initial: Any, left: int, columns: int, sums: Any
) -> None:
    """``sums[r * AT_ONCE + c] = initial[left + c] + sum_k values[r, k] * weights[left + c, k]``, int32."""
    multiply_lanes(values, 0, rows, stride, weights, initial, left, columns, sums, 0, AT_ONCE, store_sums, ())


@helper
def sum_by_rows(
    values: Any, rows: int, stride: int, weights: Any, initial: Any, left: int, columns: int, sums: Any
) -> None:
    """As ``sum_on_tiles``, each row by itself."""
    lane, dot_lanes = integer.LANE_BYTES, integer.dot_multiply_add
    end = left + columns
    for row in range(rows):
        at, to = row * stride, row * AT_ONCE - left
        multiply_vector(
            values, at, stride, weights, initial, left, end, sums, to, lane, dot_lanes, keep_sums, ()
        )


@helper
def scale_sums(sums: Any, scales: Any, moved: Any, out: Any, zero: Any, low: Any, high: Any) -> None:
    """Sums less ``moved``, scaled in float64, rounded half away from zero, plus ``zero``, clamped."""
    for c in range(len(out)):
        value = round_half_away(np.float64(sums[c] - moved) * scales[c]) + zero
        out[c] = np.int32(min(max(value, low), high))


@helper
def multiply_rows(
    x: Any,
    weights: Any,
    bias: Any,
    scales: Any,
    out: Any,
    values: Any,
    sums: Any,
    p: Product,
    levels: Levels,
    start: int,
    stop: int,
    sum_products: Any,
) -> None:
    """What ``multiply_bytes`` does, with either way to sum products."""
    first, last, left, right = bounds_of(p, start, stop)
    stride = (p.depth + integer.LANE_BYTES - 1) // integer.LANE_BYTES * integer.LANE_BYTES
    zero, low, high = np.float64(levels.zero), np.float64(levels.low), np.float64(levels.high)
    for begin in range(first, last, ROWS):
        rows = min(ROWS, last - begin)
        for i in range(rows):
            source = (begin + i) * p.depth
            take_row(x[source : source + p.depth], values[i * stride : (i + 1) * stride], levels.flip)
        for column in range(left, right, AT_ONCE):
            columns = min(AT_ONCE, right - column)
            sum_products(values, rows, stride, weights, bias, column, columns, sums)
            for i in range(rows):
                # Only uint8 weights have a zero point, and int8 ones of old files.
                row = values[i * stride : i * stride + p.depth].view(np.uint8)
                moved = np.int32(levels.weight_zero * sum_up(row)) if levels.weight_zero != 0 else np.int32(0)
                target = (begin + i) * p.units + column
                scale_sums(
                    sums[i * AT_ONCE : i * AT_ONCE + columns],
                    scales[column : column + columns],
                    moved,
                    out[target : target + columns],
                    zero,
                    low,
                    high,
                )


@kernel
def multiply_bytes(
    x: Input,
    weights: Input,
    bias: Input,
    scales: Input,
    out: Output,
    values: Scratch,
    sums: Scratch,
    p: Product,
    levels: Levels,
    start: int,
    stop: int,
) -> None:
    """A product of uint8 or int8, scaled in float64 and rounded half away from zero; of few rows.

    Parameters
    ----------
    x:
        [rows, depth].
    weights:
        Through ``quantized.pack_lanes``, uint8 weights less 128.
    bias, scales:
        int32 and float64, one for each unit, padded as ``matmul.pack_columns`` does. The bias holds all that
        zero points add that does not depend on ``x``.
    values, sums:
        Room for ``ROWS`` rows (padded to whole lanes, type of ``x``), and for ``ROWS * AT_ONCE`` int32.
    """
    multiply_rows(x, weights, bias, scales, out, values, sums, p, levels, start, stop, sum_by_rows)


@kernel
def multiply_bytes_tiled(
    x: Input,
    weights: Input,
    bias: Input,
    scales: Input,
    out: Output,
    values: Scratch,
    sums: Scratch,
    p: Product,
    levels: Levels,
    start: int,
    stop: int,
) -> None:
    """As ``multiply_bytes``, for many rows."""
    multiply_rows(x, weights, bias, scales, out, values, sums, p, levels, start, stop, sum_on_tiles)


@helper
def take_row(row: Any, values: Any, flip: int) -> None:
    """A row of bytes, made unsigned by ``flip``, with zeros behind it.

    Slices instead of offsets: LLVM vectorizes loops over them, as their indices cannot be negative.
    """
    mask = row.dtype.type(flip)
    for k in range(len(row)):
        values[k] = row[k] ^ mask
    values[len(row) :] = 0


@helper
def sum_up(row: Any) -> Any:
    """The sum of integers."""
    total = np.int64(0)
    for k in range(len(row)):
        total += np.int64(row[k])
    return total


@helper
def dot(row: Any, weights: Any) -> Any:
    """``sum_k row[k] * weights[k]`` of integers, exact."""
    total = np.int64(0)
    for k in range(len(row)):
        total += np.int64(row[k]) * np.int64(weights[k])
    return total


@kernel
def multiply_words(
    x: Input,
    weights: Input,
    bias: Input,
    scales: Input,
    out: Output,
    p: Product,
    weights_zero: int,
    zero: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """Units ``start..stop`` of a product of int16, whose sums have 64 bits, scaled as ``multiply_bytes``.

    ``x`` [rows, depth]; ``weights`` int8 [units, depth] as they lie in the file, and their zero point;
    ``bias`` int64 and ``scales`` float64 [units].
    """
    floor, ceiling = np.float64(low - zero), np.float64(high - zero)
    for row in range(p.rows):
        values = x[row * p.depth : (row + 1) * p.depth]
        moved = weights_zero * sum_up(values) if weights_zero != 0 else 0
        for unit in range(start, stop):
            total = dot(values, weights[unit * p.depth : (unit + 1) * p.depth]) + bias[unit] - moved
            value = round_half_away(np.float64(total) * scales[unit])
            out[row * p.units + unit] = np.int64(min(max(value, floor), ceiling)) + zero


@helper
def quantize_row(row: Any, values: Any, asymmetric: int) -> Any:
    """A float row as unsigned bytes, 128 more than its int8 ``values``; its scale and zero point.

    As ``quantization.quantize_rows_symmetric`` and ``quantize_rows_asymmetric``. A row with a number that
    is not finite has the scale NaN. Behind the row there are zeros.
    """
    low, high = row_range(row)
    values[len(row) :] = 0
    if not (np.isfinite(low) and np.isfinite(high)):
        values[: len(row)] = 0
        return np.float32(np.nan), np.int64(0)
    scale, inverse, zero = asymmetric_scale(low, high) if asymmetric != 0 else symmetric_scale(low, high)
    bound, offset = np.float32(-128 if asymmetric != 0 else -127), np.float32(zero)
    for k in range(len(row)):
        value = min(max(round_half_away(row[k] * inverse) + offset, bound), np.float32(127))
        values[k] = np.int8(np.int32(value) ^ 0x80)
    return scale, zero


@helper
def row_range(row: Any) -> Any:
    """Smallest and largest value, and 0; infinite or NaN where one is (as ``hybrid.find_ranges``)."""
    bits = row.view(np.int32)
    low, high = np.int32(0), np.int32(0)
    for k in range(len(bits)):
        key = ordered(bits[k])
        low, high = min(low, key), max(high, key)
    return np.int32(ordered(low)).view(np.float32), np.int32(ordered(high)).view(np.float32)


@helper
def scale_back(
    sums: Any, totals: Any, scales: Any, bias: Any, out: Any, row: Any, low: Any, high: Any
) -> None:
    """Sums of a quantized row back in float, each step rounded to float32; NaN stays."""
    scale, zero = row
    moved = np.int32(zero + 128)
    for c in range(len(out)):
        total = np.int32(sums[c] - moved * totals[c])
        value = np.float32(total) * (scale * scales[c]) + bias[c]
        value = low if value < low else value
        out[c] = high if value > high else value


@kernel
def multiply_hybrid(
    x: Input,
    weights: Input,
    nothing: Input,
    totals: Input,
    scales: Input,
    bias: Input,
    out: Output,
    values: Scratch,
    sums: Scratch,
    p: Product,
    asymmetric: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """A float product with integer weights: each row is quantized, its sums scaled back.

    Parameters
    ----------
    x:
        float32 [rows, depth].
    weights, nothing, totals, scales, bias:
        int8 through ``quantized.pack_lanes``; for each unit, padded as ``matmul.pack_columns`` does: 0
        (int32), the sum of its weights (int32), their scale and what is added (float32).
    values, sums:
        Room for a row in int8, padded to whole lanes, and for ``AT_ONCE`` int32.
    """
    first, last, left, right = bounds_of(p, start, stop)
    stride = (p.depth + integer.LANE_BYTES - 1) // integer.LANE_BYTES * integer.LANE_BYTES
    floor, ceiling = np.float32(low), np.float32(high)
    for row in range(first, last):
        found = quantize_row(x[row * p.depth : (row + 1) * p.depth], values[:stride], asymmetric)
        for column in range(left, right, AT_ONCE):
            columns = min(AT_ONCE, right - column)
            sum_by_rows(values, 1, stride, weights, nothing, column, columns, sums)
            target, end = row * p.units + column, column + columns
            scale_back(
                sums[:columns],
                totals[column:end],
                scales[column:end],
                bias[column:end],
                out[target : target + columns],
                found,
                floor,
                ceiling,
            )


@helper
def finish_float(tile: Any, operands: Any, column: int, row: int, last: int) -> Any:
    """Sums, clamped."""
    floor, ceiling = operands
    return simd.clamp(tile, floor, ceiling)


@kernel
def multiply_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    p: Product,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """A float product of few rows, each by itself; see ``matmul.matmul_float`` for many.

    ``weights`` from ``matmul.pack_panels``, ``bias`` from ``matmul.pack_columns``.
    """
    operands = (np.float32(low), np.float32(high))
    first, last, left, right = bounds_of(p, start, stop)
    for row in range(first, last):
        multiply_vector(
            x,
            row * p.depth,
            p.depth,
            weights,
            bias,
            left,
            right,
            out,
            row * p.units,
            1,
            simd.outer_multiply_add,
            finish_float,
            operands,
        )
