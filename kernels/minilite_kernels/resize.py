"""Resizing from tables of rows and columns that a plan computes once."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd
from minilite_kernels import simd_integer as integer
from minilite_kernels.convolution import copy_run
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.selection import first_largest_byte, first_largest_float
from minilite_kernels.vector import WIDTH

VECTORS = 2
PADDING = VECTORS * WIDTH
"""Elements that vectors may reach past the end of a scratch row."""

FIXED_POINT_BITS = 10
ONE = 1 << FIXED_POINT_BITS


@kernel
def repeat_pixel(x: Input, out: Output, pixels: int, channels: int, start: int, stop: int) -> None:
    """Pictures of one pixel, ``x`` [batch, channels], as pictures of ``pixels`` pixels."""
    for pixel in range(start, stop):
        source, target = line_of(x, pixel // pixels, channels), line_of(out, pixel, channels)
        for c in range(channels):
            target[c] = source[c]


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
    rows, columns = (row_lower, row_upper, row_weight), (column_lower, column_upper, column_weight)
    width = len(column_lower) * channels
    for row in range(start, stop):
        mix_rows(x, rows, above, below, in_h, in_w * channels, row)
        mix_columns(above, below, columns, out, row * width, channels, rounding)


@helper
def mix_rows(x: Any, rows: Any, above: Any, below: Any, in_h: int, width: int, row: int) -> None:
    """The two source rows of an output row, each times its weight."""
    lower, upper, weight = rows
    y, image = row % len(lower), row // len(lower) * in_h
    dy = weight[y]
    top, bottom = line_of(x, image + lower[y], width), line_of(x, image + upper[y], width)
    for i in range(width):
        above[i] = np.float32(top[i]) * (np.float32(1) - dy)
        below[i] = np.float32(bottom[i]) * dy


@helper
def mix_columns(
    above: Any, below: Any, columns: Any, out: Any, target: int, channels: int, rounding: float
) -> None:
    """An output row, at ``target``, from its two weighted source rows."""
    lower, upper, weight = columns
    one, half = np.float32(1), np.float32(rounding)
    for column in range(len(lower)):
        dx = weight[column]
        left, right, place = lower[column] * channels, upper[column] * channels, target + column * channels
        for c in range(0, channels, PADDING):
            value = simd.scale(simd.broadcast_row(above, left + c, 1, VECTORS), one - dx)
            value = simd.add(value, simd.scale(simd.broadcast_row(below, left + c, 1, VECTORS), one - dx))
            value = simd.add(value, simd.scale(simd.broadcast_row(above, right + c, 1, VECTORS), dx))
            value = simd.add(value, simd.scale(simd.broadcast_row(below, right + c, 1, VECTORS), dx))
            simd.store(simd.shift(value, half), out, place + c, 0, 0, channels - c)


def _resize_argmax(first_largest: Any) -> Any:
    """A helper: RESIZE_BILINEAR and ARG_MAX over the channels, a row of scores at a time."""

    @helper
    def resize_argmax(
        x: Any,
        rows: Any,
        columns: Any,
        out: Any,
        above: Any,
        below: Any,
        scores: Any,
        in_h: int,
        in_w: int,
        channels: int,
        rounding: float,
        start: int,
        stop: int,
    ) -> None:
        out_w = len(columns[0])
        for row in range(start, stop):
            mix_rows(x, rows, above, below, in_h, in_w * channels, row)
            mix_columns(above, below, columns, scores, 0, channels, rounding)
            for column in range(out_w):
                out[row * out_w + column] = first_largest(scores, column * channels, channels)

    return resize_argmax


_resize_argmax_float = _resize_argmax(first_largest_float)
_resize_argmax_bytes = _resize_argmax(first_largest_byte)


@kernel
def resize_bilinear_argmax_float(
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
    scores: Scratch,
    in_h: int,
    in_w: int,
    channels: int,
    rounding: float,
    start: int,
    stop: int,
) -> None:
    """ARG_MAX over the channels of what ``resize_bilinear`` makes, which is never stored: a mask from scores.

    As ``resize_bilinear``; ``out`` [batch, out_h, out_w] of positions, ``scores`` a row of the result
    [out_w * channels + PADDING], of the type of ``x``.
    """
    rows, columns = (row_lower, row_upper, row_weight), (column_lower, column_upper, column_weight)
    _resize_argmax_float(
        x, rows, columns, out, above, below, scores, in_h, in_w, channels, rounding, start, stop
    )


@kernel
def resize_bilinear_argmax_bytes(
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
    scores: Scratch,
    in_h: int,
    in_w: int,
    channels: int,
    rounding: float,
    start: int,
    stop: int,
) -> None:
    """``resize_bilinear_argmax_float`` of uint8."""
    rows, columns = (row_lower, row_upper, row_weight), (column_lower, column_upper, column_weight)
    _resize_argmax_bytes(
        x, rows, columns, out, above, below, scores, in_h, in_w, channels, rounding, start, stop
    )


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
    line: Scratch,
    in_h: int,
    in_w: int,
    channels: int,
    start: int,
    stop: int,
) -> None:
    """RESIZE_BILINEAR of int8 and int16 in 10-bit fixed point, output rows ``start..stop`` of [batch, out_h].

    As ``resize_bilinear``, with int32 weights in 1/1024 and ``line`` int32 [in_w * channels + PADDING];
    the result is rounded half away from zero (``ResizeBilinearInteger`` in TFLite's
    ``reference/resize_bilinear.h``).
    """
    out_h, out_w = len(row_lower), len(column_lower)
    width = in_w * channels
    for row in range(start, stop):
        y = row % out_h
        image = row // out_h * in_h
        dy = row_weight[y]
        top, bottom = line_of(x, image + row_lower[y], width), line_of(x, image + row_upper[y], width)
        for i in range(width):
            line[i] = np.int32(top[i]) * np.int32(ONE - dy) + np.int32(bottom[i]) * dy
        for column in range(out_w):
            left, right = column_lower[column] * channels, column_upper[column] * channels
            target = (row * out_w + column) * channels
            for c in range(0, channels, WIDTH):
                a, b = simd.broadcast_row(line, left + c, 1, 1), simd.broadcast_row(line, right + c, 1, 1)
                value = integer.mix_half_away(a, b, column_weight[column], FIXED_POINT_BITS)
                simd.store(value, out, target + c, 0, 0, channels - c)


@kernel
def resize_nearest(
    x: Input,
    rows: Input,
    columns: Input,
    out: Output,
    line: Scratch,
    in_h: int,
    in_w: int,
    channels: int,
    start: int,
    stop: int,
) -> None:
    """RESIZE_NEAREST_NEIGHBOR, output rows ``start..stop`` of [batch, out_h].

    Parameters
    ----------
    x, out:
        NHWC, of any type.
    rows, columns:
        The input row (column) of each output row (column), int32.
    line:
        Of the type of ``x`` [out_w * channels + PADDING]: an output row, where whole vectors may be
        written past the end.
    in_h, in_w, channels, start, stop:
        Sizes; output rows.
    """
    out_h, out_w = len(rows), len(columns)
    width = out_w * channels
    for row in range(start, stop):
        y = row % out_h
        if row == start or y == 0 or rows[y] != rows[y - 1]:
            source = (row // out_h * in_h + rows[y]) * in_w
            for column in range(out_w):
                copy_run(x, (source + columns[column]) * channels, line, column * channels, channels)
        target = line_of(out, row, width)
        for i in range(width):
            target[i] = line[i]


@helper
def line_of(x: Any, row: int, width: int) -> Any:
    """One row of a picture. Of a slice LLVM knows that no index is negative, and can make vectors."""
    return x[row * width : (row + 1) * width]
