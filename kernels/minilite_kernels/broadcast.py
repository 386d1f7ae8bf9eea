"""Operators on tensors that broadcast: one walk over shapes, one loop over elements.

A *panel* is the last two axes that are left once axes that broadcast alike are merged: ``rows`` x
``columns`` output elements in a row. Whatever the shapes were, an operand goes through it in one of few
ways: as the output does, the same row again and again, one value for each row. Outer axes repeat
the panel from other places.

Short rows would spend their time on the ends of loops. So the loop over elements runs over a *block* of
several rows, and where an operand does not lie in memory as the output does, it is spread out for one block
before: once for a panel if its rows are all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minilite_kernels.kernel import Array, Input, Kernel, Output, Scratch, helper, kernel

BLOCK = 1024
"""Elements of a block that is spread out; a row that is longer has a panel to itself."""

DIRECT, REPEATED, SPREAD = range(3)
"""How an operand is read: in place, spread out once for a panel, or for each block."""


class Panel(NamedTuple):
    """Sizes of a panel and of a block, and for each operand its strides and how it is read."""

    rows: int
    columns: int
    block_rows: int
    a_row: int
    a_column: int
    a_way: int
    b_row: int
    b_column: int
    b_way: int


@helper
def panel_offset(outer: Array, operands: int, operand: int, panel: int) -> int:
    """Where an operand's panel begins; ``outer`` has (size, stride of each operand), innermost first."""
    offset = 0
    for axis in range(0, outer.size, 1 + operands):
        size = outer[axis]
        offset += panel % size * outer[axis + 1 + operand]
        panel //= size
    return offset


@helper
def spread(source: Array, offset: int, row: int, column: int, rows: int, columns: int, block: Array) -> None:
    """``block[r, c] = source[offset + r * row + c * column]``."""
    if column == 0:
        for r in range(rows):
            value = source[offset + r * row]
            for c in range(columns):
                block[r * columns + c] = value
    elif columns == 1 and row == 0:
        block[:rows] = source[offset]
    else:
        for r in range(rows):
            for c in range(columns):
                block[r * columns + c] = source[offset + r * row + c * column]


def binary(constants: Callable[[Array], Any]) -> Callable[[Callable[[Any, Any, Any], Any]], Kernel]:
    """Decorator: the kernel that writes ``combine(x, y, constants(parameters))`` for each pair of elements.

    ``start`` and ``stop`` count rows over all panels.
    """

    def decorate(combine: Callable[[Any, Any, Any], Any]) -> Kernel:
        pair = helper(combine)

        def walk(
            a: Input,
            b: Input,
            out: Output,
            a_block: Scratch,
            b_block: Scratch,
            panel: Panel,
            outer: Input,
            parameters: Input,
            start: int,
            stop: int,
        ) -> None:
            known = constants(parameters)
            rows, columns, block_rows = panel.rows, panel.columns, panel.block_rows
            position = start
            while position < stop:
                number = position // rows
                first = position - number * rows
                last = min(rows, first + stop - position)
                a_offset = panel_offset(outer, 2, 0, number)
                b_offset = panel_offset(outer, 2, 1, number)
                for row in range(first, last, block_rows):
                    taken = min(block_rows, last - row)
                    count = taken * columns
                    x_offset, y_offset = a_offset + row * panel.a_row, b_offset + row * panel.b_row
                    x, y = a, b
                    if panel.a_way != DIRECT:
                        if panel.a_way == SPREAD or row == first:
                            spread(a, x_offset, panel.a_row, panel.a_column, taken, columns, a_block)
                        x, x_offset = a_block, 0
                    if panel.b_way != DIRECT:
                        if panel.b_way == SPREAD or row == first:
                            spread(b, y_offset, panel.b_row, panel.b_column, taken, columns, b_block)
                        y, y_offset = b_block, 0
                    z_offset = (number * rows + row) * columns
                    xs, ys = x[x_offset : x_offset + count], y[y_offset : y_offset + count]
                    zs = out[z_offset : z_offset + count]
                    for i in range(count):
                        zs[i] = pair(xs[i], ys[i], known)
                position += last - first

        # Machine code that was kept by several processes meets under these names: no two may be alike.
        walk.__name__ = walk.__qualname__ = combine.__name__
        walk.__doc__ = combine.__doc__
        return kernel(walk)

    return decorate
