"""Softmax of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels.kernel import Input, Output, helper, kernel
from minilite_kernels.requantize import (
    leading_zeros,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from minilite_kernels.transcendental import bits_of, exp, float_of, log


@helper
def _largest(values: Any) -> np.float32:
    """The largest of a row of float32, or NaN.

    As integers that are in the order of the numbers they stand for: LLVM puts the search among floats
    into no vectors.
    """
    largest = np.int32(-(1 << 31))
    for i in range(values.size):
        largest = max(largest, _ordered(bits_of(values[i])))
    return float_of(_ordered(largest))


@helper
def _ordered(bits: np.int32) -> np.int32:
    """Turns the bits below the sign of negative numbers; the way back is the same."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@helper
def _sum(values: Any) -> np.float64:
    """The sum of a row, four at a time: one after the other each addition would wait for the last."""
    a, b, c, d = np.float64(0), np.float64(0), np.float64(0), np.float64(0)
    whole = values.size // 4
    for i in range(whole):
        a += values[4 * i]
        b += values[4 * i + 1]
        c += values[4 * i + 2]
        d += values[4 * i + 3]
    for i in range(4 * whole, values.size):
        a += values[i]
    return (a + b) + (c + d)


@kernel
def softmax_float(x: Input, out: Output, depth: int, beta: float, start: int, stop: int) -> None:
    """SOFTMAX on float32 rows of ``depth`` values."""
    factor = np.float32(beta)
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        largest = _largest(values)
        for i in range(results.size):
            results[i] = exp((values[i] - largest) * factor)
        total = np.float32(_sum(results))
        for i in range(results.size):
            results[i] = results[i] / total


@kernel
def log_softmax_float(x: Input, out: Output, depth: int, start: int, stop: int) -> None:
    """LOG_SOFTMAX on float32 rows of ``depth`` values."""
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        largest = _largest(values)
        for i in range(results.size):
            results[i] = exp(values[i] - largest)
        logarithm = log(np.float32(_sum(results)))
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
