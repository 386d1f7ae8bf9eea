"""General 2-D convolution: gather patches, then a matrix product on them (im2row).

A chunk of output pixels is gathered into the thread's scratch, where it stays in the cache while
every panel of weights passes over it.
"""

from __future__ import annotations

from typing import Any

from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import multiply_panels


@helper
def gather_patches(
    x: Any,
    patches: Any,
    patch_stride: int,
    fill: Any,
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
    start: int,
    stop: int,
) -> None:
    """Row ``p - start`` of ``patches`` = the window under output pixel ``p``, ``fill`` outside the image.

    Output pixels are numbered over [batch, out_h, out_w]; a patch is [kernel_h, kernel_w, channels],
    as the weights are.
    """
    row = channels * kernel_w
    for pixel in range(start, stop):
        image, rest = pixel // (out_h * out_w), pixel % (out_h * out_w)
        top = rest // out_w * stride_h - pad_top
        left = rest % out_w * stride_w - pad_left
        at = (pixel - start) * patch_stride
        inside = left >= 0 and left + (kernel_w - 1) * dilation_w < in_w
        for ky in range(kernel_h):
            y = top + ky * dilation_h
            if y < 0 or y >= in_h:
                for i in range(row):
                    patches[at + i] = fill
            elif inside and dilation_w == 1:
                source = ((image * in_h + y) * in_w + left) * channels
                for i in range(row):
                    patches[at + i] = x[source + i]
            else:
                for kx in range(kernel_w):
                    column = left + kx * dilation_w
                    if 0 <= column < in_w:
                        source = ((image * in_h + y) * in_w + column) * channels
                        for i in range(channels):
                            patches[at + kx * channels + i] = x[source + i]
                    else:
                        for i in range(channels):
                            patches[at + kx * channels + i] = fill
            at += row


@kernel
def convolve_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    patches: Scratch,
    in_h: int,
    in_w: int,
    in_c: int,
    out_h: int,
    out_w: int,
    out_c: int,
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
    """CONV_2D on float32, output pixels ``start..stop`` of [batch, out_h, out_w].

    ``x`` NHWC; ``weights`` [out_c, kernel_h * kernel_w * in_c] through ``matmul.pack_panels``;
    ``bias`` through ``matmul.pack_columns``; ``patches`` float32 with room for one patch a pixel.
    Each sum starts at the bias and follows the order of the weights.
    """
    depth = kernel_h * kernel_w * in_c
    gather_patches(
        x,
        patches,
        depth,
        x.dtype.type(0),
        in_h,
        in_w,
        in_c,
        out_h,
        out_w,
        kernel_h,
        kernel_w,
        stride_h,
        stride_w,
        dilation_h,
        dilation_w,
        pad_top,
        pad_left,
        start,
        stop,
    )
    multiply_panels(patches, 0, stop - start, depth, weights, bias, out, start * out_c, out_c, low, high)
