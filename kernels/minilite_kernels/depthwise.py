"""Depthwise convolution: each channel by itself, so that channels fill the vectors.

A tile holds ``PIXELS`` neighbouring output pixels of ``WIDTH`` channels; each tap of the filter adds
one product. Where the window leaves the image at the left or right, pixels are computed one by one
with fewer taps.
"""

from __future__ import annotations

import numpy as np

from minilite_kernels import simd
from minilite_kernels.kernel import Array, Input, Output, kernel
from minilite_kernels.window import Window, interior_columns, valid_taps

WIDTH = simd.WIDTH
PIXELS = 8


def pad_channels(values: Array) -> Array:
    """One value a channel, zero-padded to whole vectors."""
    padded = np.zeros(-(-len(values) // WIDTH) * WIDTH, values.dtype)
    padded[: len(values)] = values
    return padded


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

    ``x`` NHWC; ``weights`` [kernel_h, kernel_w, channels]; ``bias`` zero-padded to a multiple of
    ``WIDTH``. Each sum starts at the bias and follows the order of the weights.
    """
    floor, ceiling = np.float32(low), np.float32(high)
    first, after = interior_columns(w)
    wide = after - first >= PIXELS
    channels = w.in_c
    step, dilated, line = w.stride_w * channels, w.dilation_w * channels, w.dilation_h * w.in_w * channels
    for row in range(start, stop):
        top = row % w.out_h * w.stride_h - w.pad_top
        ky_first, ky_last = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
        source = (row // w.out_h * w.in_h + top) * w.in_w * channels
        target = row * w.out_w * channels
        for c in range(0, channels, WIDTH):
            valid = channels - c
            column = 0
            while column < w.out_w:
                if wide and first <= column < after:
                    # The last block moves left to end at the border: a few pixels are computed twice.
                    column = min(column, after - PIXELS)
                    left = source + (column * w.stride_w - w.pad_left) * channels + c
                    tile = simd.broadcast_row(bias, c, PIXELS, 1)
                    for ky in range(ky_first, ky_last):
                        for kx in range(w.kernel_w):
                            at = left + ky * line + kx * dilated
                            tap = (ky * w.kernel_w + kx) * channels + c
                            tile = simd.pairwise_multiply_add(tile, x, at, step, weights, tap, valid)
                    tile = simd.clamp(tile, floor, ceiling)
                    simd.store(tile, out, target + column * channels + c, channels, PIXELS, valid)
                    column += PIXELS
                else:
                    origin = column * w.stride_w - w.pad_left
                    kx_first, kx_last = valid_taps(origin, w.in_w, w.kernel_w, w.dilation_w)
                    left = source + origin * channels + c
                    single = simd.broadcast_row(bias, c, 1, 1)
                    for ky in range(ky_first, ky_last):
                        for kx in range(kx_first, kx_last):
                            at = left + ky * line + kx * dilated
                            tap = (ky * w.kernel_w + kx) * channels + c
                            single = simd.pairwise_multiply_add(single, x, at, step, weights, tap, valid)
                    single = simd.clamp(single, floor, ceiling)
                    simd.store(single, out, target + column * channels + c, channels, 0, valid)
                    column += 1
