"""CONV_2D on uint8, int8 and int16, bit for bit as TFLite's reference kernels.

Sums are exact in 32 bits, so that the order of additions does not matter; what the zero points add is
moved into the bias and, for filters with a zero point (uint8), a sum over each patch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minilite_kernels import simd, vector
from minilite_kernels import simd_integer as integer
from minilite_kernels.convolution import gather_patches
from minilite_kernels.kernel import Array, Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import PANEL, ROWS, VECTORS, pad_columns, padded_columns
from minilite_kernels.window import Window

WIDTH = vector.WIDTH


class Levels(NamedTuple):
    """Zero points and range of a quantized convolution.

    ``flip`` is -128 for int8, whose bytes it makes unsigned, else 0; ``weight_zero`` is a uint8 filter's
    zero point, less 128 as the filter is; ``zero``, ``low`` and ``high`` are the output's.
    """

    x_zero: int
    flip: int
    weight_zero: int
    zero: int
    low: int
    high: int


def pad_depth(depth: int, dtype: npt.DTypeLike) -> int:
    """Depth after padding to whole lanes."""
    lane = integer.LANE_BYTES // np.dtype(dtype).itemsize
    return -(-depth // lane) * lane


def pack_lanes(weights: Array) -> Array:
    """``weights`` int8 or int16 [columns, depth] -> flat panels, each [depth / n, panel width, n].

    ``n`` values fill a lane.
    """
    columns, depth = weights.shape
    group, whole = integer.LANE_BYTES // weights.itemsize, pad_depth(depth, weights.dtype)
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
def multiply_lanes(
    x: Any,
    x_offset: int,
    rows: int,
    depth: int,
    weights: Any,
    initial: Any,
    first: int,
    columns: int,
    out: Any,
    out_offset: int,
    out_stride: int,
    store: Any,
    operands: Any,
) -> None:
    """``out[r, c]`` from ``initial[c] + sum_k x[r, k] * weights[c, k]``.

    ``x`` unsigned bytes or int16 [rows, depth] at ``x_offset``, depth padded to whole lanes; rows of ``out``
    are ``out_stride`` apart; ``first`` is the packed column where these ``columns`` begin. ``store(tile,
    operands, column, row, out, target, stride, last, valid)`` makes values of the output from a tile of int32
    sums of packed columns from ``column`` on and rows ``row`` to ``row + last``; it stores ``valid`` columns.
    """
    for column in range(0, columns, PANEL):
        packed = first + column
        panel = packed * depth
        valid = columns - column
        for row in range(0, rows, ROWS):
            last = min(ROWS, rows - row) - 1
            start = x_offset + row * depth
            target = out_offset + row * out_stride + column
            if valid > WIDTH:
                tile = simd.broadcast_row(initial, packed, ROWS, VECTORS)
                tile = multiply_tile(tile, x, start, depth, last, weights, panel, PANEL)
                store(tile, operands, packed, row, out, target, out_stride, last, valid)
            else:
                half = simd.broadcast_row(initial, packed, ROWS, 1)
                half = multiply_tile(half, x, start, depth, last, weights, panel, WIDTH)
                store(half, operands, packed, row, out, target, out_stride, last, valid)


@helper
def gather_lanes(
    x: Any,
    patches: Any,
    stride: int,
    fill: int,
    flip: int,
    w: Window,
    channel: int,
    channels: int,
    start: int,
    stop: int,
) -> tuple[Any, int]:
    """Rows for ``multiply_lanes``, ``stride`` apart, bytes made unsigned by ``flip``: where they begin.

    They are gathered as by ``gather_patches``, or, where a picture is a matrix of them already, lie in it.
    """
    matrix = is_matrix(w) and channels == stride and channels == w.in_c
    if matrix and flip == 0:
        return x, start * stride
    size = (stop - start) * stride
    if matrix:
        flip_bytes(x[start * stride : stop * stride], patches, flip)
    else:
        gather_patches(x, patches, stride, x.dtype.type(fill), w, channel, channels, start, stop)
        if flip != 0:
            bits, gathered = x.dtype.type(flip), patches[:size]
            for i in range(gathered.size):
                gathered[i] ^= bits
    return patches, 0


@helper
def is_matrix(w: Window) -> bool:
    """Whether each output pixel sees the input pixel of its number alone."""
    taps, strides = w.kernel_h * w.kernel_w, w.stride_h * w.stride_w
    return taps == 1 and strides == 1 and w.out_h == w.in_h and w.out_w == w.in_w


@helper
def flip_bytes(x: Any, out: Any, flip: int) -> None:
    """``x`` with some bits of each element turned over."""
    bits = x.dtype.type(flip)
    for i in range(x.size):
        out[i] = x[i] ^ bits


@helper
def padded_lanes(depth: int, itemsize: int) -> int:
    """``pad_depth`` inside kernels."""
    lane = integer.LANE_BYTES // itemsize
    return (depth + lane - 1) // lane * lane


@helper
def sum_patches(x: Any, offset: int, sums: Any, rows: int, stride: int, depth: int, levels: Levels) -> None:
    """What ``finish_quantized`` needs of filters with a zero point: the sum of each patch."""
    if levels.weight_zero != 0:  # else the sums are multiplied by zero, whatever they are
        for row in range(rows):
            patch = x[offset + row * stride : offset + row * stride + depth]
            total = np.int32(0)
            for k in range(patch.size):
                total += np.int32(patch[k])
            sums[row] = total


@helper
def finish_quantized(tile: Any, operands: Any, column: int, row: int, last: int) -> Any:
    """Sums brought to the output's scale and clamped; ``sums`` is what a filter's zero point multiplies."""
    sums, multipliers, lefts, rights, levels = operands
    tile = integer.add_row_terms(tile, sums, row, last, -levels.weight_zero)
    tile = integer.requantize(tile, multipliers, lefts, rights, column, levels.zero)
    return simd.clamp(tile, np.int32(levels.low), np.int32(levels.high))


@helper
def store_quantized(
    tile: Any, operands: Any, column: int, row: int, out: Any, target: int, stride: int, last: int, valid: int
) -> None:
    """``finish_quantized`` and a store."""
    sums, multipliers, lefts, rights, levels = operands
    tables, numbers = (
        (multipliers, lefts, rights),
        (-levels.weight_zero, levels.zero, levels.low, levels.high),
    )
    integer.store_requantized(tile, out, target, stride, last, valid, sums, row, tables, column, numbers)


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
    groups: int,
    out_c: int,
    levels: Levels,
    start: int,
    stop: int,
) -> None:
    """CONV_2D on uint8, int8 or int16, output pixels ``start..stop`` of [batch, out_h, out_w].

    Parameters
    ----------
    x:
        NHWC.
    weights:
        Through ``pack_lanes``, uint8 filters less 128; for int16 pictures of 16 bits.
    bias, multipliers, lefts, rights:
        int32, one for each output channel, padded as ``matmul.pack_columns`` does. The bias holds all
        that the zero points add that does not depend on ``x``. Multipliers of 16 bits round once
        (``simd_integer.requantize``).
    patches, sums:
        Room for one patch of a group (padded to whole lanes, type of ``x``) and one int32 for each pixel.
    out, out_c:
        Type of ``x``; its channels.
    w, groups, levels:
        Geometry, zero points and range. Weights and tables are packed ``matmul.in_groups``.
    """
    channels, columns = w.in_c // groups, out_c // groups
    depth, padded, rows = w.kernel_h * w.kernel_w * channels, padded_columns(columns), stop - start
    stride = padded_lanes(depth, x.itemsize)
    operands = (sums, multipliers, lefts, rights, levels)
    for group in range(groups):
        channel, fill, flip = group * channels, levels.x_zero, levels.flip
        source, begin = gather_lanes(x, patches, stride, fill, flip, w, channel, channels, start, stop)
        sum_patches(source, begin, sums, rows, stride, depth, levels)
        first, target = group * padded, start * out_c + group * columns
        multiply_lanes(
            source,
            begin,
            rows,
            stride,
            weights,
            bias,
            first,
            columns,
            out,
            target,
            out_c,
            store_quantized,
            operands,
        )
