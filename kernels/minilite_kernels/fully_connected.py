"""FULLY_CONNECTED of few rows: each weight is read once, in the file's order, and that takes the time.

Weights are [units, depth] as they lie in the file. Many rows are better off with packed weights
(``matmul``, ``quantized``). Work is cut along the units, so that each thread reads its own weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilite_kernels import simd, vector
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.requantize import round_half_away

WIDTH = vector.WIDTH

UNITS = 8
"""Units whose weights are multiplied at once in float: so many sums are under way."""

_BLOCK = 256
"""Products of 16 by 8 bits that are summed in 32 bits before they are added to the total."""


class Product(NamedTuple):
    """``rows`` of ``depth`` values, times the weights of ``units``."""

    rows: int
    depth: int
    units: int


@helper
def dot(x: Any, at: int, weights: Any, first: int, depth: int) -> Any:
    """``sum_k x[at + k] * weights[first + k]`` of integers, exact."""
    total = np.int64(0)
    for block in range(0, depth, _BLOCK):
        part = np.int32(0)
        for k in range(block, min(block + _BLOCK, depth)):
            part += np.int32(x[at + k]) * np.int32(weights[first + k])
        total += part
    return total


@helper
def sum_up(x: Any, at: int, depth: int) -> Any:
    """``sum_k x[at + k]`` of integers."""
    total = np.int64(0)
    for k in range(depth):
        total += np.int64(x[at + k])
    return total


@kernel
def multiply_integers(
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
    """Units ``start..stop`` of an integer product, scaled in float64 and rounded half away from zero.

    ``x`` uint8, int8 or int16 [rows, depth]; ``weights`` uint8 or int8; ``bias`` int64 [units], with all
    that zero points add but for the weights' own, which ``weights_zero`` is; ``scales`` float64 [units].
    """
    floor, ceiling = np.float64(low - zero), np.float64(high - zero)
    for row in range(p.rows):
        at = row * p.depth
        moved = weights_zero * sum_up(x, at, p.depth) if weights_zero != 0 else 0
        for unit in range(start, stop):
            total = dot(x, at, weights, unit * p.depth, p.depth) + bias[unit] - moved
            value = round_half_away(np.float64(total) * scales[unit])
            out[row * p.units + unit] = np.int64(min(max(value, floor), ceiling)) + zero


@helper
def quantize_row(x: Any, at: int, length: int, values: Any, asymmetric: int) -> Any:
    """A float row as int8 ``values``; its scale and zero point.

    As ``quantization.quantize_rows_symmetric`` and ``quantize_rows_asymmetric``. A row with a number that
    is not finite has the scale NaN.
    """
    smallest, largest, fault = np.float32(0), np.float32(0), np.float32(0)
    for k in range(at, at + length):
        smallest, largest = min(smallest, x[k]), max(largest, x[k])
        fault += x[k] * np.float32(0)
    zero = np.float32(0)
    bound = np.float32(-128 if asymmetric != 0 else -127)
    if fault != 0 or smallest == largest:
        values[:length] = 0
        return np.float32(np.nan) if fault != 0 else np.float32(1), np.int64(0)
    if asymmetric != 0:
        exact = np.float64(largest - smallest) / 255.0
        below, above = np.float64(smallest) / exact, np.float64(largest) / exact
        nearer = 128.0 + abs(below) < 127.0 + abs(above)
        zero = np.float32(
            round_half_away(min(max(-128.0 - below if nearer else 127.0 - above, -128.0), 127.0))
        )
        scale = np.float32(exact)
        inverse = np.float32(1.0 / np.float64(scale))
    else:
        top = max(-smallest, largest)
        scale, inverse = top / np.float32(127), np.float32(127) / top
    for k in range(length):
        value = round_half_away(x[at + k] * inverse) + zero
        values[k] = np.int8(min(max(value, bound), np.float32(127)))
    return scale, np.int64(zero)


@kernel
def multiply_hybrid(
    x: Input,
    weights: Input,
    totals: Input,
    scales: Input,
    bias: Input,
    out: Output,
    values: Scratch,
    p: Product,
    asymmetric: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """Units ``start..stop`` of a float product with integer weights; each row is quantized first.

    ``weights`` int8; ``totals`` int32, ``scales`` and ``bias`` float32 [units]: the sum of a unit's weights,
    their scale, what is added; ``values`` room for a row in int8.
    """
    floor, ceiling = np.float32(low), np.float32(high)
    for row in range(p.rows):
        scale, zero = quantize_row(x, row * p.depth, p.depth, values, asymmetric)
        for unit in range(start, stop):
            total = dot(values, 0, weights, unit * p.depth, p.depth) - zero * totals[unit]
            value = np.float32(total) * (scale * scales[unit]) + bias[unit]
            out[row * p.units + unit] = min(max(value, floor), ceiling)


@helper
def lanes_sum(lanes: Any, first: int) -> Any:
    """The sum of ``WIDTH`` floats, as a tree."""
    half = WIDTH // 2
    while half > 0:
        for i in range(first, first + half):
            lanes[i] += lanes[i + half]
        half //= 2
    return lanes[first]


@kernel
def multiply_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    lanes: Scratch,
    p: Product,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """Units ``start..stop`` of a float product; ``lanes`` room for ``UNITS * WIDTH`` floats."""
    floor, ceiling = np.float32(low), np.float32(high)
    whole = p.depth // WIDTH * WIDTH
    for row in range(p.rows):
        at = row * p.depth
        unit = start
        while unit < stop:
            count = UNITS if stop - unit >= UNITS else 1
            first = unit * p.depth
            lanes[: count * WIDTH] = 0
            if count == UNITS:
                tile = simd.broadcast_row(lanes, 0, UNITS, 1)
                for k in range(0, whole, WIDTH):
                    tile = simd.pairwise_multiply_add(tile, weights, first + k, p.depth, x, at + k)
                simd.store(tile, lanes, 0, WIDTH, UNITS, WIDTH)
            else:
                single = simd.broadcast_row(lanes, 0, 1, 1)
                for k in range(0, whole, WIDTH):
                    single = simd.pairwise_multiply_add(single, weights, first + k, p.depth, x, at + k)
                simd.store(single, lanes, 0, WIDTH, 0, WIDTH)
            for i in range(count):
                value = lanes_sum(lanes, i * WIDTH)
                for k in range(whole, p.depth):
                    value += x[at + k] * weights[first + i * p.depth + k]
                value += bias[unit + i]
                # NaN goes where a comparison with it says, as in simd.clamp: it stays.
                value = floor if value < floor else value
                out[row * p.units + unit + i] = ceiling if value > ceiling else value
            unit += count
