"""Transposed convolution as ordinary ones whose results are laid between each other.

Output pixels that are a stride apart see the same taps of the filter: together they are one convolution of
the picture, a *phase*. Where filters do not overlap, being as large as the stride, all phases see the same
pixels, and one convolution makes whole blocks of the output.
"""

from __future__ import annotations

from typing import NamedTuple

from minilite_kernels.convolution import gather_patches
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import multiply_panels, padded_columns
from minilite_kernels.quantized import (
    Levels,
    gather_lanes,
    multiply_lanes,
    padded_lanes,
    store_quantized,
    sum_patches,
)
from minilite_kernels.window import Window


class Phase(NamedTuple):
    """Where a convolution's pixels go in an output [batch, out_h, out_w, channels].

    The first begins at row ``first_y`` and column ``first_x``, others ``step_y`` and ``step_x`` further; each
    is a block of ``block_h`` x ``block_w`` output pixels.
    """

    out_h: int
    out_w: int
    channels: int
    first_y: int
    first_x: int
    step_y: int
    step_x: int
    block_h: int
    block_w: int


@helper
def place(w: Window, phase: Phase, row: int, part: int) -> int:
    """Where line ``part`` of the blocks of the phase's row ``row`` begins; rows are of [batch, w.out_h]."""
    image, y = row // w.out_h, row % w.out_h
    line = image * phase.out_h + phase.first_y + y * phase.step_y + part
    return (line * phase.out_w + phase.first_x) * phase.channels


@kernel
def transposed_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    patches: Scratch,
    w: Window,
    phase: Phase,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """One phase of a transposed convolution on float32, its rows ``start..stop`` of [batch, w.out_h].

    Parameters
    ----------
    x, w:
        NHWC, and the window of the phase's convolution over it.
    weights, bias:
        As ``convolution.convolve_float`` takes them, a group for each line of a block, a column for each of
        the line's elements.
    patches:
        Room for one patch a pixel.
    out, phase, low, high:
        NHWC, what part of it is written, and the range of the activation.
    start, stop:
        The phase's rows.
    """
    depth, columns = w.kernel_h * w.kernel_w * w.in_c, phase.block_w * phase.channels
    gather_patches(x, patches, depth, x.dtype.type(0), w, 0, w.in_c, start * w.out_w, stop * w.out_w)
    stride, limits = phase.step_x * phase.channels, (low, high, low, high)
    for row in range(start, stop):
        source = (row - start) * w.out_w * depth
        for part in range(phase.block_h):
            first, target = part * padded_columns(columns), place(w, phase, row, part)
            multiply_panels(
                patches,
                source,
                w.out_w,
                depth,
                weights,
                bias,
                first,
                columns,
                out,
                target,
                stride,
                None,
                limits,
            )


@kernel
def transposed_quantized(
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
    phase: Phase,
    levels: Levels,
    start: int,
    stop: int,
) -> None:
    """As ``transposed_float`` on uint8, int8 or int16; arguments as of ``quantized.convolve_quantized``."""
    depth, columns = w.kernel_h * w.kernel_w * w.in_c, phase.block_w * phase.channels
    stride = padded_lanes(depth, x.itemsize)
    first, last = start * w.out_w, stop * w.out_w
    source, begin = gather_lanes(x, patches, stride, levels.x_zero, levels.flip, w, 0, w.in_c, first, last)
    sum_patches(source, begin, sums, last - first, stride, depth, levels)
    for row in range(start, stop):
        pixel = (row - start) * w.out_w
        operands = (sums[pixel:], multipliers, lefts, rights, levels)
        for part in range(phase.block_h):
            multiply_lanes(
                source,
                begin + pixel * stride,
                w.out_w,
                stride,
                weights,
                bias,
                part * padded_columns(columns),
                columns,
                out,
                place(w, phase, row, part),
                phase.step_x * phase.channels,
                store_quantized,
                operands,
            )
