"""How transposed convolutions become kernel steps: a convolution for each phase (``transposed``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minilite.graph import Array, Node
from minilite.ops.base import Lowering
from minilite.ops.convolution_steps import (
    bias_or_zeros,
    has_constant_weights,
    kernels_scale,
    quantized_levels,
    scaling_tables,
    signed_filters,
)
from minilite.ops.hybrid import is_hybrid
from minilite.ops.lowering import grain, kernel_window
from minilite.quantization import is_quantized
from minilite.shapes import Window

if TYPE_CHECKING:
    from minilite_kernels.transposed import Phase as KernelPhase


@dataclass(frozen=True)
class _Line:
    """A phase along one axis.

    Attributes
    ----------
    first, count:
        The first output position, and how many there are, a stride apart.
    taps:
        Those that the positions see, in the order of the input.
    pad:
        Input positions before the first that the first tap of the first output sees.
    """

    first: int
    count: int
    taps: tuple[int, ...]
    pad: int


@dataclass(frozen=True)
class _Phase:
    """One convolution, and its place in the output; ``block`` is (1, 1) or the whole filter."""

    rows: _Line
    columns: _Line
    block: tuple[int, int]


def _lines(size: int, kernel: int, stride: int, pad: int) -> list[_Line]:
    lines = []
    for first in range(min(stride, size)):
        taps = tuple(tap for tap in reversed(range(kernel)) if (first + pad - tap) % stride == 0)
        before = (taps[0] - first - pad) // stride if taps else 0
        lines.append(_Line(first, -(-(size - first) // stride), taps, before))
    return lines


def _phases(forward: Window) -> Iterator[_Phase]:
    f = forward
    whole = (f.in_h, f.in_w) == (f.out_h * f.stride_h, f.out_w * f.stride_w)
    if whole and (f.kernel_h, f.kernel_w) == (f.stride_h, f.stride_w):
        yield _Phase(_Line(0, f.out_h, (0,), 0), _Line(0, f.out_w, (0,), 0), block=(f.kernel_h, f.kernel_w))
        return
    for rows in _lines(f.in_h, f.kernel_h, f.stride_h, f.pad_top):
        for columns in _lines(f.in_w, f.kernel_w, f.stride_w, f.pad_left):
            yield _Phase(rows, columns, block=(1, 1))


def lower_transposed(node: Node, lowering: Lowering, forward: Window, limits: tuple[Any, Any]) -> bool:
    """A step for each phase; False where no kernel computes the node.

    Parameters
    ----------
    node:
        With its inputs in the order of CONV_2D.
    forward:
        The window of the convolution back from the output.
    limits:
        The clamp of the output.
    """
    if is_hybrid(node) or not has_constant_weights(node) or 0 in (node.input(0).size, node.output.size):
        return False
    if is_quantized(node.input(0)):
        if not kernels_scale(node, 0):
            return False
        for phase in _phases(forward):
            _lower_quantized(node, lowering, forward, phase)
    else:
        for phase in _phases(forward):
            _lower_float(node, lowering, forward, phase, limits)
    return True


def _lower_float(
    node: Node, lowering: Lowering, forward: Window, phase: _Phase, limits: tuple[Any, Any]
) -> None:
    from minilite_kernels import transposed

    shared, patches = _shared(node, forward, phase, 4)
    lowering.step(
        transposed.transposed_float,
        node,
        weights=lowering.constant(node.input(1), _pack_float, phase),
        bias=_in_blocks(bias_or_zeros(node, _window(forward, phase)), phase),
        patches=lowering.scratch(np.float32, patches * _depth(forward, phase)),
        low=limits[0],
        high=limits[1],
        **shared,
    )


def _lower_quantized(node: Node, lowering: Lowering, forward: Window, phase: _Phase) -> None:
    from minilite_kernels import matmul, quantized, transposed

    kind, levels = node.input(0).dtype, quantized_levels(node)
    move = 128 if kind == np.uint8 else 0
    filters = lowering.constant(node.input(1), np.ravel).reshape(node.input(1).shape)
    totals = signed_filters(_columns_of(filters, phase), move).sum(axis=1, dtype=np.int64)
    depth = _depth(forward, phase)
    moved = levels.x_zero - levels.flip
    bias = np.tile(bias_or_zeros(node, _window(forward, phase)), phase.block[0] * phase.block[1])
    bias = bias + depth * moved * levels.weight_zero - moved * totals
    shared, patches = _shared(node, forward, phase, kind.itemsize)
    lowering.step(
        transposed.transposed_quantized,
        node,
        weights=lowering.constant(node.input(1), _pack_quantized, phase, move, kind.itemsize),
        bias=matmul.in_groups(matmul.pack_columns, bias.astype(np.int32), phase.block[0]),
        **scaling_tables(node, partial(_in_blocks, phase=phase)),
        patches=lowering.scratch(kind, patches * quantized.pad_depth(depth, kind)),
        sums=lowering.scratch(np.int32, patches),
        levels=levels,
        **shared,
    )


def _shared(node: Node, forward: Window, phase: _Phase, itemsize: int) -> tuple[dict[str, Any], int]:
    """What both kernels take, and the pixels of a chunk."""
    g, depth = _window(forward, phase), _depth(forward, phase)
    rows = g.batch * g.out_h
    cost = g.out_w * depth * g.out_c * phase.block[0] * phase.block[1]
    chunk = grain(rows, cost)
    chunk = max(1, min(chunk, _PATCH_BYTES // max(itemsize * depth * g.out_w, 1)))
    step = {
        "extent": rows,
        "grain": chunk,
        "x": node.input(0),
        "out": node.output,
        "w": kernel_window(g),
        "phase": _kernel_phase(forward, phase),
    }
    return step, chunk * g.out_w


_PATCH_BYTES = 1 << 18
"""Scratch for gathered patches: they stay in the second-level cache while all filters pass over them."""


def _depth(forward: Window, phase: _Phase) -> int:
    return len(phase.rows.taps) * len(phase.columns.taps) * forward.out_c


def _window(forward: Window, phase: _Phase) -> Window:
    """The phase's convolution over the picture, whose stride is 1."""
    return Window(
        batch=forward.batch,
        in_h=forward.out_h,
        in_w=forward.out_w,
        in_c=forward.out_c,
        out_h=phase.rows.count,
        out_w=phase.columns.count,
        out_c=forward.in_c,
        kernel_h=len(phase.rows.taps),
        kernel_w=len(phase.columns.taps),
        stride_h=1,
        stride_w=1,
        dilation_h=1,
        dilation_w=1,
        pad_top=phase.rows.pad,
        pad_left=phase.columns.pad,
    )


def _kernel_phase(forward: Window, phase: _Phase) -> KernelPhase:
    from minilite_kernels.transposed import Phase as KernelPhase

    return KernelPhase(
        out_h=forward.in_h,
        out_w=forward.in_w,
        channels=forward.in_c,
        first_y=phase.rows.first,
        first_x=phase.columns.first,
        step_y=forward.stride_h,
        step_x=forward.stride_w,
        block_h=phase.block[0],
        block_w=phase.block[1],
    )


def _columns_of(filters: Array, phase: _Phase) -> Array:
    """The phase's weights, [elements of a block, depth]."""
    if phase.block != (1, 1):
        return filters.transpose(1, 2, 0, 3).reshape(-1, filters.shape[3])
    taps = filters[:, list(phase.rows.taps)][:, :, list(phase.columns.taps)]
    return taps.reshape(len(filters), taps[0].size)


def _in_blocks(values: Array, phase: _Phase) -> Array:
    """One value a channel, as one a column of each line of a block."""
    from minilite_kernels import matmul

    lines, pixels = phase.block
    return matmul.in_groups(matmul.pack_columns, np.tile(values, lines * pixels), lines)


def _pack_float(filters: Array, phase: _Phase) -> Array:
    from minilite_kernels import matmul

    return matmul.in_groups(matmul.pack_panels, _columns_of(filters, phase), phase.block[0])


def _pack_quantized(filters: Array, phase: _Phase, move: int, itemsize: int) -> Array:
    from minilite_kernels import matmul, quantized

    columns = signed_filters(_columns_of(filters, phase), move).astype(f"i{itemsize}", copy=False)
    if not columns.size:  # a gap between filters, which sees no tap
        return columns.ravel()
    return matmul.in_groups(quantized.pack_lanes, columns, phase.block[0])
