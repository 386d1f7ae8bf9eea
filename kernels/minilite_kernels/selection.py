"""Selecting by value."""

from __future__ import annotations

from minilite_kernels.kernel import Input, Output, kernel


@kernel
def argmax_last(x: Input, out: Output, size: int, start: int, stop: int) -> None:
    """ARG_MAX over the last axis: ``out[i]`` is the first position of the largest of ``size`` values."""
    for i in range(start, stop):
        base = i * size
        best, position = x[base], 0
        for j in range(1, size):
            value = x[base + j]
            if value > best:
                best, position = value, j
        out[i] = position
