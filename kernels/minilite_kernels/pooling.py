"""Pooling: a reduction over windows, channels side by side."""

from __future__ import annotations

import numpy as np

from minilite_kernels.depthwise import valid_taps
from minilite_kernels.kernel import Input, Output, Scratch, kernel


@kernel
def average_pool_float(
    x: Input,
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
    pad_top: int,
    pad_left: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """AVERAGE_POOL_2D on float32, output pixels ``start..stop`` of [batch, out_h, out_w].

    Divides by the number of taps inside the image (TFLite's ``reference/pooling.h``).
    """
    floor, ceiling = np.float32(low), np.float32(high)
    for pixel in range(start, stop):
        image, rest = pixel // (out_h * out_w), pixel % (out_h * out_w)
        top, left = rest // out_w * stride_h - pad_top, rest % out_w * stride_w - pad_left
        ky_first, ky_last = valid_taps(top, in_h, kernel_h, 1)
        kx_first, kx_last = valid_taps(left, in_w, kernel_w, 1)
        count = np.float32((ky_last - ky_first) * (kx_last - kx_first))
        target = pixel * channels
        for c in range(channels):
            out[target + c] = 0
        for ky in range(ky_first, ky_last):
            for kx in range(kx_first, kx_last):
                source = ((image * in_h + top + ky) * in_w + left + kx) * channels
                for c in range(channels):
                    out[target + c] += x[source + c]
        for c in range(channels):
            value = out[target + c] / count
            out[target + c] = min(max(value, floor), ceiling)


@kernel
def average_pool_integer(
    x: Input,
    out: Output,
    sums: Scratch,
    in_h: int,
    in_w: int,
    channels: int,
    out_h: int,
    out_w: int,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_top: int,
    pad_left: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """AVERAGE_POOL_2D on uint8, int8 and int16, output pixels ``start..stop`` of [batch, out_h, out_w].

    Raw integers are averaged, rounded half away from zero and clamped (TFLite's
    ``reference/pooling.h`` and ``integer_ops/pooling.h``). ``sums`` int32 [channels].
    """
    for pixel in range(start, stop):
        image, rest = pixel // (out_h * out_w), pixel % (out_h * out_w)
        top, left = rest // out_w * stride_h - pad_top, rest % out_w * stride_w - pad_left
        ky_first, ky_last = valid_taps(top, in_h, kernel_h, 1)
        kx_first, kx_last = valid_taps(left, in_w, kernel_w, 1)
        count = np.int32((ky_last - ky_first) * (kx_last - kx_first))
        for c in range(channels):
            sums[c] = 0
        for ky in range(ky_first, ky_last):
            for kx in range(kx_first, kx_last):
                source = ((image * in_h + top + ky) * in_w + left + kx) * channels
                for c in range(channels):
                    sums[c] += np.int32(x[source + c])
        half = count // 2
        for c in range(channels):
            total = sums[c]
            value = (total + half) // count if total >= 0 else -((half - total) // count)
            out[pixel * channels + c] = min(max(value, low), high)
