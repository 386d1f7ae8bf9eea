"""One output element from the elements of two tensors that broadcast."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minilite_kernels.broadcast import accumulating, binary
from minilite_kernels.kernel import Array, helper
from minilite_kernels.requantize import (
    GuardedFactor,
    Rescaling,
    guarded_factor,
    multiply_guarded_double_rounding,
    rescale_block_double_rounding,
    rescaling,
    shift_left,
)

# --- numbers: integers wrap ------------------------------------------------------------------------


@helper
def _limits(parameters: Array) -> Any:
    """The smallest and the largest output, of the output's type."""
    return parameters[0], parameters[1]


@helper
def _nothing(parameters: Array) -> Any:
    return 0


@binary(_limits)
def add(x: Any, y: Any, limits: Any) -> Any:
    """ADD of numbers."""
    return min(max(np.add(x, y), limits[0]), limits[1])


@binary(_limits)
def subtract(x: Any, y: Any, limits: Any) -> Any:
    """SUB of numbers."""
    return min(max(np.subtract(x, y), limits[0]), limits[1])


@binary(_limits)
def multiply(x: Any, y: Any, limits: Any) -> Any:
    """MUL of numbers."""
    return min(max(np.multiply(x, y), limits[0]), limits[1])


@binary(_limits)
def divide(x: Any, y: Any, limits: Any) -> Any:
    """DIV of floats."""
    return min(max(np.divide(x, y), limits[0]), limits[1])


@binary(_nothing)
def squared_difference(x: Any, y: Any, _: Any) -> Any:
    """SQUARED_DIFFERENCE of numbers."""
    difference = np.subtract(x, y)
    return np.multiply(difference, difference)


@binary(_nothing)
def remainder(x: Any, y: Any, _: Any) -> Any:
    """FLOOR_MOD of integers; no divisor is 0."""
    return x % y


@binary(_nothing)
def power(x: Any, y: Any, _: Any) -> Any:
    """POW of floats, as the C library has it."""
    return x**y


@binary(_nothing)
def maximum(x: Any, y: Any, _: Any) -> Any:
    """MAXIMUM; the second where one is NaN."""
    return x if x > y else y


@binary(_nothing)
def minimum(x: Any, y: Any, _: Any) -> Any:
    """MINIMUM; the second where one is NaN."""
    return x if x < y else y


# --- truth values and bits -------------------------------------------------------------------------


@binary(_nothing)
def equal(x: Any, y: Any, _: Any) -> Any:
    """EQUAL."""
    return x == y


@binary(_nothing)
def not_equal(x: Any, y: Any, _: Any) -> Any:
    """NOT_EQUAL, and with a constant LOGICAL_NOT."""
    return x != y


@binary(_nothing)
def less(x: Any, y: Any, _: Any) -> Any:
    """LESS."""
    return x < y


@binary(_nothing)
def less_equal(x: Any, y: Any, _: Any) -> Any:
    """LESS_EQUAL."""
    return x <= y


@binary(_nothing)
def logical_and(x: Any, y: Any, _: Any) -> Any:
    """LOGICAL_AND."""
    return x & y


@binary(_nothing)
def logical_or(x: Any, y: Any, _: Any) -> Any:
    """LOGICAL_OR."""
    return x | y


# --- fixed point -----------------------------------------------------------------------------------


class _Sum(NamedTuple):
    """An exact addend and another one, both in units of twice the larger scale, and their sum."""

    exact_zero: np.int32
    exact_shift: int
    exact_sign: np.int32
    other_zero: np.int32
    other: GuardedFactor
    other_sign: np.int32
    out: Rescaling


@helper
def _sum(p: Array) -> _Sum:
    return _Sum(
        np.int32(p[0]),
        p[1],
        np.int32(p[2]),
        np.int32(p[3]),
        guarded_factor(p[4], p[5], p[1] + 1),
        np.int32(p[6]),
        rescaling(p[7], p[8], p[9], p[10], p[11]),
    )


class _Product(NamedTuple):
    a_zero: np.int32
    b_zero: np.int32
    out: Rescaling


@helper
def _product(p: Array) -> _Product:
    return _Product(np.int32(p[0]), np.int32(p[1]), rescaling(p[2], p[3], p[4], p[5], p[6]))


@helper
def _finish(accumulators: Array, out: Array, known: Any) -> None:
    rescale_block_double_rounding(accumulators, out, known.out)


@helper
def _addends(x: Any, y: Any, s: _Sum) -> np.int32:
    # The input of the larger scale is multiplied by a half, which rounds nothing.
    exact = shift_left(np.int32(np.int32(x) - s.exact_zero), s.exact_shift)
    other = multiply_guarded_double_rounding(np.int32(np.int32(y) - s.other_zero), s.other)
    # Signs are 0 or -1: a complement, and one more.
    return np.int32(
        np.int32((exact ^ s.exact_sign) - s.exact_sign) + np.int32((other ^ s.other_sign) - s.other_sign)
    )


@accumulating(_sum, _finish)
def add_fixed_point(x: Any, y: Any, s: _Sum) -> np.int32:
    """ADD and SUB of quantized values (TFLite's ``reference/integer_ops/add.h``, ``reference/sub.h``).

    Both inputs are brought to a common scale with guard bits, added, and brought to the output's
    scale. The input of the larger scale comes first.
    """
    return _addends(x, y, s)


@accumulating(_sum, _finish)
def squared_difference_fixed_point(x: Any, y: Any, s: _Sum) -> np.int32:
    """SQUARED_DIFFERENCE of quantized values (TFLite's ``kernels/squared_difference.cc``)."""
    difference = _addends(x, y, s)
    return np.int32(difference * difference)


@accumulating(_product, _finish)
def multiply_fixed_point(x: Any, y: Any, p: _Product) -> np.int32:
    """MUL of quantized values (TFLite's ``reference/integer_ops/mul.h``)."""
    return np.int32(np.int32(np.int32(x) - p.a_zero) * np.int32(np.int32(y) - p.b_zero))
