"""Products of few and many rows: any size against NumPy, in whole and in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import fully_connected as kernels
from minilite_kernels.fully_connected import Product
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.matmul import PANEL, ROWS, pack_columns, pack_panels
from minilite_kernels.quantized import Levels, pack_lanes, pad_depth

from minilite.quantization import quantize_rows_asymmetric, quantize_rows_symmetric, round_half_away
from tests.kernels.harness import Array, call

DEPTHS = st.sampled_from([1, 3, 4, 17, 64, 130])
UNITS = st.sampled_from([1, 5, PANEL // 2, PANEL // 2 + 1, PANEL, 4 * PANEL, 5 * PANEL + 3])
SEEDS = st.integers(0, 99)
EVERY_ROWS = st.sampled_from([1, 2, 4, ROWS + 1])


def run(kernel: Any, dtype: Any, p: Product, **arguments: Any) -> Array:
    extent = p.rows if p.by_rows else kernels.panels_of(p.units)
    return call(kernel, p.rows * p.units, dtype, extent=extent, p=p, **arguments).reshape(p.rows, p.units)


def padded_scratch(dtype: Any, size: int) -> ScratchSpace:
    return ScratchSpace(np.dtype(dtype), size)


@settings(max_examples=15)
@given(st.integers(1, 3), DEPTHS, UNITS, st.booleans(), SEEDS)
def test_floats(rows: int, depth: int, units: int, by_rows: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = (rng.integers(-8, 9, shape).astype(np.float32) for shape in ((rows, depth), (units, depth)))
    bias = rng.integers(-8, 9, units).astype(np.float32)
    out = run(
        kernels.multiply_float,
        np.float32,
        Product(rows, depth, units, int(by_rows)),
        x=x.ravel(),
        weights=pack_panels(w),
        bias=pack_columns(bias),
        low=-50,
        high=100,
    )
    # Whole numbers: exact in any order.
    np.testing.assert_array_equal(out, np.clip(x @ w.T + bias, -50, 100))


@settings(max_examples=20)
@given(EVERY_ROWS, DEPTHS, UNITS, st.booleans(), st.integers(-9, 9), SEEDS)
def test_bytes(rows: int, depth: int, units: int, by_rows: bool, zero: int, seed: int) -> None:
    # One type for each kernel: all four take half a minute to compile.
    few = rows < 4
    dtype: Any = np.int8 if few else np.uint8
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, (rows, depth), dtype, endpoint=True)
    w = rng.integers(-128, 128, (units, depth)).astype(np.int8)
    bias = rng.integers(-999, 999, units).astype(np.int32)
    scales = rng.choice([0.5, 0.25, 0.01], units)
    flip = -128 if dtype == np.int8 else 0
    out = run(
        kernels.multiply_bytes if few else kernels.multiply_bytes_tiled,
        dtype,
        Product(rows, depth, units, int(by_rows)),
        x=x.ravel(),
        weights=pack_lanes(w),
        bias=pack_columns(bias),
        scales=pack_columns(scales),
        values=padded_scratch(dtype, ROWS * pad_depth(depth, dtype)),
        sums=padded_scratch(np.int32, ROWS * kernels.AT_ONCE),
        levels=Levels(0, flip, zero, 3, int(info.min), int(info.max) - 5),
    )
    unsigned = x.astype(np.int64) - flip
    sums = unsigned @ w.T.astype(np.int64) - zero * unsigned.sum(1, keepdims=True) + bias
    expected = np.clip(round_half_away(sums * scales) + 3, info.min, info.max - 5)
    np.testing.assert_array_equal(out, expected)


@settings(max_examples=10)
@given(EVERY_ROWS, DEPTHS, st.integers(1, 9), st.integers(-9, 9), SEEDS)
def test_words(rows: int, depth: int, units: int, zero: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(1 << 15), 1 << 15, (rows, depth)).astype(np.int16)
    w = rng.integers(-128, 128, (units, depth)).astype(np.int8)
    bias, scales = rng.integers(-(1 << 40), 1 << 40, units), rng.choice([2.0**-24, 0.5], units)
    out = call(
        kernels.multiply_words,
        rows * units,
        np.int16,
        extent=units,
        x=x.ravel(),
        weights=w.ravel(),
        bias=bias,
        scales=scales,
        p=Product(rows, depth, units, 0),
        weights_zero=zero,
        zero=0,
        low=-(1 << 15),
        high=(1 << 15) - 1,
    )
    sums = x.astype(np.int64) @ (w.T.astype(np.int64) - zero) + bias
    expected = np.clip(round_half_away(sums * scales), -(1 << 15), (1 << 15) - 1)
    np.testing.assert_array_equal(out.reshape(rows, units), expected)


@settings(max_examples=20)
@given(st.integers(1, 3), DEPTHS, UNITS, st.booleans(), st.booleans(), SEEDS)
def test_hybrid(rows: int, depth: int, units: int, by_rows: bool, asymmetric: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, depth)) * rng.choice([0, 1, 100], (rows, 1))).astype(np.float32)
    w = rng.integers(-128, 128, (units, depth)).astype(np.int8)
    scales, bias = (rng.standard_normal(units).astype(np.float32) for _ in range(2))
    out = run(
        kernels.multiply_hybrid,
        np.float32,
        Product(rows, depth, units, int(by_rows)),
        x=x.ravel(),
        weights=pack_lanes(w),
        nothing=np.zeros(len(pack_columns(bias)), np.int32),
        totals=pack_columns(w.sum(1, dtype=np.int32)),
        scales=pack_columns(scales),
        bias=pack_columns(bias),
        values=padded_scratch(np.int8, pad_depth(depth, np.int8)),
        sums=padded_scratch(np.int32, kernels.AT_ONCE),
        asymmetric=int(asymmetric),
        low=-np.inf,
        high=np.inf,
    )
    if asymmetric:
        values, row_scales, zeros = quantize_rows_asymmetric(x)
    else:
        (values, row_scales), zeros = quantize_rows_symmetric(x), np.zeros(rows, np.int32)
    sums = (values.astype(np.int64) - zeros[:, None]) @ w.T.astype(np.int64)
    np.testing.assert_array_equal(out, sums.astype(np.float32) * (row_scales[:, None] * scales) + bias)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_row_with_a_number_that_is_not_finite_comes_out_as_none(wrong: float) -> None:
    p, values = Product(1, 2, 1, 0), np.array([1, wrong], np.float32)
    one = pack_columns(np.ones(1, np.float32))
    out = run(
        kernels.multiply_hybrid,
        np.float32,
        p,
        x=values,
        weights=pack_lanes(np.ones((1, 2), np.int8)),
        nothing=np.zeros(len(one), np.int32),
        totals=pack_columns(np.full(1, 2, np.int32)),
        scales=one,
        bias=one,
        values=padded_scratch(np.int8, 4),
        sums=padded_scratch(np.int32, kernels.AT_ONCE),
        asymmetric=0,
        low=-np.inf,
        high=np.inf,
    )
    assert np.isnan(out).all()


@pytest.mark.parametrize(("rows", "dtype", "flip"), [(3, np.int8, -128), (5, np.uint8, 0)])
def test_half_a_step_is_rounded_away_from_zero(rows: int, dtype: Any, flip: int) -> None:
    odd = np.array([-3, -1, 1, 3, 5][:rows])
    out = run(
        kernels.multiply_bytes if rows < 4 else kernels.multiply_bytes_tiled,
        dtype,
        Product(rows, 1, 1, 0),
        x=(odd + (0 if flip else 128)).astype(dtype),
        weights=pack_lanes(np.ones((1, 1), np.int8)),
        bias=pack_columns(np.full(1, -128, np.int32)),
        scales=pack_columns(np.full(1, 0.5)),
        values=padded_scratch(dtype, ROWS * 4),
        sums=padded_scratch(np.int32, ROWS * kernels.AT_ONCE),
        levels=Levels(0, flip, 0, 100, 0, 127),
    )
    assert (out.ravel().astype(int) - 100).tolist() == [-2, -1, 1, 2, 3][:rows]
