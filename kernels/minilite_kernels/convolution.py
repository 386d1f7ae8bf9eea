"""General 2-D convolution: gather patches, then a matrix product on them (im2row).

A chunk of output pixels is gathered into the thread's scratch, where it stays in the cache while
every panel of weights passes over it.
"""

from __future__ import annotations

from typing import Any

from minilite_kernels import simd
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import multiply_panels
from minilite_kernels.vector import WIDTH
from minilite_kernels.window import Window


@helper
def copy_run(x: Any, source: int, out: Any, target: int, size: int) -> None:
    """``out[target:][:size] = x[source:][:size]``, where what follows in ``out`` is written later.

    Whole vectors are copied as long as both arrays have room for what the last one carries too much.
    """
    if source + size + WIDTH <= len(x) and target + size + WIDTH <= len(out):
        for i in range(0, size, WIDTH):
            simd.copy_vector(x, source + i, out, target + i)
    else:
        for i in range(size):
            out[target + i] = x[source + i]


@helper
def gather_patches(
    x: Any,
    patches: Any,
    patch_stride: int,
    fill: Any,
    w: Window,
    start: int,
    stop: int,
) -> None:
    """Row ``p - start`` of ``patches`` = the window under output pixel ``p``, ``fill`` outside the image.

    Output pixels are numbered over [batch, out_h, out_w]; a patch is [kernel_h, kernel_w, channels],
    as the weights are.
    """
    row = w.in_c * w.kernel_w
    for pixel in range(start, stop):
        image, rest = pixel // (w.out_h * w.out_w), pixel % (w.out_h * w.out_w)
        top = rest // w.out_w * w.stride_h - w.pad_top
        left = rest % w.out_w * w.stride_w - w.pad_left
        at = (pixel - start) * patch_stride
        whole = w.dilation_w == 1 and left >= 0 and left + w.kernel_w <= w.in_w
        for ky in range(w.kernel_h):
            y = top + ky * w.dilation_h
            line = (image * w.in_h + y) * w.in_w
            if y < 0 or y >= w.in_h:
                patches[at : at + row] = fill
            elif whole:
                copy_run(x, (line + left) * w.in_c, patches, at, row)
            else:
                for kx in range(w.kernel_w):
                    column = left + kx * w.dilation_w
                    tap = at + kx * w.in_c
                    if 0 <= column < w.in_w:
                        source = (line + column) * w.in_c
                        for i in range(w.in_c):
                            patches[tap + i] = x[source + i]
                    else:
                        patches[tap : tap + w.in_c] = fill
            at += row


@kernel
def convolve_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    patches: Scratch,
    w: Window,
    out_c: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """CONV_2D on float32, output pixels ``start..stop`` of [batch, out_h, out_w].

    ``x`` NHWC; ``weights`` [out_c, kernel_h * kernel_w * in_c] through ``matmul.pack_panels``;
    ``bias`` through ``matmul.pack_columns``; ``patches`` float32 with room for one patch a pixel.
    Sums are ordered as in ``matmul.multiply_panels``.
    """
    depth = w.kernel_h * w.kernel_w * w.in_c
    gather_patches(x, patches, depth, x.dtype.type(0), w, start, stop)
    multiply_panels(patches, 0, stop - start, depth, weights, bias, out, start * out_c, out_c, low, high)
