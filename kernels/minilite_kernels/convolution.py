"""General 2-D convolution: gather patches, then a matrix product on them (im2row).

A chunk of output pixels is gathered into the thread's scratch, where it stays in the cache while
every panel of weights passes over it. Of a picture with few channels, where gathering would take as long
as multiplying, the lines under a tile are read where they stand (``convolve_lines_float``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import PANEL, ROWS, VECTORS, WIDTH, finish, multiply_panels, padded_columns
from minilite_kernels.window import Window, valid_taps


@helper
def copy_run(x: Any, source: int, out: Any, target: int, size: int) -> None:
    """``out[target:][:size] = x[source:][:size]``, where what follows in ``out`` is written later.

    Whole vectors are copied as long as both arrays have room for what the last one carries too much.
    """
    width = 4 * WIDTH // x.itemsize
    if source + size + width <= len(x) and target + size + width <= len(out):
        for i in range(0, size, width):
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
    channel: int,
    channels: int,
    start: int,
    stop: int,
) -> None:
    """Row ``p - start`` of ``patches`` = the window under output pixel ``p``, ``fill`` outside the image.

    Output pixels are numbered over [batch, out_h, out_w]; a patch is [kernel_h, kernel_w, channels], as the
    weights are: those from ``channel`` on, a group's or all.
    """
    row, line, tap = channels * w.kernel_w, w.dilation_h * w.in_w * w.in_c, w.dilation_w * w.in_c
    reach = (w.kernel_w - 1) * w.dilation_w
    # A run that one vector holds is copied with what follows it, as in copy_run.
    width = 4 * WIDTH // x.itemsize
    solid = w.dilation_w == 1 and channels == w.in_c
    narrow = (row if solid else channels) <= width
    last_source = len(x) - width - w.kernel_h * line - w.kernel_w * tap
    last_target = len(patches) - width - w.kernel_h * row
    pixel, at = start, 0
    while pixel < stop:
        # What is left of one output row: division is slow.
        column = pixel % w.out_w
        image, top = pixel // w.out_w // w.out_h, pixel // w.out_w % w.out_h * w.stride_h - w.pad_top
        first, last = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
        left = column * w.stride_w - w.pad_left
        end = min(stop, pixel - column + w.out_w)
        source = ((image * w.in_h + top) * w.in_w + left) * w.in_c + channel
        while pixel < end:
            whole = last - first == w.kernel_h and left >= 0 and left + reach < w.in_w
            inside = whole and source < last_source and at < last_target
            if inside and narrow and solid:
                for ky in range(w.kernel_h):
                    simd.copy_vector(x, source + ky * line, patches, at + ky * row)
            elif inside and narrow:
                gather_taps(x, source, line, tap, patches, at, channels, w)
            elif whole and solid:
                for ky in range(w.kernel_h):
                    copy_run(x, source + ky * line, patches, at + ky * row, row)
            else:
                patches[at : at + first * row] = fill
                for ky in range(first, last):
                    gather_line(x, source + ky * line, patches, at + ky * row, fill, w, left, channels)
                patches[at + last * row : at + w.kernel_h * row] = fill
            pixel, at = pixel + 1, at + patch_stride
            left, source = left + w.stride_w, source + w.stride_w * w.in_c


@helper
def gather_taps(
    x: Any, source: int, line: int, tap: int, patches: Any, at: int, channels: int, w: Window
) -> None:
    """A patch inside the image, a vector for each tap."""
    for ky in range(w.kernel_h):
        for kx in range(w.kernel_w):
            simd.copy_vector(x, source + ky * line + kx * tap, patches, at)
            at += channels


@helper
def gather_line(
    x: Any, source: int, patches: Any, at: int, fill: Any, w: Window, left: int, channels: int
) -> None:
    """One line of a patch, tap by tap; ``left`` is the image's column of the first, at ``source``."""
    for kx in range(w.kernel_w):
        tap = at + kx * channels
        if 0 <= left + kx * w.dilation_w < w.in_w:
            place = source + kx * w.dilation_w * w.in_c
            copy_run(x, place, patches, tap, channels)
        else:
            patches[tap : tap + channels] = fill


@helper
def convolve_groups(
    x: Any,
    weights: Any,
    bias: Any,
    addend: Any,
    out: Any,
    patches: Any,
    w: Window,
    out_c: int,
    stride: int,
    offset: int,
    groups: int,
    limits: Any,
    start: int,
    stop: int,
) -> None:
    """What both kernels below do; ``addend`` and ``limits`` as for ``matmul.finish``."""
    channels, columns = w.in_c // groups, out_c // groups
    depth, padded, rows = w.kernel_h * w.kernel_w * channels, padded_columns(columns), stop - start
    for group in range(groups):
        gather_patches(x, patches, depth, x.dtype.type(0), w, group * channels, channels, start, stop)
        first, target = group * padded, offset + start * stride + group * columns
        multiply_panels(
            patches, 0, rows, depth, weights, bias, first, columns, out, target, stride, addend, limits
        )


@kernel
def convolve_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    patches: Scratch,
    w: Window,
    groups: int,
    out_c: int,
    stride: int,
    offset: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """CONV_2D on float32, output pixels ``start..stop`` of [batch, out_h, out_w].

    ``x`` NHWC; ``weights`` [out_c, kernel_h * kernel_w * in_c / groups] through ``matmul.pack_panels``;
    ``bias`` through ``matmul.pack_columns``, both ``in_groups``; ``patches`` float32 with room for one patch
    of a group a pixel. ``out``: pixels of ``out_c`` values, ``stride`` apart from ``offset`` on. Sums are
    ordered as in ``matmul.multiply_panels``.
    """
    limits = (low, high, low, high)
    convolve_groups(
        x, weights, bias, None, out, patches, w, out_c, stride, offset, groups, limits, start, stop
    )


@kernel
def convolve_add_float(
    x: Input,
    weights: Input,
    bias: Input,
    addend: Input,
    out: Output,
    patches: Scratch,
    w: Window,
    out_c: int,
    groups: int,
    low: float,
    high: float,
    sum_low: float,
    sum_high: float,
    start: int,
    stop: int,
) -> None:
    """As ``convolve_float``, plus ``addend``, laid out as ``out``, within ``sum_low ... sum_high``."""
    limits = (low, high, sum_low, sum_high)
    convolve_groups(x, weights, bias, addend, out, patches, w, out_c, out_c, 0, groups, limits, start, stop)


@helper
def add_lines(
    tile: Any,
    lines: Any,
    at: int,
    line: int,
    step: int,
    last: int,
    weights: Any,
    panel: int,
    width: int,
    run: int,
    count: int,
) -> Any:
    """The tile plus ``count`` lines of ``run`` products: pixels are ``step`` apart, lines ``line``."""
    part = simd.zeros_like(tile)
    for ky in range(count):
        for k in range(run):
            place = panel + (ky * run + k) * width
            part = simd.outer_multiply_add(part, lines, at + ky * line + k, step, last, weights, place)
    return simd.add(tile, part)


@helper
def gather_lines(x: Any, lines: Any, w: Window, image: int, top: int, left: int, columns: int) -> None:
    """``lines`` [kernel_h, columns, in_c] = the picture from ``top`` and ``left`` on, zeros outside."""
    first, after = max(left, 0), min(left + columns, w.in_w)
    size = columns * w.in_c
    for ky in range(w.kernel_h):
        row = top + ky * w.dilation_h
        target = lines[ky * size : (ky + 1) * size]
        target[:] = np.float32(0)
        if 0 <= row < w.in_h and first < after:
            source = ((image * w.in_h + row) * w.in_w + first) * w.in_c
            seen = x[source : source + (after - first) * w.in_c]
            begin = (first - left) * w.in_c
            for i in range(len(seen)):
                target[begin + i] = seen[i]


@kernel
def convolve_lines_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    lines: Scratch,
    w: Window,
    out_c: int,
    stride: int,
    offset: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """CONV_2D on float32 where a patch has at most ``matmul.BLOCK`` values, output rows of [batch, out_h].

    As ``convolve_float`` with one group and without horizontal dilation, and with the same bits; ``lines``
    float32 has room for the lines under a tile of pixels.
    """
    run, line = w.kernel_w * w.in_c, w.dilation_h * w.in_w * w.in_c
    depth, step, columns = w.kernel_h * run, w.stride_w * w.in_c, (ROWS - 1) * w.stride_w + w.kernel_w
    limits = (low, high, low, high)
    for row in range(start, stop):
        image, top = row // w.out_h, row % w.out_h * w.stride_h - w.pad_top
        whole = top >= 0 and top + (w.kernel_h - 1) * w.dilation_h < w.in_h
        for column in range(0, w.out_w, ROWS):
            last = min(ROWS, w.out_w - column) - 1
            left = column * w.stride_w - w.pad_left
            inside = whole and left >= 0 and left + last * w.stride_w + w.kernel_w <= w.in_w
            if inside:
                seen, at, apart = x, ((image * w.in_h + top) * w.in_w + left) * w.in_c, line
            else:
                gather_lines(x, lines, w, image, top, left, columns)
                seen, at, apart = lines, 0, columns * w.in_c
            for first in range(0, out_c, PANEL):
                valid, panel = out_c - first, first * depth
                target = offset + (row * w.out_w + column) * stride + first
                if valid > WIDTH:
                    tile = simd.broadcast_row(bias, first, ROWS, VECTORS)
                    tile = add_lines(
                        tile, seen, at, apart, step, last, weights, panel, PANEL, run, w.kernel_h
                    )
                    tile = finish(tile, target, stride, last, valid, None, limits)
                    simd.store(tile, out, target, stride, last, valid)
                else:
                    half = simd.broadcast_row(bias, first, ROWS, 1)
                    half = add_lines(
                        half, seen, at, apart, step, last, weights, panel, WIDTH, run, w.kernel_h
                    )
                    half = finish(half, target, stride, last, valid, None, limits)
                    simd.store(half, out, target, stride, last, valid)
