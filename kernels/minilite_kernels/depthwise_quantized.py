"""Depthwise convolution on uint8, int8 and int16, bit for bit as TFLite's reference kernels.

Each output row is computed a vector of channels at a time, in two steps. The rows of the picture that the
filter sees are *woven* into one line: a 32-bit lane for each pixel and channel, which holds what a column of
taps sees there. Then a column of taps is one product for each output pixel, with instructions that multiply
and add all that a lane holds. Where the window leaves the picture the line holds the zero point, so that any
stride, dilation and padding is the same loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd
from minilite_kernels import simd_integer as integer
from minilite_kernels.depthwise import first_tap, last_whole
from minilite_kernels.kernel import Array, Input, Output, Scratch, helper, kernel
from minilite_kernels.quantized import Levels
from minilite_kernels.vector import WIDTH
from minilite_kernels.window import Window

PIXELS = 8
"""Output pixels that are computed at once."""


def pack_filters(filters: Array, itemsize: int) -> Array:
    """``filters`` int16 [kernel_h, kernel_w, channels], less their zero point, for ``depthwise_quantized``.

    [parts, groups, kernel_w, channels, n], flat: ``n`` rows of the filter fill a lane. With pictures of bytes
    (``itemsize`` 1) they are int8, and filters that do not fit that are the sum of several parts.
    """
    kernel_h, kernel_w, channels = filters.shape
    rows = integer.LANE_BYTES // itemsize
    groups = -(-kernel_h // rows)
    padded = np.zeros((groups * rows, kernel_w, channels), np.int32)
    padded[:kernel_h] = filters
    kind = np.iinfo(f"i{itemsize}")
    parts: list[Array] = []
    while not parts or padded.any():
        part = padded.clip(kind.min, kind.max)
        padded -= part
        lanes = part.reshape(groups, rows, kernel_w, channels).transpose(0, 2, 3, 1)
        parts.append(lanes.astype(kind.dtype).ravel())
    return np.concatenate(parts)


def _line_size(w: Window, itemsize: int) -> int:
    rows = integer.LANE_BYTES // itemsize
    return (w.kernel_h + rows - 1) // rows * _positions(w) * WIDTH


def _positions(w: Window) -> int:
    """Pixels of a line: all that an output row sees, with what lies left and right of the picture."""
    return (w.out_w - 1) * w.stride_w + (w.kernel_w - 1) * w.dilation_w + 1


line_size = _line_size
"""int32 lanes of the scratch that ``depthwise_quantized`` needs."""

positions_of = helper(_positions)


@helper
def seen_row(w: Window, row: int, tap: int) -> tuple[int, bool]:
    """Where the row begins that ``tap`` sees, and whether it is there; else where the nearest one begins."""
    top, _, _ = first_tap(w, row, 0)
    y = top + tap * w.dilation_h
    there = 0 <= y < w.in_h and tap < w.kernel_h
    nearest = min(max(y, 0), w.in_h - 1)
    return (row // w.out_h * w.in_h + nearest) * w.in_w * w.in_c, there


@helper
def weave_line(x: Any, lanes: Any, at: int, w: Window, row: int, tap: int, c: int, levels: Levels) -> None:
    """``lanes[at:]`` [positions, WIDTH]: what rows of taps from ``tap`` on see in channels from ``c`` on."""
    bits = 8 * x.itemsize
    rows, mask = 32 // bits, (1 << bits) - 1
    flip, fill = levels.flip & mask, (levels.x_zero ^ levels.flip) & mask
    keep, change, empty = 0, 0, 0
    for r in range(rows):
        there = seen_row(w, row, tap + r)[1]
        keep |= (mask if there else 0) << bits * r
        change |= (flip if there else fill) << bits * r
        empty |= fill << bits * r
    a, b = seen_row(w, row, tap)[0] + c, seen_row(w, row, tap + 1)[0] + c
    d, e = seen_row(w, row, tap + 2)[0] + c, seen_row(w, row, tap + 3)[0] + c
    positions = positions_of(w)
    left = min(w.pad_left, positions)
    right = max(min(w.pad_left + w.in_w, positions), left)
    line = lanes[at : at + positions * WIDTH]
    word = np.int32(empty - (empty >> 31 << 32))  # its bits as a signed number
    line[: left * WIDTH] = word
    three = w.kernel_h - tap <= 3
    for position in range(left, right):
        p = (position - w.pad_left) * w.in_c
        seen = (a + p, b + p, d + p, e + p)
        if rows == 2:
            simd.store(integer.weave(x, seen, keep, change, 2), lanes, at + position * WIDTH, 0, 0, WIDTH)
        elif three:
            simd.store(integer.weave(x, seen, keep, change, 3), lanes, at + position * WIDTH, 0, 0, WIDTH)
        else:
            simd.store(integer.weave(x, seen, keep, change, 4), lanes, at + position * WIDTH, 0, 0, WIDTH)
    line[right * WIDTH :] = word


@kernel
def depthwise_quantized(
    x: Input,
    weights: Input,
    bias: Input,
    multipliers: Input,
    lefts: Input,
    rights: Input,
    out: Output,
    lanes: Scratch,
    w: Window,
    levels: Levels,
    start: int,
    stop: int,
) -> None:
    """DEPTHWISE_CONV_2D with multiplier 1 on integers, output rows ``start..stop`` of [batch, out_h].

    Parameters
    ----------
    x, out:
        uint8, int8 or int16, NHWC with at least ``WIDTH`` channels.
    weights:
        From ``pack_filters``.
    bias, multipliers, lefts, rights:
        One for each channel, as ``quantized.convolve_quantized`` has them.
    lanes:
        int32 [``line_size``].
    w, levels:
        Geometry, zero points and range; ``weight_zero`` is not looked at.
    """
    rows = integer.LANE_BYTES // x.itemsize
    groups, channels, positions = (w.kernel_h + rows - 1) // rows, w.in_c, positions_of(w)
    parts = len(weights) // (groups * w.kernel_w * channels * rows)
    floor, ceiling = np.int32(levels.low), np.int32(levels.high)
    step, tap = w.stride_w * WIDTH, w.dilation_w * WIDTH
    for row in range(start, stop):
        c = 0
        while c < channels:
            c = last_whole(c, channels)
            for group in range(groups):
                weave_line(x, lanes, group * positions * WIDTH, w, row, group * rows, c, levels)
            seed = simd.broadcast_row(bias, c, PIXELS, 1)
            for column in range(0, w.out_w, PIXELS):
                last = min(PIXELS, w.out_w - column) - 1
                tile, panel = seed, c * rows
                for _ in range(parts):
                    at = column * step
                    for _ in range(groups):
                        for kx in range(w.kernel_w):
                            there = at + kx * tap
                            tile = integer.multiply_add_lanes(tile, lanes, there, step, last, weights, panel)
                            panel += channels * rows
                        at += positions * WIDTH
                tile = integer.requantize(tile, multipliers, lefts, rights, c, levels.zero)
                target = (row * w.out_w + column) * channels + c
                simd.store(simd.clamp(tile, floor, ceiling), out, target, channels, last, WIDTH)
            c += WIDTH
