"""Rows divided by their length."""

from __future__ import annotations

import numpy as np

from minilite_kernels.kernel import Input, Output, kernel


@kernel
def l2_normalize(x: Input, out: Output, depth: int, epsilon: float, start: int, stop: int) -> None:
    """L2_NORMALIZATION on float32 rows of ``depth`` values."""
    smallest = np.float32(epsilon)
    for row in range(start, stop):
        values, results = x[row * depth :][:depth], out[row * depth :][:depth]
        total = np.float32(0.0)
        for i in range(values.size):
            total += values[i] * values[i]
        norm = np.sqrt(total)
        norm = smallest if norm < smallest else norm
        for i in range(values.size):
            results[i] = values[i] / norm
