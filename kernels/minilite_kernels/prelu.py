"""PRELU, whose slopes repeat themselves for each row of as many values."""

from __future__ import annotations

import numpy as np

from minilite_kernels.kernel import Input, Output, kernel
from minilite_kernels.requantize import Scaling, multiply_by_quantized_multiplier


@kernel
def prelu_float(x: Input, alpha: Input, out: Output, length: int, start: int, stop: int) -> None:
    """PRELU on float32; the extent is rows of ``length`` values, which ``alpha`` has, too."""
    for row in range(start, stop):
        values, results = x[row * length :][:length], out[row * length :][:length]
        for i in range(results.size):
            value = values[i]
            results[i] = value if value >= np.float32(0.0) else value * alpha[i]


@kernel
def prelu_quantized(
    x: Input,
    alpha: Input,
    out: Output,
    above: Scaling,
    below: Scaling,
    zero: int,
    low: int,
    high: int,
    length: int,
    start: int,
    stop: int,
) -> None:
    """PRELU on 8-bit values: ``above`` has the zero point of ``x``, ``below`` that of ``alpha``."""
    for row in range(start, stop):
        values, results = x[row * length :][:length], out[row * length :][:length]
        for i in range(results.size):
            value = np.int64(values[i]) - above.zero
            if value >= 0:
                scaled = multiply_by_quantized_multiplier(value, above.multiplier, above.shift)
            else:
                product = value * (np.int64(alpha[i]) - below.zero)
                scaled = multiply_by_quantized_multiplier(product, below.multiplier, below.shift)
            results[i] = min(max(scaled + zero, low), high)
