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
    """``block[r, c] = source[offset + r * row + c * column]``, where ``row`` or ``column`` is 0."""
    if column == 0:
        for r in range(rows):
            value, line = source[offset + r * row], block[r * columns : (r + 1) * columns]
            for c in range(columns):
                line[c] = value
    elif columns == 1:
        value = source[offset]
        for r in range(rows):
            block[r] = value
    else:
        repeated = source[offset : offset + columns]
        for r in range(rows):
            line = block[r * columns : (r + 1) * columns]
            for c in range(columns):
                line[c] = repeated[c]


Combine = Callable[[Any, Any, Any], Any]
"""An element of the output from one of each operand, and what the kernel knows beside."""


def binary(constants: Callable[[Array], Any]) -> Callable[[Combine], Kernel]:
    """Decorator: the kernel that writes ``combine(x, y, constants(parameters))`` for each pair of values."""

    def decorate(combine: Combine) -> Kernel:
        pair = helper(combine)

        @helper
        def fill(xs: Array, ys: Array, out: Array, _: Array, known: Any) -> None:
            for i in range(out.size):
                out[i] = pair(xs[i], ys[i], known)

        return _kernel(combine, constants, fill)

    return decorate


def accumulating(
    constants: Callable[[Array], Any], finish: Callable[[Array, Array, Any], None]
) -> Callable[[Combine], Kernel]:
    """Decorator: as ``binary``, but ``combine`` makes 32-bit integers, and ``finish`` the output of a block.

    Each has loops of its own, so that one is not drawn into the width of the other.
    """

    def decorate(combine: Combine) -> Kernel:
        pair = helper(combine)

        @helper
        def fill(xs: Array, ys: Array, out: Array, accumulators: Array, known: Any) -> None:
            block = accumulators[: out.size]
            for i in range(out.size):
                block[i] = pair(xs[i], ys[i], known)
            finish(block, out, known)

        return _kernel(combine, constants, fill)

    return decorate


def _kernel(combine: Combine, constants: Callable[[Array], Any], fill: Callable[..., None]) -> Kernel:
    """The walk over shapes, around the loop over elements; ``start`` and ``stop`` count all panels' rows."""

    def walk(
        a: Input,
        b: Input,
        out: Output,
        a_block: Scratch,
        b_block: Scratch,
        accumulators: Scratch,
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
                x, x_offset = a, a_offset + row * panel.a_row
                y, y_offset = b, b_offset + row * panel.b_row
                if panel.a_way != DIRECT:
                    if panel.a_way == SPREAD or row == first:
                        spread(a, x_offset, panel.a_row, panel.a_column, taken, columns, a_block)
                    x, x_offset = a_block, 0
                if panel.b_way != DIRECT:
                    if panel.b_way == SPREAD or row == first:
                        spread(b, y_offset, panel.b_row, panel.b_column, taken, columns, b_block)
                    y, y_offset = b_block, 0
                z_offset = (number * rows + row) * columns
                fill(
                    x[x_offset : x_offset + count],
                    y[y_offset : y_offset + count],
                    out[z_offset : z_offset + count],
                    accumulators,
                    known,
                )
            position += last - first

    walk.__name__, walk.__doc__ = combine.__name__, combine.__doc__
    return kernel(walk)
