"""Selecting by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minilite_kernels import simd
from minilite_kernels import simd_integer as integer
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.vector import WIDTH


@helper
def _above(a: Any, b: Any) -> bool:
    return a > b


@helper
def _below(a: Any, b: Any) -> bool:
    return a < b


def _first_best(better: Callable[[Any, Any], bool]) -> Callable[..., int]:
    """A helper: the first position of the best of ``size`` values from ``base`` on."""

    @helper
    def first_best(x: Any, base: int, size: int) -> int:
        row = x[base:][:size]
        first = 0
        # What follows is never better than a NaN, nor a NaN better than anything.
        while first < size - 1 and row[first] != row[first]:
            first += 1
        if row[first] != row[first]:
            return 0
        best, position = row[first], first
        for j in range(first + 1, size):
            found = better(row[j], best)
            best = row[j] if found else best
            position = j if found else position
        return position

    return first_best


_first_largest, _first_smallest = _first_best(_above), _first_best(_below)


@helper
def first_largest_float(x: Any, base: int, size: int) -> int:
    """The first position of the largest of ``size`` floats from ``base`` on; at once if two vectors do."""
    if size <= WIDTH:
        return simd.first_largest(x, base, size, 1)
    if size <= 2 * WIDTH:
        return simd.first_largest(x, base, size, 2)
    return _first_largest(x, base, size)


@helper
def first_largest_byte(x: Any, base: int, size: int) -> int:
    """The same of bytes, a vector at a time; the last one moves left to end with them."""
    if size < WIDTH or size > integer.PLACES:
        return _first_largest(x, base, size)
    best = integer.keys(x, base, 0)
    place = WIDTH
    while place < size:
        place = min(place, size - WIDTH)
        best = simd.larger(best, integer.keys(x, base + place, place))
        place += WIDTH
    return integer.PLACES - 1 - integer.largest(best) % integer.PLACES


@kernel
def argmax_last_of_floats(x: Input, out: Output, size: int, start: int, stop: int) -> None:
    """ARG_MAX over the last axis, float32: ``out[i]`` is the first place of the largest of ``size`` values.

    A NaN is never the largest; a row of nothing else gives 0 (TFLite's ``reference/arg_min_max.h``).
    """
    for i in range(start, stop):
        out[i] = first_largest_float(x, i * size, size)


@kernel
def argmax_last_of_bytes(x: Input, out: Output, size: int, start: int, stop: int) -> None:
    """``argmax_last_of_floats`` of uint8 or int8."""
    for i in range(start, stop):
        out[i] = first_largest_byte(x, i * size, size)


@kernel
def argmin_last(x: Input, out: Output, size: int, start: int, stop: int) -> None:
    """ARG_MIN over the last axis, as ``argmax_last_of_floats``."""
    for i in range(start, stop):
        out[i] = _first_smallest(x, i * size, size)


def _first_best_rows(better: Callable[[Any, Any], bool]) -> Callable[..., None]:
    """A helper for an axis that is not the last: all ``inner`` columns of one [size, inner] side by side."""

    @helper
    def first_best_rows(x: Any, out: Any, best: Any, size: int, inner: int, outer: int) -> None:
        positions = out[outer * inner :][:inner]
        positions[:] = 0
        best[:inner] = x[outer * size * inner :][:inner]
        for j in range(1, size):
            row = x[(outer * size + j) * inner :][:inner]
            for i in range(inner):
                value, known = row[i], best[i]
                found = better(value, known) or (known != known and value == value)  # noqa: PLR0124
                best[i] = value if found else known
                positions[i] = j if found else positions[i]

    return first_best_rows


_largest_rows, _smallest_rows = _first_best_rows(_above), _first_best_rows(_below)


@kernel
def argmax_inner(x: Input, out: Output, best: Scratch, size: int, inner: int, start: int, stop: int) -> None:
    """ARG_MAX of [outer, size, inner] over the middle axis; ``best`` [inner] of the type of ``x``."""
    for outer in range(start, stop):
        _largest_rows(x, out, best, size, inner, outer)


@kernel
def argmin_inner(x: Input, out: Output, best: Scratch, size: int, inner: int, start: int, stop: int) -> None:
    """ARG_MIN, as ``argmax_inner``."""
    for outer in range(start, stop):
        _smallest_rows(x, out, best, size, inner, outer)
