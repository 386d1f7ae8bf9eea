"""TFLite's fixed point inside kernels: the compiled counterpart of ``minilite.quantization``.

The rounding mode is part of each name; nothing else in this package rounds accumulators.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from minilite_kernels.kernel import Array, Input, Output, helper, kernel
from minilite_kernels.vector import operation


class Scaling(NamedTuple):
    """A tensor's zero point, and the fixed-point factor ``multiplier * 2**(shift - 31)``."""

    zero: int
    multiplier: int
    shift: int


@helper
def multiply_by_quantized_multiplier(value: Any, multiplier: int, shift: int) -> Any:
    """``value * multiplier * 2**(shift - 31)`` with TFLite's double rounding (``internal/common.cc``).

    A saturating rounding doubling high multiply (ties towards +infinity), then a rounding division
    by a power of two (ties away from zero). ``value`` int32, ``multiplier`` in [0, 2**31).
    """
    left, right = max(shift, 0), max(-shift, 0)
    # 32-bit shift as in C: what overflows is lost.
    widened = np.int64(np.int32(np.int64(value) << left))
    high = (widened * np.int64(multiplier) + (1 << 30)) >> 31
    if right == 0:
        return high
    return (high + (1 << (right - 1)) - (1 if high < 0 else 0)) >> right


def _shift_right(value: np.int32, bits: int) -> np.int32:
    return np.int32(np.int64(value) >> bits)


@operation(_shift_right)
def shift_right(context: Any, value: Any, bits: Any) -> Any:
    """``value >> bits`` in 32 bits: Numba's own shift has 64, and keeps loops to half as many lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ashr(arguments[0], builder.trunc(arguments[1], arguments[0].type))

    return types.int32(types.int32, types.int64), emit


def _shift_left(value: np.int32, bits: int) -> np.int32:
    return np.int64(np.int64(value) << bits).astype(np.int32)


@operation(_shift_left)
def shift_left(context: Any, value: Any, bits: Any) -> Any:
    """``value << bits`` in 32 bits; what overflows is lost."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.shl(arguments[0], builder.trunc(arguments[1], arguments[0].type))

    return types.int32(types.int32, types.int64), emit


class Halving(NamedTuple):
    """A division by ``2**right``, made ready for ``divide_by_pot``."""

    right: int
    half: np.int32
    away: np.int32


@helper
def halving(right: int) -> Halving:
    """Division by ``2**right``."""
    return Halving(right, np.int32((1 << right) >> 1), np.int32(1 if right > 0 else 0))


@helper
def divide_by_pot(value: np.int32, by: Halving) -> np.int32:
    """Rounded to nearest, ties away from zero, for values that have room for the half that is added."""
    return shift_right(np.int32(value + by.half - (shift_right(value, 31) & by.away)), by.right)


class Rescaling(NamedTuple):
    """From 32-bit accumulators to an output: a fixed-point factor, a zero point and a clamp."""

    multiplier: np.int32
    left: int
    divisor: Halving
    zero: np.int32
    low: np.int32
    high: np.int32


@helper
def rescaling(multiplier: int, shift: int, zero: int, low: int, high: int) -> Rescaling:
    """By ``multiplier * 2**(shift - 31)``."""
    left, divisor = max(shift, 0), halving(max(-shift, 0))
    return Rescaling(np.int32(multiplier), left, divisor, np.int32(zero), np.int32(low), np.int32(high))


@helper
def rescale_block_double_rounding(block: Array, out: Array, by: Rescaling) -> None:
    """``multiply_by_quantized_multiplier`` of accumulators up to ``2**30``, plus the zero point, clamped.

    Shifts are at least -30: what is rounded second is no larger than the accumulator, and has room for a
    half. Only the product needs 64 bits: it has a loop of its own, so that all else is done on twice as
    many lanes. ``block`` is overwritten.
    """
    for i in range(block.size):
        widened = np.int64(shift_left(block[i], by.left))
        block[i] = np.int32((widened * np.int64(by.multiplier) + (1 << 30)) >> 31)
    for i in range(block.size):
        value = np.int32(divide_by_pot(block[i], by.divisor) + by.zero)
        out[i] = min(max(value, by.low), by.high)


class GuardedFactor(NamedTuple):
    """A fixed-point factor for 16-bit values with guard bits, for ``multiply_guarded_double_rounding``."""

    upper: np.int32
    lower: np.int32
    up: int
    half: np.int32
    down: int
    last: int
    divisor: Halving


@helper
def guarded_factor(multiplier: int, shift: int, guard: int) -> GuardedFactor:
    """``2**guard * multiplier * 2**(shift - 31)``, ``shift`` at most 0."""
    drop = 31 - guard
    down = min(drop, 15)
    return GuardedFactor(
        np.int32(multiplier >> 15),
        np.int32(multiplier & 0x7FFF),
        15 - down,
        np.int32(1 << (drop - 1)),
        down,
        drop - down,
        halving(-shift),
    )


@helper
def multiply_guarded_double_rounding(value: np.int32, by: GuardedFactor) -> np.int32:
    """``multiply_by_quantized_multiplier(value << guard)`` for 16-bit values, all of it in 32 bits.

    The multiplier is taken in two parts, of which the upper one's product needs no rounding.
    """
    lower = shift_right(np.int32(np.int32(value * by.lower) + by.half), by.down)
    upper = shift_left(np.int32(value * by.upper), by.up)
    return divide_by_pot(shift_right(np.int32(upper + lower), by.last), by.divisor)


@helper
def saturating_rounding_doubling_high_mul(a: int, b: int) -> int:
    """``a * b / 2**31`` rounded to nearest, ties towards +infinity; int32 values held in int64."""
    return min((a * b + (1 << 30)) >> 31, (1 << 31) - 1)


@helper
def rounding_divide_by_pot(value: int, exponent: int) -> int:
    """``value / 2**exponent`` rounded to nearest, ties away from zero; int32 values held in int64."""
    half = (1 << exponent) >> 1
    return (value + half - (1 if value < 0 and half > 0 else 0)) >> exponent


@helper
def leading_zeros(value: int) -> int:
    """How many of 32 bits stand before the first that is set; value in [0, 2**32)."""
    zeros = 32
    while value > 0:
        value >>= 1
        zeros -= 1
    return zeros


@helper
def round_half_away(value: np.float32) -> np.float32:
    """C's ``round``: exact, where adding 0.5 first would not be."""
    whole = np.trunc(value)
    if abs(value - whole) >= np.float32(0.5):
        whole += np.float32(1) if value > 0 else np.float32(-1)
    return whole


@kernel
def quantize(
    x: Input, out: Output, scale: float, zero: int, low: int, high: int, start: int, stop: int
) -> None:
    """QUANTIZE from float32: round half away, clamp; NaN becomes ``low`` (``reference/quantize.h``)."""
    divisor, moved = np.float32(scale), np.int32(zero)
    # As floats, which all of these are exactly: far outside them a conversion would be undefined.
    floor, ceiling = np.float32(low - zero), np.float32(high - zero)
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        steps = round_half_away(x[i] / divisor)
        steps = steps if steps > floor else floor
        steps = steps if steps < ceiling else ceiling
        out[i] = np.int32(steps) + moved


@kernel
def requantize(
    x: Input,
    out: Output,
    in_zero: int,
    multiplier: int,
    shift: int,
    out_zero: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """QUANTIZE from integers to integers (TFLite's ``reference/requantize.h``)."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        value = multiply_by_quantized_multiplier(np.int64(x[i]) - in_zero, multiplier, shift) + out_zero
        out[i] = min(max(value, low), high)


@kernel
def dequantize(x: Input, out: Output, scale: float, zero: int, start: int, stop: int) -> None:
    """DEQUANTIZE to float32: ``scale * (x - zero)``, multiplied in float64 (``reference/dequantize.h``)."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = np.float32(scale * np.float64(np.int64(x[i]) - zero))
