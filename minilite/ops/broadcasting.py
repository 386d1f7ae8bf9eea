"""Lowering operators on tensors that broadcast: shapes as ``minilite_kernels.broadcast`` walks them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor
from minilite.ops.base import Lowering
from minilite.ops.lowering import grain
from minilite.shapes import broadcast_axes

if TYPE_CHECKING:
    from minilite_kernels.broadcast import Panel
    from minilite_kernels.kernel import Kernel


def lower_binary(
    node: Node,
    lowering: Lowering,
    kernel: Kernel,
    operands: Sequence[Tensor | Array],
    parameters: Array,
    *,
    cost: float,
) -> None:
    """Append one step: ``kernel`` on two operands, which broadcast to the node's output.

    ``cost`` is that of an element, in multiply-adds.
    """
    a, b = operands
    panel, outer, panels = panel_of(a.shape, b.shape)
    extent = panel.rows * panels
    block = panel.block_rows * panel.columns
    lowering.step(
        kernel,
        node,
        extent=extent,
        grain=grain(extent, cost * panel.columns, panel.block_rows),
        a=_flat(a),
        b=_flat(b),
        out=node.output,
        a_block=lowering.scratch(a.dtype, block),
        b_block=lowering.scratch(b.dtype, block),
        accumulators=lowering.scratch(np.int32, block),
        panel=panel,
        outer=outer,
        parameters=parameters,
    )


def _flat(operand: Tensor | Array) -> Any:
    return operand.ravel() if isinstance(operand, np.ndarray) else operand


def panel_of(a: Shape, b: Shape) -> tuple[Panel, Array, int]:
    """The panel of two operands, its outer axes as ``panel_offset`` takes them, and the number of panels."""
    from minilite_kernels.broadcast import BLOCK, Panel

    axes = broadcast_axes(a, b)
    if len(axes) == 1 or (axes[-1].size > BLOCK and not all(axes[-1].strides)):
        # Values one behind the other are a column: a stretched one is spread out once, not for each row.
        rows, columns, strides = axes[-1].size, 1, [(stride, 1) for stride in axes[-1].strides]
        outer = axes[:-1]
    else:
        rows, columns = axes[-2].size, axes[-1].size
        strides = list(zip(axes[-2].strides, axes[-1].strides, strict=True))
        outer = axes[:-2]
    block_rows = min(max(BLOCK // columns, 1), rows)
    ways = [_way(row, column, columns, block_rows) for row, column in strides]
    (a_strides, b_strides), (a_way, b_way) = strides, ways
    table = [number for axis in reversed(outer) for number in (axis.size, *axis.strides)]
    panels = prod(axis.size for axis in outer)
    return (
        Panel(rows, columns, block_rows, *a_strides, a_way, *b_strides, b_way),
        np.array(table, np.int64),
        panels,
    )


def _way(row: int, column: int, columns: int, block_rows: int) -> int:
    from minilite_kernels.broadcast import DIRECT, REPEATED, SPREAD

    if column == 1 and (row == columns or block_rows == 1):
        return DIRECT
    return REPEATED if row == 0 else SPREAD
