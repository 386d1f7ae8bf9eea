"""Selecting by value."""

from __future__ import annotations

from minilite_kernels.kernel import Input, Output, kernel


@kernel
def argmax_last(x: Input, out: Output, size: int, start: int, stop: int) -> None:
    """ARG_MAX over the last axis: ``out[i]`` is the first position of the largest of ``size`` values.

    A NaN is never the largest; a row of nothing else gives 0 (TFLite's ``reference/arg_min_max.h``).
    """
    for i in range(start, stop):
        base = i * size
        best, position = x[base], 0
        for j in range(1, size):
            value = x[base + j]
            if value > best or (best != best and value == value):  # noqa: PLR0124 - asks for NaN
                best, position = value, j
        out[i] = position
