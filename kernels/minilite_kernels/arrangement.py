"""Moving elements: copies and strided moves, which any rearrangement is made of.

Elements are words of 1, 2, 4 or 8 bytes: what they mean does not matter, so one specialization of a
kernel for each width serves every type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel

AXIS_FIELDS = 3
"""Numbers of each axis of a move: its size, and how far one step goes in the source and in the target."""

TILE = 128
"""Bytes of a row and of a column of what is transposed at once: cache lines are read and written whole."""

# An index that is never negative. Numba counts negative ones from the end, and asks each time.
_at = np.uint64


@kernel
def copy(x: Input, out: Output, source: int, target: int, start: int, stop: int) -> None:
    """``out[target + i] = x[source + i]`` for ``i`` in ``start..stop``."""
    for i in range(start, stop):
        out[_at(target + i)] = x[_at(source + i)]


@kernel
def translate(
    x: Input, out: Output, table: Input, block: int, stride: int, offset: int, start: int, stop: int
) -> None:
    """``out[i * stride + offset :][:block] = table[x[i * block :][:block]]`` for ``i`` in ``start..stop``.

    A part of a uint8 concatenation that has units of its own; ``table`` uint8 [256].
    """
    for i in range(start, stop):
        a, b = i * block, i * stride + offset
        for j in range(block):
            out[_at(b + j)] = table[_at(x[_at(a + j)])]


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
def _move_rows(  # noqa: PLR0912 - one loop for each way that words lie
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
    elif step_target == 1 and step_source == -1:
        for i in range(rows):
            a, b = source + i * row_source, target + i * row_target
            for j in range(size):
                out[_at(b + j)] = x[_at(a - j)]
    elif step_target == 1 and row_source == 1:
        tile = TILE // x.itemsize
        for top in range(0, rows, tile):
            for left in range(0, size, tile):
                a, b = source + top + left * step_source, target + top * row_target + left
                height, width = min(tile, rows - top), min(tile, size - left)
                _transpose(x, out, a, b, height, width, step_source, row_target)
    else:
        for i in range(rows):
            a, b = source + i * row_source, target + i * row_target
            for j in range(size):
                out[_at(b + j * step_target)] = x[_at(a + j * step_source)]


# --- transposition ---------------------------------------------------------------------------------

_SIDE = 8
"""Bytes that are moved as one word: rows and columns of the smallest square."""


@helper
def _transpose(
    x: Any, out: Any, source: int, target: int, rows: int, columns: int, step_source: int, row_target: int
) -> None:
    """``out[i, j] = x[j, i]``: the rows of one side by side in the other."""
    if columns < _SIDE:
        for j in range(columns):
            for i in range(rows):
                out[_at(target + i * row_target + j)] = x[_at(source + i + j * step_source)]
        return
    down, across = _transpose_squares(x, out, source, target, rows, columns, step_source, row_target)
    for i in range(rows):
        for j in range(across if i < down else 0, columns):
            out[_at(target + i * row_target + j)] = x[_at(source + i + j * step_source)]


def _transpose_squares(
    x: Any, out: Any, source: int, target: int, rows: int, columns: int, step_source: int, row_target: int
) -> tuple[int, int]:
    """Transpose as many whole squares as there are, if words are bytes; rows and columns that are done."""
    arguments = x, out, source, target, rows, columns, step_source, row_target
    return _transpose_byte_squares(*arguments) if x.itemsize == 1 else (0, 0)


@overload(_transpose_squares)
def _transpose_squares_of(  # type: ignore[no-untyped-def]
    x, out, source, target, rows, columns, step_source, row_target
):
    """The same, decided before it is compiled: wider words do without."""

    def none(x, out, source, target, rows, columns, step_source, row_target):  # type: ignore[no-untyped-def]
        return 0, 0

    def squares(x, out, source, target, rows, columns, step_source, row_target):  # type: ignore[no-untyped-def]
        return _transpose_byte_squares(x, out, source, target, rows, columns, step_source, row_target)

    return squares if x.dtype.bitwidth == 8 else none


@helper
def _transpose_byte_squares(
    x: Any, out: Any, source: int, target: int, rows: int, columns: int, step_source: int, row_target: int
) -> tuple[int, int]:
    down, across = rows // _SIDE * _SIDE, columns // _SIDE * _SIDE
    for i in range(0, down, _SIDE):
        for j in range(0, across, _SIDE):
            a, b = source + i + j * step_source, target + i * row_target + j
            _transpose_bytes(x, out, a, b, step_source, row_target)
    return down, across


@helper
def _transpose_bytes(x: Any, out: Any, source: int, target: int, step_source: int, row_target: int) -> None:
    """A square of 8 bytes in registers: bytes, pairs and fours change places across its diagonal."""
    a, b = _load(x, source), _load(x, source + step_source)
    c, d = _load(x, source + 2 * step_source), _load(x, source + 3 * step_source)
    e, f = _load(x, source + 4 * step_source), _load(x, source + 5 * step_source)
    g, h = _load(x, source + 6 * step_source), _load(x, source + 7 * step_source)
    mask, bits = np.uint64(0x00FF00FF00FF00FF), np.uint64(8)
    (a, b), (c, d) = _exchange(a, b, mask, bits), _exchange(c, d, mask, bits)
    (e, f), (g, h) = _exchange(e, f, mask, bits), _exchange(g, h, mask, bits)
    mask, bits = np.uint64(0x0000FFFF0000FFFF), np.uint64(16)
    (a, c), (b, d) = _exchange(a, c, mask, bits), _exchange(b, d, mask, bits)
    (e, g), (f, h) = _exchange(e, g, mask, bits), _exchange(f, h, mask, bits)
    mask, bits = np.uint64(0x00000000FFFFFFFF), np.uint64(32)
    (a, e), (b, f) = _exchange(a, e, mask, bits), _exchange(b, f, mask, bits)
    (c, g), (d, h) = _exchange(c, g, mask, bits), _exchange(d, h, mask, bits)
    for i, word in enumerate((a, b, c, d, e, f, g, h)):
        _store(out, target + i * row_target, word)


@helper
def _exchange(a: Any, b: Any, mask: Any, bits: Any) -> Any:
    """Swap the high halves of the first word's fields with the low halves of the other's."""
    change = ((a >> bits) ^ b) & mask
    return a ^ (change << bits), b ^ change


@helper
def _load(x: Any, place: int) -> Any:
    """Eight bytes as a word; the compiler reads them at once."""
    word = np.uint64(0)
    for k in range(_SIDE):
        word |= np.uint64(x[_at(place + k)]) << np.uint64(8 * k)
    return word


@helper
def _store(out: Any, place: int, word: Any) -> None:
    """A word as eight bytes; the compiler writes them at once."""
    for k in range(_SIDE):
        out[_at(place + k)] = (word >> np.uint64(8 * k)) & np.uint64(255)
