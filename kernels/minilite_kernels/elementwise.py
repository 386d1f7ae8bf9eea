"""One output element from the input elements at the same place."""

from __future__ import annotations

import numpy as np

from minilite_kernels.kernel import Input, Output, kernel
from minilite_kernels.requantize import Scaling, multiply_by_quantized_multiplier


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
    a_scaling: Scaling,
    b_scaling: Scaling,
    out_scaling: Scaling,
    left_shift: int,
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
        widened_a = (np.int64(a[i]) - a_scaling.zero) << left_shift
        widened_b = (np.int64(b[i]) - b_scaling.zero) << left_shift
        left = multiply_by_quantized_multiplier(widened_a, a_scaling.multiplier, a_scaling.shift)
        right = multiply_by_quantized_multiplier(widened_b, b_scaling.multiplier, b_scaling.shift)
        value = multiply_by_quantized_multiplier(left + right, out_scaling.multiplier, out_scaling.shift)
        out[i] = min(max(value + out_scaling.zero, low), high)
