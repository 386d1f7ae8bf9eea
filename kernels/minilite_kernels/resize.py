"""Bilinear resize from tables of rows and columns that a plan computes once."""

from __future__ import annotations

import numpy as np

from minilite_kernels import simd, vector
from minilite_kernels.kernel import Input, Output, Scratch, kernel

VECTORS = 2
PADDING = VECTORS * vector.WIDTH
"""Elements that vectors may read past the end of a scratch row."""


@kernel
def resize_bilinear(
    x: Input,
    row_lower: Input,
    row_upper: Input,
    row_weight: Input,
    column_lower: Input,
    column_upper: Input,
    column_weight: Input,
    out: Output,
    above: Scratch,
    below: Scratch,
    in_h: int,
    in_w: int,
    channels: int,
    rounding: float,
    start: int,
    stop: int,
) -> None:
    """RESIZE_BILINEAR in float32 arithmetic, output rows ``start..stop`` of [batch, out_h].

    Parameters
    ----------
    x, out:
        NHWC.
    row_lower, row_upper, row_weight, column_lower, column_upper, column_weight:
        For each output row (column) its lower and upper source row (column), int32, and the float32
        distance from the lower one.
    above, below:
        float32 [in_w * channels + PADDING]: the two source rows, weighted.
    rounding:
        Added before the conversion to the type of ``out``: 0 for float, 0.5 for integers, which are
        then truncated.
    in_h, in_w, channels, start, stop:
        Sizes; output rows.

    Notes
    -----
    The order of products and sums is that of TFLite's ``reference/resize_bilinear.h``, which uint8
    results depend on.
    """
    out_h, out_w = len(row_lower), len(column_lower)
    width = in_w * channels
    one, half = np.float32(1), np.float32(rounding)
    for row in range(start, stop):
        y = row % out_h
        image = row // out_h * in_h
        top, bottom = (image + row_lower[y]) * width, (image + row_upper[y]) * width
        dy = row_weight[y]
        for i in range(width):
            above[i] = np.float32(x[top + i]) * (one - dy)
            below[i] = np.float32(x[bottom + i]) * dy
        for column in range(out_w):
            dx = column_weight[column]
            left, right = column_lower[column] * channels, column_upper[column] * channels
            target = (row * out_w + column) * channels
            for c in range(0, channels, PADDING):
                value = simd.scale(simd.broadcast_row(above, left + c, 1, VECTORS), one - dx)
                value = simd.add(value, simd.scale(simd.broadcast_row(below, left + c, 1, VECTORS), one - dx))
                value = simd.add(value, simd.scale(simd.broadcast_row(above, right + c, 1, VECTORS), dx))
                value = simd.add(value, simd.scale(simd.broadcast_row(below, right + c, 1, VECTORS), dx))
                value = simd.shift(value, half)
                simd.store(value, out, target + c, 0, 0, channels - c)


@kernel
def resize_bilinear_integer(
    x: Input,
    row_lower: Input,
    row_upper: Input,
    row_weight: Input,
    column_lower: Input,
    column_upper: Input,
    column_weight: Input,
    out: Output,
    in_h: int,
    in_w: int,
    channels: int,
    start: int,
    stop: int,
) -> None:
    """RESIZE_BILINEAR of int8 and int16 in 10-bit fixed point, output rows ``start..stop`` of [batch, out_h].

    As ``resize_bilinear``, with int32 weights in 1/1024; the result is rounded half away from zero
    (``ResizeBilinearInteger`` in TFLite's ``reference/resize_bilinear.h``).
    """
    out_h, out_w = len(row_lower), len(column_lower)
    for row in range(start, stop):
        y = row % out_h
        image = row // out_h * in_h
        dy = np.int64(row_weight[y])
        top, bottom = (image + row_lower[y]) * in_w, (image + row_upper[y]) * in_w
        for column in range(out_w):
            dx = np.int64(column_weight[column])
            top_left = (top + column_lower[column]) * channels
            top_right = (top + column_upper[column]) * channels
            bottom_left = (bottom + column_lower[column]) * channels
            bottom_right = (bottom + column_upper[column]) * channels
            target = (row * out_w + column) * channels
            for c in range(channels):
                total = (
                    np.int64(x[top_left + c]) * (1024 - dy) * (1024 - dx)
                    + np.int64(x[bottom_left + c]) * dy * (1024 - dx)
                    + np.int64(x[top_right + c]) * (1024 - dy) * dx
                    + np.int64(x[bottom_right + c]) * dy * dx
                )
                half = 1 << 19
                value = (total + half) >> 20 if total >= 0 else -((half - total) >> 20)
                out[target + c] = out.dtype.type(value)
