"""Depthwise convolution: each channel by itself, so that channels fill the vectors.

A tile holds ``PIXELS`` neighbouring output pixels of ``WIDTH`` channels; each tap of the filter adds
one product. Where the window leaves the image at the left or right, pixels are computed one by one
with fewer taps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd
from minilite_kernels.kernel import Input, Output, helper, kernel

WIDTH = simd.WIDTH
PIXELS = 8


@helper
def interior(out_w: int, in_w: int, kernel_w: int, stride: int, dilation: int, pad: int) -> tuple[int, int]:
    """Output columns ``[first, last)`` whose whole window lies inside the image."""
    first = (pad + stride - 1) // stride
    room = in_w - 1 + pad - (kernel_w - 1) * dilation
    last = room // stride + 1 if room >= 0 else 0
    first = min(first, out_w)
    return first, max(first, min(last, out_w))


@helper
def valid_taps(origin: int, size: int, taps: int, dilation: int) -> tuple[int, int]:
    """Taps ``[first, last)`` with ``0 <= origin + tap * dilation < size``."""
    first = (-origin + dilation - 1) // dilation if origin < 0 else 0
    last = (size - 1 - origin) // dilation + 1 if origin < size else 0
    return min(first, taps), max(0, min(last, taps))


@kernel
def depthwise_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    in_h: int,
    in_w: int,
    channels: int,
    out_h: int,
    out_w: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    dilation_h: int,
    dilation_w: int,
    pad_top: int,
    pad_left: int,
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
    first, after = interior(out_w, in_w, kernel_w, stride_w, dilation_w, pad_left)
    wide = after - first >= PIXELS
    step, dilated = stride_w * channels, dilation_w * channels
    for row in range(start, stop):
        top = row % out_h * stride_h - pad_top
        ky_first, ky_last = valid_taps(top, in_h, kernel_h, dilation_h)
        source = (row // out_h * in_h + top) * in_w * channels
        target = row * out_w * channels
        for c in range(0, channels, WIDTH):
            valid = channels - c
            column = 0
            while column < out_w:
                if wide and first <= column < after:
                    # The last block moves left to end at the border: a few pixels are computed twice.
                    column = min(column, after - PIXELS)
                    left = source + (column * stride_w - pad_left) * channels + c
                    tile = simd.broadcast_row(bias, c, PIXELS, 1)
                    for ky in range(ky_first, ky_last):
                        line = left + ky * dilation_h * in_w * channels
                        tap = ky * kernel_w * channels + c
                        for kx in range(kernel_w):
                            tile = simd.pairwise_multiply_add(
                                tile, x, line + kx * dilated, step, weights, tap + kx * channels, valid
                            )
                    tile = simd.clamp(tile, floor, ceiling)
                    simd.store(tile, out, target + column * channels + c, channels, PIXELS, valid)
                    column += PIXELS
                else:
                    origin = column * stride_w - pad_left
                    kx_first, kx_last = valid_taps(origin, in_w, kernel_w, dilation_w)
                    left = source + origin * channels + c
                    single = simd.broadcast_row(bias, c, 1, 1)
                    for ky in range(ky_first, ky_last):
                        line = left + ky * dilation_h * in_w * channels
                        tap = ky * kernel_w * channels + c
                        for kx in range(kx_first, kx_last):
                            single = simd.pairwise_multiply_add(
                                single, x, line + kx * dilated, step, weights, tap + kx * channels, valid
                            )
                    single = simd.clamp(single, floor, ceiling)
                    simd.store(single, out, target + column * channels + c, channels, 0, valid)
                    column += 1


def pack_bias(bias: Any) -> Any:
    """Zero-pad a bias [channels] to whole vectors."""
    padded = np.zeros(-(-len(bias) // WIDTH) * WIDTH, bias.dtype)
    padded[: len(bias)] = bias
    return padded
