"""Expand and filter in one go: a 1x1 convolution whose result only a depthwise convolution reads.

The widest tensors of a network of inverted residuals (MobileNetV2 and all that are built like it) lie
between these two. A depthwise filter sees one channel, so a panel of channels can be expanded into a
scratch that stays in the second-level cache, filtered there, and forgotten.
"""

from __future__ import annotations

import numpy as np

from minilite_kernels.depthwise import filter_rows
from minilite_kernels.kernel import Array, Input, Output, Scratch, kernel
from minilite_kernels.matmul import multiply_panels
from minilite_kernels.window import Window


def pack_filters(filters: Array, block: int) -> Array:
    """Filters [kernel_h, kernel_w, channels], ``block`` channels after the other."""
    channels = filters.shape[-1]
    parts = [filters[..., first : first + block].ravel() for first in range(0, channels, block)]
    packed: Array = np.concatenate(parts)
    return packed


@kernel
def expand_depthwise_float(
    x: Input,
    expand_weights: Input,
    expand_bias: Input,
    weights: Input,
    bias: Input,
    out: Output,
    expanded: Scratch,
    w: Window,
    depth: int,
    band: int,
    block: int,
    expand_low: float,
    expand_high: float,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """DEPTHWISE_CONV_2D of multiplier 1 on the result of a 1x1 CONV_2D, float32.

    Parameters
    ----------
    x:
        [batch, in_h, in_w, depth].
    expand_weights, expand_bias:
        From ``matmul.pack_panels`` and ``pack_columns``: ``w.in_c`` columns.
    weights, bias:
        Filters from ``pack_filters``, finite; [in_c].
    out:
        NHWC with ``w.in_c`` channels.
    expanded:
        [rows, in_w, block] with as many rows as a band of output rows sees.
    w:
        The depthwise window.
    band:
        Output rows that are computed at a time.
    block:
        Channels that are computed at a time, a multiple of ``PANEL``; what is left for the last block is
        at least ``WIDTH``.
    expand_low, expand_high, low, high:
        Clamps of the expanded values and of the results.
    start, stop:
        Pieces, numbered over [batch, bands, blocks].
    """
    blocks, bands = (w.in_c + block - 1) // block, (w.out_h + band - 1) // band
    taps = w.kernel_h * w.kernel_w
    for piece in range(start, stop):
        channel = piece % blocks * block
        image, first = piece // blocks // bands, piece // blocks % bands * band
        rows = min(band, w.out_h - first)
        channels = min(block, w.in_c - channel)
        # What the band sees of the image.
        above = first * w.stride_h - w.pad_top
        top = max(above, 0)
        bottom = min(above + (rows - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1, w.in_h)
        height = max(bottom - top, 0)
        multiply_panels(
            x,
            (image * w.in_h + top) * w.in_w * depth,
            height * w.in_w,
            depth,
            expand_weights,
            expand_bias,
            channel,
            channels,
            expanded,
            0,
            channels,
            None,
            (expand_low, expand_high, expand_low, expand_high),
        )
        seen = Window(
            height,
            w.in_w,
            channels,
            rows,
            w.out_w,
            w.kernel_h,
            w.kernel_w,
            w.stride_h,
            w.stride_w,
            w.dilation_h,
            w.dilation_w,
            top - above,
            w.pad_left,
        )
        place = (image * w.out_h + first) * w.out_w * w.in_c + channel
        filter_rows(
            expanded, weights[channel * taps :], bias[channel:], out, place, w.in_c, seen, low, high, 0, rows
        )
