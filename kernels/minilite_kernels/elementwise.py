"""One output element from the input elements at the same place."""

from __future__ import annotations

import numpy as np

from minilite_kernels.kernel import Input, Output, kernel
from minilite_kernels.requantize import multiply_by_quantized_multiplier


@kernel
def add_float(a: Input, b: Input, out: Output, low: float, high: float, start: int, stop: int) -> None:
    """ADD on float32, equal shapes."""
    floor, ceiling = np.float32(low), np.float32(high)
    for i in range(start, stop):
        out[i] = min(max(a[i] + b[i], floor), ceiling)


@kernel
def add_quantized(
    a: Input,
    b: Input,
    out: Output,
    a_zero: int,
    a_multiplier: int,
    a_shift: int,
    b_zero: int,
    b_multiplier: int,
    b_shift: int,
    left_shift: int,
    out_zero: int,
    out_multiplier: int,
    out_shift: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """ADD on uint8 and int8, equal shapes (TFLite's ``reference/integer_ops/add.h``).

    Both inputs are brought to a common scale with ``left_shift`` guard bits, added, and brought to
    the output's scale; each of the three with double rounding.
    """
    for i in range(start, stop):
        left = multiply_by_quantized_multiplier((np.int64(a[i]) - a_zero) << left_shift, a_multiplier, a_shift)
        right = multiply_by_quantized_multiplier((np.int64(b[i]) - b_zero) << left_shift, b_multiplier, b_shift)
        value = multiply_by_quantized_multiplier(left + right, out_multiplier, out_shift) + out_zero
        out[i] = min(max(value, low), high)
