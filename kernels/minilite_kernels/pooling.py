"""Pooling: a reduction over windows, channels side by side."""

from __future__ import annotations

import numpy as np

from minilite_kernels.kernel import Input, Output, Scratch, kernel
from minilite_kernels.window import Window, valid_taps


@kernel
def average_pool_float(
    x: Input,
    out: Output,
    w: Window,
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
        image, rest = pixel // (w.out_h * w.out_w), pixel % (w.out_h * w.out_w)
        top, left = rest // w.out_w * w.stride_h - w.pad_top, rest % w.out_w * w.stride_w - w.pad_left
        ky_first, ky_last = valid_taps(top, w.in_h, w.kernel_h, 1)
        kx_first, kx_last = valid_taps(left, w.in_w, w.kernel_w, 1)
        count = np.float32((ky_last - ky_first) * (kx_last - kx_first))
        target = pixel * w.in_c
        for c in range(w.in_c):
            out[target + c] = 0
        for ky in range(ky_first, ky_last):
            for kx in range(kx_first, kx_last):
                source = ((image * w.in_h + top + ky) * w.in_w + left + kx) * w.in_c
                for c in range(w.in_c):
                    out[target + c] += x[source + c]
        for c in range(w.in_c):
            value = out[target + c] / count
            out[target + c] = min(max(value, floor), ceiling)


@kernel
def average_pool_integer(
    x: Input,
    out: Output,
    sums: Scratch,
    w: Window,
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
        image, rest = pixel // (w.out_h * w.out_w), pixel % (w.out_h * w.out_w)
        top, left = rest // w.out_w * w.stride_h - w.pad_top, rest % w.out_w * w.stride_w - w.pad_left
        ky_first, ky_last = valid_taps(top, w.in_h, w.kernel_h, 1)
        kx_first, kx_last = valid_taps(left, w.in_w, w.kernel_w, 1)
        count = np.int32((ky_last - ky_first) * (kx_last - kx_first))
        for c in range(w.in_c):
            sums[c] = 0
        for ky in range(ky_first, ky_last):
            for kx in range(kx_first, kx_last):
                source = ((image * w.in_h + top + ky) * w.in_w + left + kx) * w.in_c
                for c in range(w.in_c):
                    sums[c] += np.int32(x[source + c])
        half = count // 2
        for c in range(w.in_c):
            total = sums[c]
            value = (total + half) // count if total >= 0 else -((half - total) // count)
            out[pixel * w.in_c + c] = min(max(value, low), high)
