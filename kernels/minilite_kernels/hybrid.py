"""Float pictures on integer weights ("hybrid"): the picture is quantized, sums are scaled back to float.

Scales and their products are float32 in TFLite's order (``reference/portable_tensor_utils.cc``,
``reference/conv.h``), so that results are equal to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd
from minilite_kernels import simd_integer as integer
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import padded_columns
from minilite_kernels.quantized import gather_lanes, multiply_lanes
from minilite_kernels.requantize import round_half_away
from minilite_kernels.window import Window

PART = 1 << 14
"""Values of a row whose range is found, and which are quantized, at once."""


def parts_of(length: int) -> int:
    """Parts of a row."""
    return max(1, -(-length // PART))


@helper
def ordered(bits: np.int32) -> np.int32:
    """A float's bits as an integer of the same order, and back: infinities and NaN at both ends."""
    # Numba widens integers; what is narrowed again at once, LLVM computes in 32 bits.
    return np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF))


@kernel
def find_ranges(x: Input, ranges: Output, length: int, parts: int, start: int, stop: int) -> None:
    """Smallest and largest value of part ``p`` of row ``r``, for ``r * parts + p`` in ``start..stop``.

    ``x`` float32 [rows, length]; ``ranges`` float32 [rows, parts, 2], widened to hold 0. One of the two is
    infinite or NaN where a value is.
    """
    # Integers, because LLVM vectorizes their minimum and maximum.
    bits, found = x.view(np.int32), ranges.view(np.int32)
    for item in range(start, stop):
        row, part = item // parts, item % parts
        first = row * length + part * PART
        low, high = np.int32(0), np.int32(0)
        for i in range(first, min(first + PART, (row + 1) * length)):
            key = ordered(bits[i])
            low, high = min(low, key), max(high, key)
        found[2 * item], found[2 * item + 1] = ordered(low), ordered(high)


@helper
def symmetric_scale(low: Any, high: Any) -> Any:
    """Scale, its inverse and the zero point 0, for values from ``low`` to ``high``, float32."""
    largest = max(-low, high)
    if largest == 0:
        return np.float32(1), np.float32(0), 0
    return largest / np.float32(127), np.float32(127) / largest, 0


@helper
def asymmetric_scale(low: Any, high: Any) -> Any:
    """Scale, its inverse and a zero point, computed from the end that has less error."""
    if low == high:
        return np.float32(1), np.float32(0), 0
    exact = np.float64(high - low) / 255.0
    below, above = np.float64(low) / exact, np.float64(high) / exact
    closer = 128.0 + abs(below) < 127.0 + abs(above)
    zero = min(max(-128.0 - below if closer else 127.0 - above, -128.0), 127.0)
    scale = np.float32(exact)
    return scale, np.float32(1.0 / np.float64(scale)), np.int64(round_half_away(zero))


@kernel
def quantize_rows(
    x: Input,
    ranges: Input,
    out: Output,
    scales: Output,
    zeros: Output,
    length: int,
    parts: int,
    symmetric: int,
    start: int,
    stop: int,
) -> None:
    """Part ``p`` of row ``r`` as int8, by its whole row's range, for ``r * parts + p`` in ``start..stop``.

    ``ranges`` from ``find_ranges``; ``scales`` float32 and ``zeros`` int32 [rows]. With ``symmetric`` values
    are in [-127, 127] and zeros 0. A row with a value that is not finite has the scale NaN.
    """
    for item in range(start, stop):
        row, part = item // parts, item % parts
        low, high, fault = np.float32(0), np.float32(0), np.float32(0)
        for i in range(row * parts, (row + 1) * parts):
            low, high = min(low, ranges[2 * i]), max(high, ranges[2 * i + 1])
            fault += (ranges[2 * i] + ranges[2 * i + 1]) * np.float32(0)
        finite = fault == 0
        if not finite:
            low, high = np.float32(0), np.float32(0)
        scale, inverse, zero = symmetric_scale(low, high) if symmetric != 0 else asymmetric_scale(low, high)
        if part == 0:
            scales[row] = scale if finite else np.float32(np.nan)
            zeros[row] = zero
        first = row * length + part * PART
        last = min(first + PART, (row + 1) * length)
        if finite:
            quantize_part(x[first:last], out[first:last], inverse, zero, -127 if symmetric != 0 else -128)
        else:
            out[first:last] = 0


@helper
def quantize_part(x: Any, out: Any, inverse: Any, zero: int, low: int) -> None:
    """``round(x * inverse) + zero``, ties away from zero, limited to ``low..127``."""
    # In operations that LLVM vectorizes.
    furthest = np.float32(300)
    for i in range(len(x)):
        value = x[i] * inverse
        value = value if value < furthest else furthest
        value = value if value > -furthest else -furthest
        whole = np.int32(value)
        rest = value - np.float32(whole)
        away = np.int32(rest >= np.float32(0.5)) - np.int32(rest <= np.float32(-0.5))
        out[i] = np.int8(min(max(np.int32(whole + away + zero), np.int32(low)), np.int32(127)))


@helper
def finish_hybrid(tile: Any, operands: Any, column: int, row: int, last: int) -> Any:
    """Sums times two factors, plus the bias, clamped; each step rounded to float32."""
    factors, second, bias, low, high = operands
    values = simd.scale_columns(integer.to_float(tile), factors, column)
    values = simd.add_columns(simd.scale(values, second), bias, column)
    return simd.clamp(values, np.float32(low), np.float32(high))


@helper
def store_hybrid(
    tile: Any, operands: Any, column: int, row: int, out: Any, target: int, stride: int, last: int, valid: int
) -> None:
    """``finish_hybrid`` and a store."""
    simd.store(finish_hybrid(tile, operands, column, row, last), out, target, stride, last, valid)


@helper
def set_factors(factors: Any, scales: Any, scale: np.float32, together: int) -> np.float32:
    """Fill the factor of each channel; what is left to multiply by.

    TFLite multiplies a sum by the product of both scales (``together``), or by one after the other.
    """
    for i in range(len(scales)):
        factors[i] = scales[i] * scale if together != 0 else scales[i]
    return np.float32(1) if together != 0 else scale


@kernel
def convolve_hybrid(
    x: Input,
    row_scales: Input,
    row_zeros: Input,
    weights: Input,
    totals: Input,
    scales: Input,
    bias: Input,
    out: Output,
    patches: Scratch,
    initial: Scratch,
    factors: Scratch,
    w: Window,
    groups: int,
    out_c: int,
    together: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """CONV_2D on float32 with int8 weights, output pixels ``start..stop`` of [batch, out_h, out_w].

    Parameters
    ----------
    x, row_scales, row_zeros:
        int8 NHWC from ``quantize_rows``, a row for each picture of the batch.
    weights, totals, scales, bias:
        int8 through ``quantized.pack_lanes``; for each output channel, padded as ``matmul.pack_columns``
        does, the sum of its weights (int32), their scale and its bias. All ``matmul.in_groups``.
    patches, initial, factors:
        Room for one patch of a group (padded to whole lanes) a pixel; an int32 and a float32 for each packed
        output channel.
    together:
        See ``set_factors``.
    """
    channels, columns = w.in_c // groups, out_c // groups
    depth, padded = w.kernel_h * w.kernel_w * channels, padded_columns(columns)
    stride = (depth + integer.LANE_BYTES - 1) // integer.LANE_BYTES * integer.LANE_BYTES
    picture, begin = w.out_h * w.out_w, start
    while begin < stop:
        row = begin // picture
        end = min(stop, (row + 1) * picture)
        zero = row_zeros[row]
        for i in range(len(totals)):
            initial[i] = -(zero + 128) * totals[i]
        operands = (factors, set_factors(factors, scales, row_scales[row], together), bias, low, high)
        for group in range(groups):
            source, place = gather_lanes(
                x, patches, stride, zero, -128, w, group * channels, channels, begin, end
            )
            first, target = group * padded, begin * out_c + group * columns
            multiply_lanes(
                source,
                place,
                end - begin,
                stride,
                weights,
                initial,
                first,
                columns,
                out,
                target,
                out_c,
                store_hybrid,
                operands,
            )
        begin = end
