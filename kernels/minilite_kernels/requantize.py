"""TFLite's fixed point inside kernels: the compiled counterpart of ``minilite.quantization``.

The rounding mode is part of each name; nothing else in this package rounds accumulators.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilite_kernels.kernel import Input, Output, helper, kernel


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
    divisor = np.float32(scale)
    for i in range(start, stop):
        # Far outside the range the conversion to an integer would be undefined.
        value = min(max(x[i] / divisor, np.float32(-1e9)), np.float32(1e9))
        quantized = low if value != value else np.int64(round_half_away(value)) + zero  # noqa: PLR0124
        out[i] = min(max(quantized, low), high)


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
    for i in range(start, stop):
        value = multiply_by_quantized_multiplier(np.int64(x[i]) - in_zero, multiplier, shift) + out_zero
        out[i] = min(max(value, low), high)


@kernel
def dequantize(x: Input, out: Output, scale: float, zero: int, start: int, stop: int) -> None:
    """DEQUANTIZE to float32: ``scale * (x - zero)``, multiplied in float64 (``reference/dequantize.h``)."""
    for i in range(start, stop):
        out[i] = np.float32(scale * np.float64(np.int64(x[i]) - zero))
