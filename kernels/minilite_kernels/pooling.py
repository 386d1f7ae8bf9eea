"""Pooling in two passes: the rows under a window become one line, then the line's columns one pixel.

A line is as wide as the image, so that the first pass runs in vectors however few channels there are, and
what overlapping windows share in a row is combined once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd
from minilite_kernels import simd_integer as integer
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.vector import WIDTH
from minilite_kernels.window import Window, valid_taps

PADDING = WIDTH
"""Elements that vectors may read past the end of a line."""


# --- what a window is reduced to: on elements, on tiles, and at the end ---------------------------


@helper
def _add(so_far: Any, value: Any) -> Any:
    return so_far + value


@helper
def _add_square(so_far: Any, value: Any) -> Any:
    return so_far + value * value


@helper
def _larger(so_far: Any, value: Any) -> Any:
    return value if value > so_far else so_far


@helper
def _add_tiles(so_far: Any, tile: Any) -> Any:
    return simd.add(so_far, tile)


@helper
def _larger_tile(so_far: Any, tile: Any) -> Any:
    return simd.larger(so_far, tile)


@helper
def _mean(tile: Any, taps: int) -> Any:
    return simd.divide(tile, np.float32(taps))


@helper
def _mean_half_away(tile: Any, taps: int) -> Any:
    return integer.divide_half_away(tile, taps)


@helper
def _root_of_mean(tile: Any, taps: int) -> Any:
    return simd.square_root(simd.divide(tile, np.float32(taps)))


@helper
def _as_it_is(tile: Any, taps: int) -> Any:
    return tile


# --- the two passes -------------------------------------------------------------------------------


@helper
def combine_rows(x: Any, line: Any, w: Window, row: int, neutral: Any, combine: Any) -> int:
    """``line[i]``: what ``combine`` makes of column and channel ``i`` in the rows under output row ``row``.

    Returns their number.
    """
    top, width = row % w.out_h * w.stride_h - w.pad_top, w.in_w * w.in_c
    first, last = valid_taps(top, w.in_h, w.kernel_h, 1)
    source = (row // w.out_h * w.in_h + top) * width
    element = line.dtype.type
    # Slices: LLVM cannot make vectors of an index whose sign it does not know.
    seen = x[source + first * width : source + (first + 1) * width]
    for i in range(width):
        line[i] = combine(neutral, element(seen[i]))
    for ky in range(first + 1, last):
        seen = x[source + ky * width : source + (ky + 1) * width]
        for i in range(width):
            line[i] = combine(line[i], element(seen[i]))
    return last - first


@helper
def pool_columns(
    line: Any, out: Any, w: Window, row: int, rows: int, limits: Any, combine_tiles: Any, finish: Any
) -> None:
    """Output row ``row`` from the line that its ``rows`` rows have become."""
    low, high = limits
    for column in range(w.out_w):
        left = column * w.stride_w - w.pad_left
        first, last = valid_taps(left, w.in_w, w.kernel_w, 1)
        target = (row * w.out_w + column) * w.in_c
        for c in range(0, w.in_c, WIDTH):
            tile = simd.broadcast_row(line, (left + first) * w.in_c + c, 1, 1)
            for kx in range(first + 1, last):
                tile = combine_tiles(tile, simd.broadcast_row(line, (left + kx) * w.in_c + c, 1, 1))
            tile = simd.clamp(finish(tile, rows * (last - first)), low, high)
            simd.store(tile, out, target + c, 0, 0, w.in_c - c)


@kernel
def average_pool_float(
    x: Input, out: Output, line: Scratch, w: Window, low: float, high: float, start: int, stop: int
) -> None:
    """AVERAGE_POOL_2D on float32, output rows ``start..stop`` of [batch, out_h].

    Divides by the number of taps inside the image (TFLite's ``reference/pooling.h``).
    ``line`` float32 [in_w * in_c + PADDING].
    """
    limits = np.float32(low), np.float32(high)
    for row in range(start, stop):
        rows = combine_rows(x, line, w, row, np.float32(0), _add)
        pool_columns(line, out, w, row, rows, limits, _add_tiles, _mean)


@kernel
def average_pool_integer(
    x: Input, out: Output, line: Scratch, w: Window, low: int, high: int, start: int, stop: int
) -> None:
    """AVERAGE_POOL_2D on uint8, int8 and int16, output rows ``start..stop`` of [batch, out_h].

    Raw integers are averaged, rounded half away from zero and clamped (TFLite's
    ``reference/pooling.h`` and ``integer_ops/pooling.h``). ``line`` int32 [in_w * in_c + PADDING]; the
    sum of a window fits 31 bits.
    """
    limits = np.int32(low), np.int32(high)
    for row in range(start, stop):
        rows = combine_rows(x, line, w, row, np.int32(0), _add)
        pool_columns(line, out, w, row, rows, limits, _add_tiles, _mean_half_away)


@kernel
def max_pool(
    x: Input,
    out: Output,
    line: Scratch,
    w: Window,
    lowest: float,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """MAX_POOL_2D, output rows ``start..stop`` of [batch, out_h] (TFLite's ``reference/pooling.h``).

    A NaN is never the largest; where nothing else is in the window, ``lowest`` is. ``line`` of
    [in_w * in_c + PADDING], float32, or int32 for integers of 8 and 16 bits.
    """
    element = line.dtype.type
    limits = element(low), element(high)
    for row in range(start, stop):
        rows = combine_rows(x, line, w, row, element(lowest), _larger)
        pool_columns(line, out, w, row, rows, limits, _larger_tile, _as_it_is)


@kernel
def l2_pool(
    x: Input, out: Output, line: Scratch, w: Window, low: float, high: float, start: int, stop: int
) -> None:
    """L2_POOL_2D on float32, output rows ``start..stop`` of [batch, out_h]: roots of mean squares.

    ``line`` and the taps that count are as in ``average_pool_float``.
    """
    limits = np.float32(low), np.float32(high)
    for row in range(start, stop):
        rows = combine_rows(x, line, w, row, np.float32(0), _add_square)
        pool_columns(line, out, w, row, rows, limits, _add_tiles, _root_of_mean)
