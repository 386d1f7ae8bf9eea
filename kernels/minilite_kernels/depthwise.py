"""Depthwise convolution: each channel by itself, so that channels fill the vectors.

A tile holds ``PIXELS`` neighbouring output pixels of ``WIDTH`` channels; each tap of the filter adds
one product. Where the window leaves the image at the left or right, pixels are computed one by one
with fewer taps.
"""

from __future__ import annotations

import numpy as np

from minilite_kernels import simd
from minilite_kernels.kernel import Input, Output, helper, kernel
from minilite_kernels.window import Window, interior_columns, valid_taps

WIDTH = simd.WIDTH
PIXELS = 4


@helper
def next_block(column: int, first: int, after: int) -> tuple[int, bool]:
    """Where the next pixels begin, and whether they are ``PIXELS`` of the interior ``[first, after)``.

    The last whole block moves left to end at the border: a few pixels are computed twice.
    """
    if after - first >= PIXELS and first <= column < after:
        return min(column, after - PIXELS), True
    return column, False


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
    floor, ceiling = np.float32(low), np.float32(high)
    first, after = interior_columns(w)
    channels = w.in_c
    step, dilated, line = w.stride_w * channels, w.dilation_w * channels, w.dilation_h * w.in_w * channels
    for row in range(start, stop):
        top = row % w.out_h * w.stride_h - w.pad_top
        ky_first, ky_last = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
        source = (row // w.out_h * w.in_h + top) * w.in_w * channels
        target = row * w.out_w * channels
        column = 0
        while column < w.out_w:
            column, wide = next_block(column, first, after)
            origin = column * w.stride_w - w.pad_left
            left = source + origin * channels
            kx_first, kx_last = valid_taps(origin, w.in_w, w.kernel_w, w.dilation_w)
            c = 0
            while c < channels:
                # The last vector moves left to end at the last channel: some are computed twice.
                c = min(c, channels - WIDTH)
                place = target + column * channels + c
                if wide:
                    tile = simd.broadcast_row(bias, c, PIXELS, 1)
                    for ky in range(ky_first, ky_last):
                        for kx in range(w.kernel_w):
                            at = left + ky * line + kx * dilated + c
                            tap = (ky * w.kernel_w + kx) * channels + c
                            tile = simd.pairwise_multiply_add(tile, x, at, step, weights, tap)
                    tile = simd.clamp(tile, floor, ceiling)
                    simd.store(tile, out, place, channels, PIXELS, WIDTH)
                else:
                    single = simd.broadcast_row(bias, c, 1, 1)
                    for ky in range(ky_first, ky_last):
                        for kx in range(kx_first, kx_last):
                            at = left + ky * line + kx * dilated + c
                            tap = (ky * w.kernel_w + kx) * channels + c
                            single = simd.pairwise_multiply_add(single, x, at, step, weights, tap)
                    single = simd.clamp(single, floor, ceiling)
                    simd.store(single, out, place, channels, 1, WIDTH)
                c += WIDTH
            column += PIXELS if wide else 1
