"""Copies and moves: what every operator that computes nothing is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels.arrangement import TILE, copy, move, translate

from tests.kernels.harness import Array, call

WORDS = st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64])


def test_bits_are_copied_not_values() -> None:
    # A signalling NaN with a payload, and -0.
    x = np.array([0x7FA12345, 0x80000000], np.uint32).view(np.float32)
    result = call(copy, 2, np.float32, extent=2, x=x, source=0, target=0)
    assert result.tobytes() == x.tobytes()


def test_a_copy_goes_where_it_is_told() -> None:
    out = np.full(6, 9, np.uint8)
    copy(1, 3, x=np.arange(8, dtype=np.uint8), out=out, source=4, target=2)
    assert out.tolist() == [9, 9, 9, 5, 6, 9]


@given(WORDS, st.integers(0, 200), st.integers(0, 5))
def test_copy(dtype: Any, size: int, source: int) -> None:
    x = np.arange(size + source).astype(dtype)
    result = call(copy, size, dtype, extent=size, x=x, source=source, target=0)
    np.testing.assert_array_equal(result, x[source:])


def test_a_part_is_translated() -> None:
    table = (255 - np.arange(256)).astype(np.uint8)
    out = np.full(8, 9, np.uint8)
    for row in (1, 0):
        translate(
            row,
            row + 1,
            x=np.array([0, 1, 2, 255], np.uint8),
            out=out,
            table=table,
            block=2,
            stride=4,
            offset=1,
        )
    assert out.tolist() == [9, 255, 254, 9, 9, 253, 0, 9]


def moved(x: Array, out_shape: tuple[int, ...], axes: list[tuple[int, int, int]], source: int = 0) -> Array:
    """What ``move`` writes to an output of that shape, where it fills it."""
    extent = int(np.prod([size for size, _, _ in axes[:-1]]))
    size = int(np.prod(out_shape))
    table = np.array(axes, np.int64).reshape(-1)
    counts = np.zeros(len(axes), np.int64)
    flat = x.reshape(-1)
    result = call_move(flat, size, extent, table, counts, source)
    return result.reshape(out_shape)


def call_move(x: Array, size: int, extent: int, axes: Array, counts: Array, source: int) -> Array:
    from minilite_kernels.kernel import ScratchSpace

    scratch = ScratchSpace(np.dtype(np.int64), counts.size)
    return call(
        move, size, x.dtype, extent=extent, x=x, axes=axes, counts=scratch, source=source, target=0
    )  # fmt: skip


@pytest.mark.parametrize("rows", [1, 7, 8, 63, 64, 65, TILE + 9])
@pytest.mark.parametrize("columns", [1, 7, 8, 9, 63, TILE + 15])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_squares_are_transposed(dtype: Any, rows: int, columns: int) -> None:
    x = (np.arange(rows * columns) % 251).astype(dtype).reshape(columns, rows)
    result = moved(x, (rows, columns), [(rows, 1, columns), (columns, rows, 1)])
    np.testing.assert_array_equal(result, x.T)


def test_a_row_may_run_backwards_or_stand_still() -> None:
    x = np.array([1, 2, 3], np.uint32)
    np.testing.assert_array_equal(moved(x, (1, 3), [(1, 0, 0), (3, -1, 1)], source=2), [[3, 2, 1]])
    np.testing.assert_array_equal(moved(x, (3, 2), [(3, 1, 2), (2, 0, 1)]), [[1, 1], [2, 2], [3, 3]])


@given(WORDS, st.lists(st.integers(1, 5), min_size=2, max_size=5), st.data())
def test_any_order_of_axes(dtype: Any, sizes: list[int], data: st.DataObject) -> None:
    x = np.arange(int(np.prod(sizes))).astype(dtype).reshape(sizes)
    view = x.transpose(data.draw(st.permutations(range(len(sizes)))))
    for axis in range(view.ndim):
        if data.draw(st.booleans()):
            view = np.flip(view, axis)
    first = (view.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    steps = [stride // x.itemsize for stride in view.strides]
    targets = [stride // x.itemsize for stride in np.empty(view.shape, dtype).strides]
    axes = list(zip(view.shape, steps, targets, strict=True))
    # Rows may be counted in any order.
    axes = [*data.draw(st.permutations(axes[:-1])), axes[-1]]
    np.testing.assert_array_equal(moved(x, view.shape, axes, source=int(first)), view)
