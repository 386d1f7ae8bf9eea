"""Reductions: sums, extremes and products of a tensor seen as [outer, length, inner].

Each output element is made of ``length`` elements that stand ``inner`` apart. What is next to each other
in memory is reduced side by side: in as many lanes as there are columns, or, where those are few, in
several times as many, so that neighbouring rows go to lanes of their own and are brought together in the
end. So all layouts run in vectors, and float sums are shorter than the row: they lose less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.requantize import Scaling, multiply_by_quantized_multiplier


class Layout(NamedTuple):
    """How [outer, length, inner] is cut into the items of the extent, each with lanes of its own.

    Most often an item is one of ``blocks`` blocks of ``width`` columns of one ``outer``, and ``fold`` rows
    are taken at once: a power of two, more than one only if there is one block. Short rows of one column
    go the other way about: ``fold`` is 0, and an item is ``width`` neighbours of ``outer``.
    """

    outer: int
    length: int
    inner: int
    blocks: int
    width: int
    fold: int


def _reducer(combine: Callable[[Any, Any], Any]) -> Callable[..., tuple[int, int]]:
    """A helper that reduces one item into ``lanes``, and gives its first output and how many there are.

    Rows are slices, as Numba takes an index into one for positive, which vectors need.
    """

    @helper
    def merge(lanes: Any, values: Any) -> None:
        for i in range(values.size):
            lanes[i] = combine(lanes[i], values[i])

    @helper
    def reduce_columns(x: Any, lanes: Any, w: Layout, item: int) -> tuple[int, int]:
        outer, column = item // w.blocks, item % w.blocks * w.width
        columns = min(w.width, w.inner - column)
        at, taken = outer * w.length * w.inner + column, w.fold * columns
        for _ in range(w.length // w.fold):
            merge(lanes, x[at : at + taken])
            at += w.fold * w.inner
        merge(lanes, x[at : at + w.length % w.fold * columns])
        half = taken // 2
        while half >= columns and w.fold > 1:
            merge(lanes[:half], lanes[half : 2 * half])
            half //= 2
        return outer * w.inner + column, columns

    @helper
    def reduce_rows(x: Any, lanes: Any, w: Layout, item: int) -> tuple[int, int]:
        first = item * w.width
        count = min(w.width, w.outer - first)
        values = x[first * w.length : (first + count) * w.length]
        for j in range(w.length):
            for i in range(count):
                lanes[i] = combine(lanes[i], values[i * w.length + j])
        return first, count

    @helper
    def reduce(x: Any, lanes: Any, w: Layout, item: int, start: Any) -> tuple[int, int]:
        lanes[:] = start
        if w.fold == 0:
            return reduce_rows(x, lanes, w, item)
        return reduce_columns(x, lanes, w, item)

    return reduce


@helper
def _plus(a: Any, b: Any) -> Any:
    return a + b


@helper
def _larger(a: Any, b: Any) -> Any:
    # A NaN in ``a`` stays, one in ``b`` does not come in.
    return b if b > a else a


@helper
def _smaller(a: Any, b: Any) -> Any:
    return b if b < a else a


_add = _reducer(_plus)
_maximum = _reducer(_larger)
_minimum = _reducer(_smaller)


@kernel
def sum_float(
    x: Input, out: Output, lanes: Scratch, w: Layout, divisor: float, start: int, stop: int
) -> None:
    """SUM of float32, and MEAN: divided by ``divisor``. ``lanes`` float32 [width * fold]."""
    for item in range(start, stop):
        first, columns = _add(x, lanes, w, item, np.float32(0))
        for i in range(columns):
            out[first + i] = lanes[i] / np.float32(divisor)


@kernel
def sum_integer(
    x: Input, out: Output, lanes: Scratch, w: Layout, divisor: int, start: int, stop: int
) -> None:
    """SUM of int32 and int64, and MEAN: divided towards zero. ``lanes`` int64 [width * fold]."""
    for item in range(start, stop):
        first, columns = _add(x, lanes, w, item, np.int64(0))
        for i in range(columns):
            total = lanes[i]
            out[first + i] = total // divisor if total >= 0 else -(-total // divisor)


@kernel
def sum_quantized(
    x: Input,
    out: Output,
    lanes: Scratch,
    w: Layout,
    scaling: Scaling,
    out_zero: int,
    low: int,
    high: int,
    start: int,
    stop: int,
) -> None:
    """SUM and MEAN of uint8, int8 and int16 (TFLite's ``reference/reduce.h``).

    ``scaling.zero`` is what the zero points of a row add up to. ``lanes`` int32 [width * fold].
    """
    for item in range(start, stop):
        first, columns = _add(x, lanes, w, item, np.int32(0))
        for i in range(columns):
            total = np.int64(lanes[i]) - scaling.zero
            value = multiply_by_quantized_multiplier(total, scaling.multiplier, scaling.shift) + out_zero
            out[first + i] = min(max(value, low), high)


@kernel
def reduce_max(
    x: Input, out: Output, lanes: Scratch, lowest: Input, w: Layout, whole: int, start: int, stop: int
) -> None:
    """REDUCE_MAX: the comparison begins with ``lowest[0]``, or with ``x[0]`` if ``whole`` is set."""
    for item in range(start, stop):
        first, columns = _maximum(x, lanes, w, item, x[0] if whole else lowest[0])
        for i in range(columns):
            out[first + i] = lanes[i]


@kernel
def reduce_min(
    x: Input, out: Output, lanes: Scratch, highest: Input, w: Layout, whole: int, start: int, stop: int
) -> None:
    """REDUCE_MIN: the comparison begins with ``highest[0]``, or with ``x[0]`` if ``whole`` is set."""
    for item in range(start, stop):
        first, columns = _minimum(x, lanes, w, item, x[0] if whole else highest[0])
        for i in range(columns):
            out[first + i] = lanes[i]


@kernel
def reduce_prod(x: Input, out: Output, length: int, inner: int, start: int, stop: int) -> None:
    """REDUCE_PROD, one factor after the other, outputs ``start..stop`` of [outer, inner]."""
    for i in range(start, stop):
        at = i // inner * length * inner + i % inner
        product = x[at]
        for j in range(1, length):
            product *= x[at + j * inner]
        out[i] = product
