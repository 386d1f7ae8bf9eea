"""Softmax of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.requantize import (
    leading_zeros,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from minilite_kernels.transcendental import exp, log

LANES = 64
"""Running maxima and sums that a long row is taken in, side by side in vectors; they meet at its end."""


@helper
def _largest(values: Any, lanes: Any) -> np.float32:
    """The largest of a row; NaN may be left out, or be it."""
    largest = np.float32(-np.inf)
    whole = values.size // LANES * LANES
    if whole:
        lanes[:LANES] = values[:LANES]
        for start in range(LANES, whole, LANES):
            part = values[start:][:LANES]
            for i in range(LANES):
                lanes[i] = part[i] if part[i] > lanes[i] else lanes[i]
        for i in range(LANES):
            largest = lanes[i] if lanes[i] > largest else largest
    for i in range(values.size - whole):
        value = values[whole + i]
        largest = value if value > largest else largest
    return largest


@helper
def _sum(values: Any, lanes: Any) -> np.float32:
    """The sum of a row."""
    total = np.float32(0.0)
    whole = values.size // LANES * LANES
    if whole:
        lanes[:LANES] = values[:LANES]
        for start in range(LANES, whole, LANES):
            part = values[start:][:LANES]
            for i in range(LANES):
                lanes[i] += part[i]
        for i in range(LANES):
            total += lanes[i]
    for i in range(values.size - whole):
        total += values[whole + i]
    return total


@kernel
def softmax_float(
    x: Input, out: Output, lanes: Scratch, depth: int, beta: float, start: int, stop: int
) -> None:
    """SOFTMAX on float32 rows of ``depth`` values."""
    factor = np.float32(beta)
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        largest = _largest(values, lanes)
        for i in range(results.size):
            results[i] = exp((values[i] - largest) * factor)
        share = np.float32(1.0) / _sum(results, lanes)
        for i in range(results.size):
            results[i] *= share


@kernel
def log_softmax_float(x: Input, out: Output, lanes: Scratch, depth: int, start: int, stop: int) -> None:
    """LOG_SOFTMAX on float32 rows of ``depth`` values."""
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        largest = _largest(values, lanes)
        for i in range(results.size):
            results[i] = exp(values[i] - largest)
        logarithm = log(_sum(results, lanes))
        for i in range(results.size):
            results[i] = (values[i] - largest) - logarithm


@kernel
def softmax_bytes(
    x: Input,
    exponentials: Input,
    out: Output,
    depth: int,
    bits: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """SOFTMAX on 8-bit rows, to ``bits`` bits (TFLite's ``reference/softmax.h``).

    ``exponentials`` holds ``exp`` of the differences 0, -1 ... -255 to a row's largest value, in Q0.31.
    """
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        largest = -128
        for i in range(values.size):
            largest = max(largest, values[i])
        total = 0
        for i in range(values.size):
            total += rounding_divide_by_pot(exponentials[largest - values[i]], 12)
        total = min(total, (1 << 31) - 1)
        zeros = leading_zeros(total)
        scale = _one_over_one_plus_x(((total << zeros) & 0xFFFFFFFF) - (1 << 31))
        shift = 12 - zeros + 31 - bits
        for i in range(values.size):
            exponential = exponentials[largest - values[i]]
            steps = rounding_divide_by_pot(saturating_rounding_doubling_high_mul(scale, exponential), shift)
            results[i] = min(max(steps + low, low), high)


@helper
def _one_over_one_plus_x(raw: int) -> int:
    """``1 / (1 + x)`` for x in [0, 1], Q0.31 (gemmlowp's ``one_over_one_plus_x_for_x_in_0_1``)."""
    half_denominator = rounding_divide_by_pot(raw + (1 << 31) - 1, 1)
    # 48/17 - 32/17 d, then Newton's method, in Q2.29.
    x = 1515870810 + saturating_rounding_doubling_high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - saturating_rounding_doubling_high_mul(half_denominator, x)
        x += _saturated(saturating_rounding_doubling_high_mul(x, error) << 2)
    return _saturated(x << 1)


@helper
def _saturated(value: int) -> int:
    return min(max(value, -(1 << 31)), (1 << 31) - 1)


@kernel
def softmax_int16(
    x: Input,
    exponentials: Input,
    reciprocals: Input,
    out: Output,
    depth: int,
    start: int,
    stop: int,
) -> None:
    """SOFTMAX on int16 rows (TFLite's ``reference/softmax.h``).

    ``exponentials`` holds ``exp`` of the differences 0, -1 ... -65535 to a row's largest value, and
    ``reciprocals`` 513 points of ``1 / (1 + x)``.
    """
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        largest = -(1 << 15)
        for i in range(values.size):
            largest = max(largest, values[i])
        total = 0
        for i in range(values.size):
            total += exponentials[largest - values[i]]
        total = min(total, (1 << 31) - 1)
        zeros = leading_zeros(total)
        # The sum as 1 + x, x in [0, 1) of 16 bits.
        fraction = min(((total << (zeros - 1)) + (1 << 13) >> 14) - (1 << 16), (1 << 16) - 1)
        place = fraction >> 7
        slope = np.int64(reciprocals[place + 1]) - np.int64(reciprocals[place])
        inverse = reciprocals[place] + ((slope * (fraction & 0x7F) + 64) >> 7)
        shift = 31 - zeros
        for i in range(values.size):
            steps = (np.int64(exponentials[largest - values[i]]) * inverse + (1 << (shift - 1))) >> shift
            results[i] = min(max(steps, 0), (1 << 15) - 1)
