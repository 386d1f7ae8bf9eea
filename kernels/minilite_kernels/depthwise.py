"""Depthwise convolution: each channel by itself, so that channels fill the vectors.

A tile holds ``PIXELS`` output pixels of ``WIDTH`` channels; each tap of the filter adds one product.
Where the window leaves the image at the left or right, pixels are computed one by one with fewer taps.
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
def visit_row(w: Window, row: int, pixel: Any, pixel_block: Any, operands: Any) -> None:
    """Compute one output row: ``pixel_block`` in the interior, ``pixel`` where the window leaves the image.

    Both are called as ``pixel(operands, w, row, column)``. The last block moves left to end at the
    border: a few pixels are computed twice.
    """
    first, after = interior_columns(w)
    gap = pixel_gap(w)
    if after - first < gap * PIXELS:
        first, after = w.out_w, w.out_w
    for column in range(first):
        pixel(operands, w, row, column)
    for residue in range(gap):
        count = (after - first - residue + gap - 1) // gap
        done = 0
        while done < count:
            pixel_block(operands, w, row, first + residue + min(done, count - PIXELS) * gap)
            done += PIXELS
    for column in range(after, w.out_w):
        pixel(operands, w, row, column)


@helper
def first_tap(w: Window, row: int, column: int) -> tuple[int, int, int]:
    """Row, column and place in ``x`` (channel 0) that the filter's first tap sees; it may lie outside."""
    top, left = row % w.out_h * w.stride_h - w.pad_top, column * w.stride_w - w.pad_left
    return top, left, ((row // w.out_h * w.in_h + top) * w.in_w + left) * w.in_c


@helper
def pixel(operands: Any, w: Window, row: int, column: int) -> None:
    """One output pixel, all channels, with the taps that meet the image."""
    x, weights, bias, out, low, high = operands
    channels = w.in_c
    top, left, source = first_tap(w, row, column)
    ky_first, ky_last = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
    kx_first, kx_last = valid_taps(left, w.in_w, w.kernel_w, w.dilation_w)
    line, tap = w.dilation_h * w.in_w * channels, w.dilation_w * channels
    c = 0
    while c < channels:
        c = last_whole(c, channels)
        tile = simd.broadcast_row(bias, c, 1, 1)
        for ky in range(ky_first, ky_last):
            for kx in range(kx_first, kx_last):
                at, weight = source + ky * line + kx * tap + c, (ky * w.kernel_w + kx) * channels + c
                tile = simd.pairwise_multiply_add(tile, x, at, 0, weights, weight)
        tile = simd.clamp(tile, np.float32(low), np.float32(high))
        simd.store(tile, out, (row * w.out_w + column) * channels + c, 0, 0, WIDTH)
        c += WIDTH


@helper
def pixel_block(operands: Any, w: Window, row: int, column: int) -> None:
    """``PIXELS`` output pixels of the interior, ``pixel_gap`` apart, all channels."""
    x, weights, bias, out, low, high = operands
    channels, gap = w.in_c, pixel_gap(w)
    top, _, source = first_tap(w, row, column)
    ky_first, ky_last = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
    line, tap = w.dilation_h * w.in_w * channels, w.dilation_w * channels
    step = gap * w.stride_w * channels
    c = 0
    while c < channels:
        c = last_whole(c, channels)
        tile = simd.broadcast_row(bias, c, PIXELS, 1)
        for ky in range(ky_first, ky_last):
            at, weight = source + ky * line + c, ky * w.kernel_w * channels + c
            if w.kernel_w == 3 and step == tap:
                tile = simd.correlate(tile, x, at, tap, weights, weight, channels, 3, 1)
            elif w.kernel_w == 3 and step == 2 * tap:
                tile = simd.correlate(tile, x, at, tap, weights, weight, channels, 3, 2)
            else:
                for kx in range(w.kernel_w):
                    there, other = at + kx * tap, weight + kx * channels
                    tile = simd.pairwise_multiply_add(tile, x, there, step, weights, other)
        tile = simd.clamp(tile, np.float32(low), np.float32(high))
        simd.store(tile, out, (row * w.out_w + column) * channels + c, gap * channels, PIXELS, WIDTH)
        c += WIDTH


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

    ``x`` NHWC with at least ``WIDTH`` channels; ``weights`` [kernel_h, kernel_w, channels]. Each sum
    starts at the bias and follows the order of the weights.
    """
    operands = (x, weights, bias, out, low, high)
    for row in range(start, stop):
        visit_row(w, row, pixel, pixel_block, operands)
