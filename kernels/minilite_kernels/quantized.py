"""CONV_2D and DEPTHWISE_CONV_2D on uint8, int8 and int16, bit for bit as TFLite's reference kernels.

Sums are exact in 32 bits, so that the order of additions does not matter; what the zero points add is
moved into the bias and, for filters with a zero point (uint8), a sum over each patch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minilite_kernels import simd, vector
from minilite_kernels import simd_integer as integer
from minilite_kernels.convolution import gather_patches
from minilite_kernels.depthwise import PIXELS, first_tap, last_whole, pixel_gap, visit_row
from minilite_kernels.kernel import Array, Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import PANEL, ROWS, VECTORS, pad_columns
from minilite_kernels.window import Window, valid_taps

WIDTH = vector.WIDTH


def group_of(dtype: npt.DTypeLike) -> int:
    """Values of a type that one lane multiplies and adds at once."""
    return integer.LANE_BYTES // np.dtype(dtype).itemsize


def pad_depth(depth: int, dtype: npt.DTypeLike) -> int:
    """Depth after padding to whole groups."""
    group = group_of(dtype)
    return -(-depth // group) * group


def pack_groups(weights: Array) -> Array:
    """``weights`` int8 or int16 [columns, depth] -> flat panels, each [depth / group, panel width, group]."""
    columns, depth = weights.shape
    group, whole = group_of(weights.dtype), pad_depth(depth, weights.dtype)
    padded = np.zeros((pad_columns(columns), whole), weights.dtype)
    padded[:columns, :depth] = weights
    panels = [
        padded[n : n + PANEL].reshape(-1, whole // group, group).transpose(1, 0, 2).ravel()
        for n in range(0, len(padded), PANEL)
    ]
    return np.concatenate(panels)


@helper
def multiply_tile(
    tile: Any, x: Any, start: int, depth: int, last: int, weights: Any, panel: int, width: int
) -> Any:
    """The tile plus the product of its rows of ``x`` (``depth`` apart) with one panel of weights."""
    for k in range(0, depth, integer.LANE_BYTES // x.itemsize):
        tile = integer.dot_multiply_add(tile, x, start + k, depth, last, weights, panel + k * width)
    return tile


@helper
def multiply_groups(
    x: Any,
    rows: int,
    depth: int,
    sums: Any,
    weights: Any,
    weight_zero: int,
    tables: Any,
    out: Any,
    out_offset: int,
    columns: int,
    zero: int,
    low: int,
    high: int,
) -> None:
    """``out[r, c] = clamp(scale_c(bias[c] - weight_zero * sums[r] + sum_k x[r, k] * weights[c, k]) + zero)``.

    ``x`` unsigned bytes or int16 [rows, depth], depth padded to whole groups; ``tables`` the bias, and the
    multipliers, left and right shifts of ``scale``, one for each column.
    """
    bias, multipliers, lefts, rights = tables
    floor, ceiling = np.int32(low), np.int32(high)
    for column in range(0, columns, PANEL):
        panel = column * depth
        valid = columns - column
        for row in range(0, rows, ROWS):
            last = min(ROWS, rows - row) - 1
            start = row * depth
            target = out_offset + row * columns + column
            if valid > WIDTH:
                tile = simd.broadcast_row(bias, column, ROWS, VECTORS)
                tile = multiply_tile(tile, x, start, depth, last, weights, panel, PANEL)
                tile = integer.add_row_terms(tile, sums, row, last, -weight_zero)
                tile = integer.requantize(tile, multipliers, lefts, rights, column, zero)
                simd.store(simd.clamp(tile, floor, ceiling), out, target, columns, last, valid)
            else:
                half = simd.broadcast_row(bias, column, ROWS, 1)
                half = multiply_tile(half, x, start, depth, last, weights, panel, WIDTH)
                half = integer.add_row_terms(half, sums, row, last, -weight_zero)
                half = integer.requantize(half, multipliers, lefts, rights, column, zero)
                simd.store(simd.clamp(half, floor, ceiling), out, target, columns, last, valid)


@kernel
def convolve_quantized(
    x: Input,
    weights: Input,
    bias: Input,
    multipliers: Input,
    lefts: Input,
    rights: Input,
    out: Output,
    patches: Scratch,
    sums: Scratch,
    w: Window,
    out_c: int,
    x_zero: int,
    flip: int,
    weight_zero: int,
    zero: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """CONV_2D on uint8, int8 or int16, output pixels ``start..stop`` of [batch, out_h, out_w].

    Parameters
    ----------
    x, x_zero, flip:
        NHWC and its zero point; ``flip`` is -128 for int8, whose bytes it makes unsigned, else 0.
    weights, weight_zero:
        Through ``pack_groups``, uint8 filters less 128; their zero point, less 128 too. For int16 pictures
        of 16 bits.
    bias, multipliers, lefts, rights:
        int32, one for each output channel, padded as ``matmul.pack_columns`` does. The bias holds all
        that the zero points add that does not depend on ``x``. Multipliers of 16 bits round once
        (``simd_integer.requantize``).
    patches, sums:
        Room for one patch (padded to whole groups, type of ``x``) and one int32 for each pixel.
    out, out_c, zero, low, high:
        Type of ``x``, its channels, its zero point and the range of the activation.
    w, start, stop:
        Geometry; output pixels.
    """
    depth = w.kernel_h * w.kernel_w * w.in_c
    group = integer.LANE_BYTES // x.itemsize
    stride = (depth + group - 1) // group * group
    rows = stop - start
    gather_patches(x, patches, stride, x.dtype.type(x_zero), w, start, stop)
    if flip != 0:
        for i in range(rows * stride):
            patches[i] = x.dtype.type(patches[i] ^ flip)
    if weight_zero != 0:  # else the sums are multiplied by zero, whatever they are
        for row in range(rows):
            total = np.int32(0)
            for k in range(row * stride, row * stride + depth):
                total += np.int32(patches[k])
            sums[row] = total
    tables = (bias, multipliers, lefts, rights)
    multiply_groups(
        patches, rows, stride, sums, weights, weight_zero, tables, out, start * out_c, out_c, zero, low, high
    )


@helper
def add_taps(
    tile: Any, x: Any, at: int, step: int, x_zero: int, w: Window, rows: Any, columns: Any, weights: Any
) -> Any:
    """As ``depthwise.add_taps``, in integers."""
    channels = w.in_c
    line, tap = w.dilation_h * w.in_w * channels, w.dilation_w * channels
    for ky in range(rows[0], rows[1]):
        for kx in range(columns[0], columns[1]):
            there, weight = at + ky * line + kx * tap, (ky * w.kernel_w + kx) * channels
            tile = integer.pairwise_multiply_add(tile, x, there, step, x_zero, weights, weight)
    return tile


@helper
def border(operands: Any, w: Window, row: int, column: int, count: int) -> None:
    """As ``depthwise.border``, in integers."""
    x, weights, tables, out, x_zero, zero, low, high = operands
    bias, multipliers, lefts, rights = tables
    floor, ceiling = np.int32(low), np.int32(high)
    top, left, source = first_tap(w, row, column)
    rows = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
    columns = valid_taps(left, w.in_w, w.kernel_w, w.dilation_w)
    step, target = w.stride_w * w.in_c, (row * w.out_w + column) * w.in_c
    c = 0
    while c < w.in_c:
        c = last_whole(c, w.in_c)
        if count == PIXELS:
            block = simd.broadcast_row(bias, c, PIXELS, 1)
            block = add_taps(block, x, source + c, step, x_zero, w, rows, columns, weights[c:])
            block = integer.requantize(block, multipliers, lefts, rights, c, zero)
            simd.store(simd.clamp(block, floor, ceiling), out, target + c, w.in_c, PIXELS, WIDTH)
        else:
            pixel = simd.broadcast_row(bias, c, 1, 1)
            pixel = add_taps(pixel, x, source + c, step, x_zero, w, rows, columns, weights[c:])
            pixel = integer.requantize(pixel, multipliers, lefts, rights, c, zero)
            simd.store(simd.clamp(pixel, floor, ceiling), out, target + c, 0, 0, WIDTH)
        c += WIDTH


@helper
def interior(operands: Any, w: Window, row: int, first: int, after: int) -> None:
    """As ``depthwise.interior``, in integers."""
    x, weights, tables, out, x_zero, zero, low, high = operands
    bias, multipliers, lefts, rights = tables
    channels, gap = w.in_c, pixel_gap(w)
    top, _, source = first_tap(w, row, first)
    rows, columns = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h), (0, w.kernel_w)
    step, target = gap * w.stride_w * channels, (row * w.out_w + first) * channels
    c = 0
    while c < channels:
        c = last_whole(c, channels)
        seed = simd.broadcast_row(bias, c, PIXELS, 1)
        for residue in range(gap):
            count = (after - first - residue + gap - 1) // gap
            done = 0
            while done < count:
                column = residue + min(done, count - PIXELS) * gap
                at = source + column * w.stride_w * channels + c
                tile = add_taps(seed, x, at, step, x_zero, w, rows, columns, weights[c:])
                tile = integer.requantize(tile, multipliers, lefts, rights, c, zero)
                tile = simd.clamp(tile, np.int32(low), np.int32(high))
                simd.store(tile, out, target + column * channels + c, gap * channels, PIXELS, WIDTH)
                done += PIXELS
        c += WIDTH


@kernel
def depthwise_quantized(
    x: Input,
    weights: Input,
    bias: Input,
    multipliers: Input,
    lefts: Input,
    rights: Input,
    out: Output,
    w: Window,
    x_zero: int,
    zero: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """DEPTHWISE_CONV_2D with multiplier 1 on integers, output rows ``start..stop`` of [batch, out_h].

    ``x`` uint8, int8 or int16, NHWC with at least ``WIDTH`` channels; ``weights`` int16 [kernel_h,
    kernel_w, channels], less their zero point; the tables [channels], as ``convolve_quantized`` has them.
    Taps outside the image add nothing.
    """
    tables = (bias, multipliers, lefts, rights)
    operands = (x, weights, tables, out, x_zero, zero, low, high)
    for row in range(start, stop):
        visit_row(w, row, border, interior, operands)
