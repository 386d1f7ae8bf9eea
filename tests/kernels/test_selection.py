"""ARG_MAX and ARG_MIN: the first of the largest, and of the smallest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.selection import (
    argmax_inner,
    argmax_last_of_bytes,
    argmax_last_of_floats,
    argmin_inner,
    argmin_last,
)

from tests.kernels.harness import Array, call


def argmax(x: Array, dtype: Any = np.int64, kernel: Any = None) -> Array:
    rows, size = x.shape
    kernel = kernel or (argmax_last_of_bytes if x.itemsize == 1 else argmax_last_of_floats)
    return call(kernel, rows, dtype, extent=rows, x=x, size=size)


def test_the_first_of_equals_wins() -> None:
    x = np.array([[1, 3, 3], [2, 2, 2], [-5, -4, -6]], np.float32)
    assert argmax(x).tolist() == [1, 0, 1]
    assert argmax(x, np.int32).tolist() == [1, 0, 1]


def test_infinities_and_zeros() -> None:
    x = np.array([[-np.inf, -np.inf], [-1, np.inf], [-0.0, 0.0]], np.float32)
    assert argmax(x).tolist() == [0, 1, 0]


def test_what_follows_a_row_is_not_looked_at() -> None:
    for size in (1, 15, 16, 17, 31, 32, 33, 70):
        x = np.full((3, size), -np.inf, np.float32)
        x[1:] = 1 + np.arange(size)
        x[0, 1:] = np.nan
        assert argmax(x).tolist() == [0, size - 1, size - 1]


def test_a_nan_is_never_the_largest() -> None:
    nan = np.nan
    x = np.array([[nan, 1, 2], [3, nan, 2], [nan, nan, -np.inf], [nan, nan, nan]], np.float32)
    assert argmax(x).tolist() == [2, 0, 2, 0]


@given(
    st.integers(1, 20),
    st.integers(1, 70),
    st.sampled_from([np.float32, np.uint8, np.int8]),
    st.integers(0, 99),
)
def test_any_size(rows: int, size: int, dtype: Any, seed: int) -> None:
    # Few values: ties everywhere.
    x = np.random.default_rng(seed).integers(0, 5, (rows, size)).astype(dtype)
    np.testing.assert_array_equal(argmax(x), np.argmax(x, axis=1))
    np.testing.assert_array_equal(argmax(-x, kernel=argmin_last), np.argmin(-x, axis=1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_extreme_bytes_far_apart(dtype: Any) -> None:
    # As many values as a key has numbers for, and one more.
    info = np.iinfo(dtype)
    for size in (1 << 16, (1 << 16) + 1):
        x = np.full((3, size), info.min, dtype)
        x[1, -1] = x[2, 5] = x[2, -1] = info.max
        assert argmax(x).tolist() == [0, size - 1, 5]


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 40), st.integers(0, 99))
def test_an_axis_that_is_not_the_last(outer: int, size: int, inner: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.choice(np.array([np.nan, -1, 0, 2, np.inf, -np.inf], np.float32), (outer, size, inner))
    shared: dict[str, Any] = {"size": size, "inner": inner, "best": ScratchSpace(np.dtype(np.float32), inner)}
    for kernel, best in ((argmax_inner, np.fmax), (argmin_inner, np.fmin)):
        y = call(kernel, outer * inner, np.int32, extent=outer, x=x, **shared)
        expected = np.argmax(x == best.reduce(x, axis=1, keepdims=True), axis=1)
        np.testing.assert_array_equal(y.reshape(outer, inner), expected)
