"""Moving elements: copies and strided moves, which any rearrangement is made of.

Elements are words of 1, 2, 4 or 8 bytes: what they mean does not matter, so one specialization of a
kernel for each width serves every type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel

AXIS_FIELDS = 3
"""Numbers of each axis of a move: its size, and how far one step goes in the source and in the target."""

TILE = 32
"""Rows and columns of a square that is transposed at once: its cache lines are read and written whole."""

# An index that is never negative. Numba counts negative ones from the end, and asks each time.
_at = np.uint64


@kernel
def copy(x: Input, out: Output, source: int, target: int, start: int, stop: int) -> None:
    """``out[target + i] = x[source + i]`` for ``i`` in ``start..stop``."""
    for i in range(start, stop):
        out[_at(target + i)] = x[_at(source + i)]


@kernel
def move(
    x: Input, out: Output, axes: Input, counts: Scratch, source: int, target: int, start: int, stop: int
) -> None:
    """Elements from one lattice of places to another, rows ``start..stop``.

    Parameters
    ----------
    axes:
        int64 [axes, 3], at least two axes, outer ones first: ``AXIS_FIELDS`` of each. The last one is a
        row; all others together count the rows. Strides of the source may be negative or 0.
    counts:
        int64 [axes], where the loop over the outer axes stands.
    source, target:
        Where the first element is, and where it goes.
    """
    outer = axes.size // AXIS_FIELDS - 2
    row_axis = outer * AXIS_FIELDS
    rows, row_source, row_target = axes[row_axis], axes[row_axis + 1], axes[row_axis + 2]
    row, rest = start % rows, start // rows
    for k in range(outer - 1, -1, -1):
        counts[k], rest = rest % axes[k * AXIS_FIELDS], rest // axes[k * AXIS_FIELDS]
        source += counts[k] * axes[k * AXIS_FIELDS + 1]
        target += counts[k] * axes[k * AXIS_FIELDS + 2]
    done = start
    while done < stop:
        run = min(rows - row, stop - done)
        _move_rows(x, out, axes, source + row * row_source, target + row * row_target, run)
        done, row = done + run, 0
        k = outer - 1
        while k >= 0:
            size = axes[k * AXIS_FIELDS]
            counts[k] += 1
            source += axes[k * AXIS_FIELDS + 1]
            target += axes[k * AXIS_FIELDS + 2]
            if counts[k] < size:
                break
            counts[k] = 0
            source -= size * axes[k * AXIS_FIELDS + 1]
            target -= size * axes[k * AXIS_FIELDS + 2]
            k -= 1


@helper
def _move_rows(  # noqa: PLR0912 - one loop for each way that elements lie
    x: Any, out: Any, axes: Any, source: int, target: int, rows: int
) -> None:
    """Some rows that lie evenly apart: the two innermost axes of ``move``."""
    last = axes.size - AXIS_FIELDS
    row_source, row_target = axes[last - 2], axes[last - 1]
    size, step_source, step_target = axes[last], axes[last + 1], axes[last + 2]
    if step_target == 1 and step_source == 1:
        for i in range(rows):
            a, b = source + i * row_source, target + i * row_target
            for j in range(size):
                out[_at(b + j)] = x[_at(a + j)]
    elif step_target == 1 and step_source == 0:
        for i in range(rows):
            value, b = x[_at(source + i * row_source)], target + i * row_target
            for j in range(size):
                out[_at(b + j)] = value
    elif step_target == 1 and row_source == 1:
        for top in range(0, rows, TILE):
            for left in range(0, size, TILE):
                for i in range(top, min(top + TILE, rows)):
                    a, b = source + i, target + i * row_target
                    for j in range(left, min(left + TILE, size)):
                        out[_at(b + j)] = x[_at(a + j * step_source)]
    else:
        for i in range(rows):
            a, b = source + i * row_source, target + i * row_target
            for j in range(size):
                out[_at(b + j * step_target)] = x[_at(a + j * step_source)]
