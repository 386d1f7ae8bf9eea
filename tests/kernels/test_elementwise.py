"""ADD: literals, and any values against NumPy and exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels.elementwise import add_float, add_quantized
from minilite_kernels.requantize import Scaling

from tests.kernels.harness import all_scaled, call, multipliers

UNIT = (1 << 30, 1)  # 2**30 * 2**(1 - 31)


def test_floats() -> None:
    a, b = np.array([1, -5, 3], np.float32), np.array([2, 1, 7], np.float32)
    assert call(add_float, 3, np.float32, extent=3, a=a, b=b, low=0, high=6).tolist() == [3, 0, 6]


def test_one_input_may_be_both() -> None:
    a = np.array([1, 2], np.float32)
    out = np.zeros(2, np.float32)
    add_float(0, 2, a=a, b=a, out=out, low=-9, high=9)
    assert out.tolist() == [2, 4]


@given(st.integers(1, 70), st.integers(0, 99))
def test_any_floats(size: int, seed: int) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, size)).astype(np.float32)
    out = call(add_float, size, np.float32, extent=size, a=a, b=b, low=-1, high=1)
    np.testing.assert_array_equal(out, np.clip(a + b, np.float32(-1), np.float32(1)))


def test_quantized_with_units_of_one() -> None:
    # Both shifted left by 20 guard bits and brought back: exact.
    a, b = np.array([10, 130, 255, 0], np.uint8), np.array([20, 120, 255, 0], np.uint8)
    out = call(
        add_quantized,
        4,
        np.uint8,
        extent=4,
        a=a,
        b=b,
        a_scaling=Scaling(10, *UNIT),
        b_scaling=Scaling(20, *UNIT),
        out_scaling=Scaling(5, 1 << 30, 1 - 20),
        left_shift=20,
        low=0,
        high=200,
    )
    assert out.tolist() == [5, 225 - 25, 200, 0]


@given(
    st.sampled_from([np.uint8, np.int8]),
    st.tuples(multipliers, multipliers, multipliers),
    st.tuples(st.integers(-3, 0), st.integers(-3, 0), st.integers(-22, -16)),
    st.integers(0, 99),
)
def test_any_quantized(
    dtype: Any, factors: tuple[int, int, int], shifts: tuple[int, int, int], seed: int
) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    a, b = rng.integers(info.min, info.max, (2, 40), dtype, endpoint=True)
    zeros = rng.integers(info.min, info.max, 3, endpoint=True).tolist()
    one, two, three = (Scaling(*x) for x in zip(zeros, factors, shifts, strict=True))
    low, high = sorted(rng.integers(info.min, info.max, 2, endpoint=True).tolist())
    left = all_scaled((a.astype(np.int64) - zeros[0]) << 20, factors[0], shifts[0])
    right = all_scaled((b.astype(np.int64) - zeros[1]) << 20, factors[1], shifts[1])
    exact = np.clip(all_scaled(left + right, factors[2], shifts[2]) + zeros[2], low, high)
    out = call(
        add_quantized,
        40,
        dtype,
        extent=40,
        a=a,
        b=b,
        a_scaling=one,
        b_scaling=two,
        out_scaling=three,
        left_shift=20,
        low=low,
        high=high,
    )
    np.testing.assert_array_equal(out, exact)
