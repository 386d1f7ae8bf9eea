"""Depthwise convolution: each channel by itself, so that channels fill the vectors.

A tile holds ``PIXELS`` output pixels of ``WIDTH`` channels; each tap of the filter adds one product.
Where the window leaves the image at the left or right, pixels are computed with the taps that they see.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd, vector
from minilite_kernels.kernel import Input, Output, helper, kernel
from minilite_kernels.window import Window, interior_columns, valid_taps

WIDTH = vector.WIDTH
PIXELS = 4


@helper
def last_whole(channel: int, channels: int) -> int:
    """Where a vector of channels begins: the last one moves left to end at the last channel."""
    return min(channel, channels - WIDTH)


@helper
def pixel_gap(w: Window) -> int:
    """How far apart the pixels of a block are.

    With a stride of 1, as far as the taps of the dilated filter, so that neighbours in the block share
    what they see.
    """
    return w.dilation_w if w.stride_w == 1 else 1


@helper
def visit_row(w: Window, row: int, border: Any, interior: Any, operands: Any) -> None:
    """Compute one output row: its ``interior``, and the ``border`` where the window leaves the image.

    ``interior(operands, w, row, first, after)`` has room for a whole block of pixels, ``pixel_gap`` apart;
    ``border(operands, w, row, column, count)`` is ``PIXELS`` neighbours that see the same taps, or one pixel.
    """
    first, after = interior_columns(w)
    if after - first < pixel_gap(w) * PIXELS:
        first, after = w.out_w, w.out_w
    else:
        interior(operands, w, row, first, after)
    column = 0
    while column < w.out_w:
        if column == first:
            column = after
            continue
        stop = first if column < first else w.out_w
        count = PIXELS if column + PIXELS <= stop and same_taps(w, column, column + PIXELS - 1) else 1
        border(operands, w, row, column, count)
        column += count


@helper
def same_taps(w: Window, column: int, other: int) -> bool:
    """Whether the window meets the image with the same taps at both output columns."""
    left, right = column * w.stride_w - w.pad_left, other * w.stride_w - w.pad_left
    one = valid_taps(left, w.in_w, w.kernel_w, w.dilation_w)
    two = valid_taps(right, w.in_w, w.kernel_w, w.dilation_w)
    return one[0] == two[0] and one[1] == two[1]


@helper
def first_tap(w: Window, row: int, column: int) -> tuple[int, int, int]:
    """Row, column and place in ``x`` (channel 0) that the filter's first tap sees; it may lie outside."""
    top, left = row % w.out_h * w.stride_h - w.pad_top, column * w.stride_w - w.pad_left
    return top, left, ((row // w.out_h * w.in_h + top) * w.in_w + left) * w.in_c


@helper
def add_taps(tile: Any, x: Any, at: int, step: int, w: Window, rows: Any, columns: Any, weights: Any) -> Any:
    """The tile plus the taps ``rows`` x ``columns`` (first, last), for pixels ``step`` apart in ``x``.

    ``at`` is the place of the filter's first tap; ``weights`` begins at the tile's channel.
    """
    channels = w.in_c
    line, tap = w.dilation_h * w.in_w * channels, w.dilation_w * channels
    for ky in range(rows[0], rows[1]):
        for kx in range(columns[0], columns[1]):
            there, weight = at + ky * line + kx * tap, (ky * w.kernel_w + kx) * channels
            tile = simd.pairwise_multiply_add(tile, x, there, step, weights, weight)
    return tile


@helper
def border(operands: Any, w: Window, row: int, column: int, count: int) -> None:
    """``PIXELS`` neighbouring output pixels, or one, all channels, with the taps that meet the image."""
    x, weights, bias, out, origin, out_c, low, high = operands
    top, left, source = first_tap(w, row, column)
    rows = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
    columns = valid_taps(left, w.in_w, w.kernel_w, w.dilation_w)
    step, target = w.stride_w * w.in_c, origin + (row * w.out_w + column) * out_c
    c = 0
    while c < w.in_c:
        c = last_whole(c, w.in_c)
        if count == PIXELS:
            block = simd.broadcast_row(bias, c, PIXELS, 1)
            block = add_taps(block, x, source + c, step, w, rows, columns, weights[c:])
            block = simd.clamp(block, np.float32(low), np.float32(high))
            simd.store(block, out, target + c, out_c, PIXELS, WIDTH)
        else:
            pixel = simd.broadcast_row(bias, c, 1, 1)
            pixel = add_taps(pixel, x, source + c, step, w, rows, columns, weights[c:])
            simd.store(simd.clamp(pixel, np.float32(low), np.float32(high)), out, target + c, 0, 0, WIDTH)
        c += WIDTH


@helper
def interior(operands: Any, w: Window, row: int, first: int, after: int) -> None:
    """Output pixels ``first..after``, whose windows lie inside the width, all channels.

    The last block moves left to end with the interior: a few pixels are computed twice.
    """
    x, weights, bias, out, origin, out_c, low, high = operands
    channels, gap = w.in_c, pixel_gap(w)
    top, _, source = first_tap(w, row, first)
    rows, columns = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h), (0, w.kernel_w)
    pixel, target = w.stride_w * channels, origin + (row * w.out_w + first) * out_c
    c = 0
    while c < channels:
        c = last_whole(c, channels)
        seed = simd.broadcast_row(bias, c, PIXELS, 1)
        for residue in range(gap):
            count = (after - first - residue + gap - 1) // gap
            done = 0
            while done < count:
                column = residue + min(done, count - PIXELS) * gap
                at = source + column * pixel + c
                tile = add_taps(seed, x, at, gap * pixel, w, rows, columns, weights[c:])
                tile = simd.clamp(tile, np.float32(low), np.float32(high))
                simd.store(tile, out, target + column * out_c + c, gap * out_c, PIXELS, WIDTH)
                done += PIXELS
        c += WIDTH


@helper
def shares_taps(w: Window) -> bool:
    """Whether ``square_row`` can do it: 3 x 3, neighbours in a block meet, and a block fits the width."""
    meets = w.dilation_w == w.dilation_h and (w.stride_w == 1 or (w.stride_w == 2 and w.dilation_w == 1))
    return w.kernel_h == 3 and w.kernel_w == 3 and meets and w.out_w // pixel_gap(w) >= PIXELS


@helper
def square_row(operands: Any, w: Window, row: int) -> None:
    """An output row of a 3 x 3 filter, all channels.

    A block of pixels goes over all channels, so that each line under it is read as a stream; what several
    of its pixels see is loaded once. Where the window leaves the image it meets zeros.
    """
    x, weights, bias, out, origin, out_c, low, high = operands
    floor, ceiling = np.float32(low), np.float32(high)
    channels, gap, dilation = w.in_c, pixel_gap(w), w.dilation_w
    top, _, source = first_tap(w, row, 0)
    first_row, last_row = valid_taps(top, w.in_h, 3, dilation)
    whole = first_row == 0 and last_row == 3
    line, tap, pixel = dilation * w.in_w * channels, dilation * channels, w.stride_w * channels
    positions = (PIXELS - 1) * w.stride_w + 3
    for residue in range(gap):
        count = (w.out_w - residue + gap - 1) // gap
        done = 0
        while done < count:
            column = residue + min(done, count - PIXELS) * gap
            left = column * w.stride_w - w.pad_left
            target = origin + (row * w.out_w + column) * out_c
            inside = whole and left >= 0 and left + (positions - 1) * dilation < w.in_w
            first, last = valid_taps(left, w.in_w, positions, dilation)
            seen = (first_row, last_row, first, last)
            c = 0
            while c < channels:
                c = last_whole(c, channels)
                seed = simd.broadcast_row(bias, c, PIXELS, 1)
                taps = simd.load_rows(weights, c, channels, 9)
                at = source + column * pixel + c
                if inside:
                    if w.stride_w == 1:
                        tile = simd.correlate(seed, x, at, tap, line, taps, 3, 1)
                    else:
                        tile = simd.correlate(seed, x, at, tap, line, taps, 3, 2)
                elif w.stride_w == 1:
                    tile = simd.correlate_border(seed, x, at, tap, line, taps, 3, 1, seen)
                else:
                    tile = simd.correlate_border(seed, x, at, tap, line, taps, 3, 2, seen)
                tile = simd.clamp(tile, floor, ceiling)
                simd.store(tile, out, target + c, gap * out_c, PIXELS, WIDTH)
                c += WIDTH
            done += PIXELS


@helper
def filter_rows(
    x: Any,
    weights: Any,
    bias: Any,
    out: Any,
    origin: int,
    out_c: int,
    w: Window,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """Output rows ``start..stop`` over [batch, out_h].

    The first of all pixels has its place in ``out`` at ``origin``, which may lie before the array, and pixels
    are ``out_c`` apart.
    """
    operands = (x, weights, bias, out, origin, out_c, low, high)
    for row in range(start, stop):
        if shares_taps(w):
            square_row(operands, w, row)
        else:
            visit_row(w, row, border, interior, operands)


@kernel
def depthwise_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    w: Window,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """DEPTHWISE_CONV_2D with multiplier 1 on float32, output rows ``start..stop`` of [batch, out_h].

    ``x`` NHWC with at least ``WIDTH`` channels; ``weights`` [kernel_h, kernel_w, channels], finite. Each
    sum starts at the bias and follows the order of the weights.
    """
    filter_rows(x, weights, bias, out, 0, w.in_c, w, low, high, start, stop)
