"""Reductions in every layout, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import reduction
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.reduction import Layout
from minilite_kernels.requantize import Scaling

from tests.kernels.harness import Array, all_scaled, assert_near, call, largest


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Columns in one or several blocks, folded or not, and short rows many at a time."""
    outer, length, inner = draw(st.integers(1, 5)), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    way = draw(st.sampled_from(["blocks", "fold", "rows"]))
    if way == "rows":
        return Layout(outer, length, 1, 1, draw(st.integers(1, 5)), 0)
    if way == "fold":
        return Layout(outer, length, inner, 1, inner, draw(st.sampled_from([1, 2, 4, 8, 64])))
    width = draw(st.integers(1, inner))
    return Layout(outer, length, inner, -(-inner // width), width, 1)


def reduced(kernel: Any, x: Array, w: Layout, lanes: Any, **arguments: Any) -> Array:
    """The kernel's output [outer, inner]."""
    extent = w.outer * w.blocks if w.fold else -(-w.outer // w.width)
    scratch = ScratchSpace(np.dtype(lanes), w.width * max(w.fold, 1))
    size = w.outer * w.inner
    y = call(kernel, size, x.dtype, extent=extent, x=x, w=w, lanes=scratch, **arguments)
    return y.reshape(w.outer, w.inner)


def values(w: Layout, dtype: Any, seed: int) -> Array:
    rng, shape = np.random.default_rng(seed), (w.outer, w.length, w.inner)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@given(layouts(), st.integers(0, 99))
def test_float_sums_and_means(w: Layout, seed: int) -> None:
    x = values(w, np.float32, seed)
    y = reduced(reduction.sum_float, x, w, np.float32, divisor=3.0)
    assert_near(y, x.astype(np.float64).sum(axis=1) / 3, w.length, largest(x))


@given(layouts(), st.integers(0, 99))
def test_integer_sums_and_means_that_go_towards_zero(w: Layout, seed: int) -> None:
    x = values(w, np.int16, seed).astype(np.int32)
    exact = x.sum(axis=1)
    np.testing.assert_array_equal(reduced(reduction.sum_integer, x, w, np.int64, divisor=1), exact)
    mean = reduced(reduction.sum_integer, x, w, np.int64, divisor=w.length)
    np.testing.assert_array_equal(mean, np.trunc(exact / w.length))


@given(
    layouts(), st.sampled_from([np.int8, np.uint8]), st.integers(1 << 30, (1 << 31) - 1), st.integers(0, 99)
)
def test_quantized_sums(w: Layout, dtype: Any, multiplier: int, seed: int) -> None:
    x, info = values(w, dtype, seed), np.iinfo(dtype)
    scaling = Scaling(7 * w.length, multiplier, -4)
    units = {"scaling": scaling, "out_zero": 5, "low": info.min, "high": info.max}
    y = reduced(reduction.sum_quantized, x, w, np.int32, **units)
    exact = all_scaled(x.sum(axis=1, dtype=np.int64) - 7 * w.length, multiplier, -4) + 5
    np.testing.assert_array_equal(y, exact.clip(info.min, info.max))


@given(layouts(), st.sampled_from([np.float32, np.int8]), st.integers(0, 99))
def test_extremes(w: Layout, dtype: Any, seed: int) -> None:
    x = values(w, dtype, seed)
    ends = np.array([-100, 100], dtype)
    y = reduced(reduction.reduce_max, x, w, dtype, lowest=ends[:1], whole=0)
    np.testing.assert_array_equal(y, np.maximum(x.max(axis=1), ends[0]))
    y = reduced(reduction.reduce_min, x, w, dtype, highest=ends[1:], whole=0)
    np.testing.assert_array_equal(y, np.minimum(x.min(axis=1), ends[1]))


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_nan_is_no_extreme_but_where_all_begins_with_it(fold: int) -> None:
    nan = np.nan
    x = np.array([nan, 3, nan, 1, -np.inf], np.float32).reshape(1, 5, 1)
    w, lowest = Layout(1, 5, 1, 1, 1, fold), np.array([-9], np.float32)
    assert reduced(reduction.reduce_max, x, w, np.float32, lowest=lowest, whole=0).item() == 3
    assert np.isnan(reduced(reduction.reduce_max, x, w, np.float32, lowest=lowest, whole=1).item())
    assert (
        reduced(reduction.reduce_max, x[:, 1:], w._replace(length=4), np.float32, lowest=lowest, whole=1) == 3
    )


@given(layouts(), st.integers(0, 99))
def test_products(w: Layout, seed: int) -> None:
    x = np.where(values(w, np.int8, seed) > 120, np.int32(-3), np.int32(1))
    size = w.outer * w.inner
    y = call(reduction.reduce_prod, size, np.int32, extent=size, x=x, length=w.length, inner=w.inner)
    np.testing.assert_array_equal(y, np.multiply.reduce(x, axis=1, dtype=np.int32).ravel())
