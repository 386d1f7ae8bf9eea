"""Depthwise convolution of few channels, or with several filters for each: a line's pixels and channels
together fill the vectors.

A line of the picture is spread out in scratch first: each channel as often as it has filters, with borders,
and in as many *phases* as the stride, so that what one tap multiplies lies side by side as the output does.
Weights are repeated until a run of vectors may begin at any channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels import simd, vector
from minilite_kernels import simd_integer as integer
from minilite_kernels.convolution import copy_run
from minilite_kernels.depthwise import first_tap
from minilite_kernels.hybrid import finish_hybrid, set_factors
from minilite_kernels.kernel import Array, Input, Output, Scratch, helper, kernel
from minilite_kernels.quantized import Levels, finish_quantized
from minilite_kernels.window import Window, valid_taps

VECTORS = 4
RUN = VECTORS * vector.WIDTH
"""Output values that are computed at once."""


def repeated(values: Array) -> Array:
    """``values`` [..., channels] with what comes first again at the end, so that any run can be read."""
    channels = values.shape[-1]
    return np.take(values, np.arange(channels + RUN), axis=-1, mode="wrap").ravel()


def line_size(w: Window, channels: int) -> int:
    """Values of a line that is spread out to ``channels``."""
    return _phases(w) * _positions(w) * channels + RUN


def _phases(w: Window) -> int:
    return min(w.stride_w, (w.kernel_w - 1) * w.dilation_w + 1)


def _positions(w: Window) -> int:
    """Pixels of one phase: an output line, and what the last tap sees behind it."""
    return w.out_w + (w.kernel_w - 1) * w.dilation_w // w.stride_w


phases_of, positions_of = helper(_phases), helper(_positions)


@helper
def spread_line(x: Any, source: int, lines: Any, at: int, fill: Any, w: Window, multiplier: int) -> None:
    """The picture's line at ``source`` as ``lines[at:]`` [phases, positions, channels * multiplier]."""
    channels, positions = w.in_c * multiplier, positions_of(w)
    if multiplier == 1 and w.stride_w == 1:
        seen = min(w.in_w, positions - w.pad_left)
        first, last = at + w.pad_left * channels, at + (w.pad_left + seen) * channels
        lines[at:first] = fill
        copy_run(x, source, lines, first, seen * channels)
        lines[last : at + positions * channels] = fill
        return
    for phase in range(phases_of(w)):
        for position in range(positions):
            target = at + (phase * positions + position) * channels
            column = position * w.stride_w + phase - w.pad_left
            if column < 0 or column >= w.in_w:
                lines[target : target + channels] = fill
                continue
            place = source + column * w.in_c
            for c in range(w.in_c):
                for m in range(multiplier):
                    lines[target + c * multiplier + m] = x[place + c]


@helper
def filter_lines(
    arrays: Any,
    w: Window,
    multiplier: int,
    zero: int,
    add_tap: Any,
    finish: Any,
    operands: Any,
    start: int,
    stop: int,
) -> None:
    """Output lines ``start..stop`` of [batch, out_h]: ``finish(initial + sum of taps)``.

    ``lines`` holds ``kernel_h`` lines; ``places`` which ones, where the rows of the filter find theirs, and
    where its columns begin. ``finish`` is called as ``quantized.multiply_lanes`` does.
    """
    x, weights, initial, out, lines, places = arrays
    channels, positions = w.in_c * multiplier, positions_of(w)
    line = phases_of(w) * positions * channels + RUN
    size, table = w.out_w * channels, channels + RUN
    held, at, shifts = places[: w.kernel_h], places[w.kernel_h : 2 * w.kernel_h], places[2 * w.kernel_h :]
    held[:] = -1
    for kx in range(w.kernel_w):
        distance = kx * w.dilation_w
        shifts[kx] = (distance % w.stride_w * positions + distance // w.stride_w) * channels
    for row in range(start, stop):
        top, _, _ = first_tap(w, row, 0)
        first, last = valid_taps(top, w.in_h, w.kernel_h, w.dilation_h)
        for ky in range(first, last):
            y = top + ky * w.dilation_h
            number, slot = row // w.out_h * w.in_h + y, y // w.dilation_h % w.kernel_h
            at[ky] = slot * line
            if held[slot] != number:
                held[slot] = number
                source = number * w.in_w * w.in_c
                spread_line(x, source, lines, at[ky], lines.dtype.type(zero), w, multiplier)
        for i in range(0, size, RUN):
            channel = i % channels
            tile = simd.broadcast_row(initial, channel, 1, VECTORS)
            for ky in range(first, last):
                for kx in range(w.kernel_w):
                    weight = (ky * w.kernel_w + kx) * table + channel
                    tile = add_tap(tile, lines, at[ky] + shifts[kx] + i, zero, weights, weight)
            simd.store(finish(tile, operands, channel, 0, 0), out, row * size + i, 0, 0, size - i)


@helper
def add_float(tile: Any, lines: Any, at: int, zero: int, weights: Any, weight: int) -> Any:
    """One tap on float32."""
    return simd.pairwise_multiply_add(tile, lines, at, 0, weights, weight)


@helper
def add_integers(tile: Any, lines: Any, at: int, zero: int, weights: Any, weight: int) -> Any:
    """One tap on integers less their zero point."""
    return integer.pairwise_multiply_add(tile, lines, at, 0, zero, weights, weight)


@helper
def finish_float(tile: Any, operands: Any, column: int, row: int, last: int) -> Any:
    """Sums clamped."""
    low, high = operands
    return simd.clamp(tile, np.float32(low), np.float32(high))


@kernel
def depthwise_flat_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    lines: Scratch,
    places: Scratch,
    w: Window,
    multiplier: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """DEPTHWISE_CONV_2D on float32, output lines ``start..stop`` of [batch, out_h].

    Parameters
    ----------
    x, multiplier:
        NHWC; filters for each of its channels.
    weights, bias:
        ``repeated`` [kernel_h, kernel_w, in_c * multiplier] and [in_c * multiplier]; weights are finite.
    lines, places:
        ``kernel_h * line_size`` values of the type of ``x``, ``2 * kernel_h + kernel_w`` int64.
    """
    arrays, limits = (x, weights, bias, out, lines, places), (low, high)
    filter_lines(arrays, w, multiplier, 0, add_float, finish_float, limits, start, stop)


@kernel
def depthwise_flat_quantized(
    x: Input,
    weights: Input,
    bias: Input,
    multipliers: Input,
    lefts: Input,
    rights: Input,
    out: Output,
    lines: Scratch,
    places: Scratch,
    w: Window,
    multiplier: int,
    levels: Levels,
    start: int,
    stop: int,
) -> None:
    """As ``depthwise_flat_float`` on uint8, int8 or int16.

    ``weights`` int16, less their zero point; the tables, ``repeated``, as ``convolve_quantized`` has them.
    ``levels.weight_zero`` is 0.
    """
    arrays, zero = (x, weights, bias, out, lines, places), levels.x_zero
    operands = (bias, multipliers, lefts, rights, levels)
    filter_lines(arrays, w, multiplier, zero, add_integers, finish_quantized, operands, start, stop)


@kernel
def depthwise_hybrid(
    x: Input,
    row_scales: Input,
    row_zeros: Input,
    weights: Input,
    initial: Input,
    scales: Input,
    bias: Input,
    out: Output,
    lines: Scratch,
    places: Scratch,
    factors: Scratch,
    w: Window,
    multiplier: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """As ``depthwise_flat_float`` on a float32 picture that ``hybrid.quantize_rows`` made int8.

    ``weights`` int16; ``initial`` int32 zeros; ``scales`` those of the weights; ``factors`` float32; all as
    many as ``repeated`` makes of them.
    """
    arrays = (x, weights, initial, out, lines, places)
    begin = start
    while begin < stop:
        image = begin // w.out_h
        end = min(stop, (image + 1) * w.out_h)
        second = set_factors(factors, scales, row_scales[image], 1)
        operands = (factors, second, bias, low, high)
        zero = np.int64(row_zeros[image])
        filter_lines(arrays, w, multiplier, zero, add_integers, finish_hybrid, operands, begin, end)
        begin = end
