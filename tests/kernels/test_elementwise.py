"""Kernels on two tensors that broadcast: literals, and any values against NumPy and exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import elementwise
from minilite_kernels.broadcast import DIRECT, REPEATED, SPREAD, Panel
from minilite_kernels.kernel import Kernel, ScratchSpace

from minilite.ops.broadcasting import panel_of
from tests.kernels.harness import Array, all_scaled, call, multipliers

NO_PARAMETERS = np.zeros(0, np.int64)
WIDE = np.array([-1e9, 1e9], np.float32)


def pair(kernel: Kernel, a: Array, b: Array, parameters: Array = NO_PARAMETERS, dtype: Any = None) -> Array:
    """The kernel on two arrays that broadcast."""
    panel, outer, panels = panel_of(a.shape, b.shape)
    shape = np.broadcast_shapes(a.shape, b.shape)
    block = panel.block_rows * panel.columns
    out = call(
        kernel,
        int(np.prod(shape)),
        a.dtype if dtype is None else dtype,
        extent=panel.rows * panels,
        a=a,
        b=b,
        a_block=ScratchSpace(a.dtype, block),
        b_block=ScratchSpace(b.dtype, block),
        accumulators=ScratchSpace(np.dtype(np.int32), block),
        panel=panel,
        outer=outer,
        parameters=parameters,
    )
    return out.reshape(shape)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def test_floats_are_clamped_and_keep_nan() -> None:
    limits = floats(0, 6)
    out = pair(elementwise.add, floats(1, -5, 3, np.nan), floats(2, 1, 7, 1), limits)
    np.testing.assert_array_equal(out, [3, 0, 6, np.nan])
    with np.errstate(divide="ignore"):  # where the kernel runs as plain Python
        assert pair(elementwise.divide, floats(8), floats(0), limits).tolist() == [6]


def test_integers_wrap_before_they_are_clamped() -> None:
    a, b = np.array([2**31 - 1, 3], np.int32), np.array([5, 1], np.int32)
    limits = np.array([-(2**31), 2**31 - 1], np.int32)
    assert pair(elementwise.add, a, b, limits).tolist() == [-(2**31) + 4, 4]
    assert pair(elementwise.multiply, a, b, limits).tolist() == [2**31 - 5, 3]
    assert pair(elementwise.squared_difference, a, b).tolist() == [36, 4]


def test_the_second_is_taken_where_one_is_nan() -> None:
    a, b = floats(np.nan, 1, 2), floats(1, np.nan, 3)
    np.testing.assert_array_equal(pair(elementwise.maximum, a, b), [1, np.nan, 3])
    np.testing.assert_array_equal(pair(elementwise.minimum, a, b), [1, np.nan, 2])


def test_powers() -> None:
    with np.errstate(all="ignore"):  # where the kernel runs as plain Python
        powers = pair(elementwise.power, floats(2, -2, 0, 1e30, -1), floats(3, 2, -1, 2, 0.5))
    np.testing.assert_array_equal(powers, [8, 4, np.inf, np.inf, np.nan])


def test_comparisons_and_bits() -> None:
    a, b = np.array([1, 2, 3], np.int8), np.array([2, 2, 2], np.int8)
    kernels = (elementwise.equal, elementwise.not_equal, elementwise.less, elementwise.less_equal)
    truth = [pair(kernel, a, b, dtype=np.bool_).tolist() for kernel in kernels]
    assert truth == [[False, True, False], [True, False, True], [True, False, False], [True, True, False]]
    p, q = np.array([0, 0, 1, 1], np.bool_), np.array([0, 1, 0, 1], np.bool_)
    assert pair(elementwise.logical_and, p, q).tolist() == [False, False, False, True]
    assert pair(elementwise.logical_or, p, q).tolist() == [False, True, True, True]
    assert pair(elementwise.remainder, np.array([7, -7]), np.array([3, 3])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("a", "b", "panel", "panels"),
    [
        ((4, 5), (4, 5), Panel(20, 1, 20, 1, 1, DIRECT, 1, 1, DIRECT), 1),
        ((4, 5), (), Panel(20, 1, 20, 1, 1, DIRECT, 0, 1, REPEATED), 1),
        ((2, 3, 4, 5), (5,), Panel(24, 5, 24, 5, 1, DIRECT, 0, 1, REPEATED), 1),
        ((2, 3, 4, 5), (2, 1, 1, 5), Panel(12, 5, 12, 5, 1, DIRECT, 0, 1, REPEATED), 2),
        ((4, 5), (4, 1), Panel(4, 5, 4, 5, 1, DIRECT, 1, 0, SPREAD), 1),
        ((1, 5), (4, 1), Panel(4, 5, 4, 0, 1, REPEATED, 1, 0, SPREAD), 1),
        ((3, 2000), (2000,), Panel(3, 2000, 1, 2000, 1, DIRECT, 0, 1, DIRECT), 1),
        ((3, 2000), (3, 1), Panel(2000, 1, 1024, 1, 1, DIRECT, 0, 1, REPEATED), 3),
        ((), (), Panel(1, 1, 1, 1, 1, DIRECT, 1, 1, DIRECT), 1),
    ],
)
def test_panels(a: tuple[int, ...], b: tuple[int, ...], panel: Panel, panels: int) -> None:
    assert panel_of(a, b)[::2] == (panel, panels)
    left = np.arange(np.prod(a), dtype=np.float32).reshape(a)
    right = np.arange(7, 7 + np.prod(b), dtype=np.float32).reshape(b)
    np.testing.assert_array_equal(pair(elementwise.add, left, right, WIDE), left + right)


def test_axes_outside_the_panel() -> None:
    a = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 1, 3, 1, 5)
    b = np.arange(100, 100 + 4 * 7, dtype=np.float32).reshape(1, 4, 1, 7, 1)
    panel, outer, panels = panel_of(a.shape, b.shape)
    assert (panel.rows, panel.columns, panels) == (7, 5, 24)
    assert outer.reshape(-1, 3).tolist() == [[3, 5, 0], [4, 0, 7], [2, 15, 0]]
    np.testing.assert_array_equal(pair(elementwise.add, a, b, WIDE), a + b)


@given(st.data())
def test_any_shapes(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 7, 33, 1500]), max_size=3))
    if np.prod(shape) > 20000:
        shape = shape[:1]
    shape += data.draw(st.lists(st.integers(1, 3), max_size=3))

    def stretched() -> Array:
        kept = [size if data.draw(st.booleans()) else 1 for size in shape]
        kept = kept[data.draw(st.integers(0, len(kept))) :]
        return rng.standard_normal(kept).astype(np.float32)

    rng = np.random.default_rng(0)
    a, b = stretched(), stretched()
    np.testing.assert_array_equal(pair(elementwise.subtract, a, b, WIDE), a - b)


# --- fixed point -----------------------------------------------------------------------------------


def test_quantized_sums_with_units_of_one() -> None:
    # Twice the larger scale is 2: both are halved, with 20 guard bits, and brought back: exact.
    a, b = np.array([10, 130, 255, 0], np.uint8), np.array([20, 120, 255, 0], np.uint8)
    plus = np.array([10, 19, 0, 20, 1 << 30, 0, 0, 1 << 30, 2 - 20, 5, 0, 200])
    assert pair(elementwise.add_fixed_point, a, b, plus).tolist() == [5, 200, 200, 0]
    minus = np.array([10, 19, 0, 20, 1 << 30, 0, -1, 1 << 30, 2 - 20, 5, 0, 200])
    assert pair(elementwise.add_fixed_point, a, b, minus).tolist() == [5, 25, 15, 15]


@given(
    st.sampled_from([(np.uint8, 20), (np.int8, 20), (np.int16, 15), (np.int8, 7)]),
    st.tuples(multipliers, multipliers),
    st.tuples(st.integers(-20, -1), st.integers(-30, 0)),
    st.tuples(st.sampled_from([0, -1]), st.sampled_from([0, -1])),
    st.integers(0, 99),
)
def test_any_quantized_sums(
    kind: tuple[Any, int],
    factors: tuple[int, int],
    shifts: tuple[int, int],
    signs: tuple[int, int],
    seed: int,
) -> None:
    dtype, guard = kind
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    a, b = rng.integers(info.min, info.max, (2, 40), dtype, endpoint=True)
    a[:2], b[:2] = (info.min, info.max), (info.min, info.max)
    zeros = [0, 0, 0] if dtype is np.int16 else rng.integers(info.min, info.max, 3, endpoint=True).tolist()
    low, high = sorted(rng.integers(info.min, info.max, 2, endpoint=True).tolist())
    numbers = [zeros[0], guard - 1, signs[0], zeros[1], factors[0], shifts[0], signs[1]]
    parameters = np.array([*numbers, factors[1], shifts[1], zeros[2], low, high])
    exact = (a.astype(np.int64) - zeros[0]) << (guard - 1)
    other = all_scaled((b.astype(np.int64) - zeros[1]) << guard, factors[0], shifts[0])
    total = np.where(signs[0], -exact, exact) + np.where(signs[1], -other, other)
    out = pair(elementwise.add_fixed_point, a, b, parameters)
    expected = all_scaled(total, factors[1], shifts[1]) + zeros[2]
    np.testing.assert_array_equal(out, np.clip(expected, low, high))
    if guard == 7:
        out = pair(elementwise.squared_difference_fixed_point, a, b, parameters)
        expected = all_scaled(total * total, factors[1], shifts[1]) + zeros[2]
        np.testing.assert_array_equal(out, np.clip(expected, low, high))


@given(st.sampled_from([np.uint8, np.int8, np.int16]), multipliers, st.integers(-30, 12), st.integers(0, 99))
def test_any_quantized_products(dtype: Any, multiplier: int, shift: int, seed: int) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    a, b = rng.integers(info.min, info.max, (2, 40), dtype, endpoint=True)
    a[:2], b[:2] = (info.min, info.max), (info.min, info.max)
    zeros = [0, 0, 0] if dtype is np.int16 else rng.integers(info.min, info.max, 3, endpoint=True).tolist()
    parameters = np.array([*zeros[:2], multiplier, shift, zeros[2], info.min, info.max])
    product = (a.astype(np.int64) - zeros[0]) * (b.astype(np.int64) - zeros[1])
    expected = np.clip(all_scaled(product, multiplier, shift) + zeros[2], info.min, info.max)
    np.testing.assert_array_equal(pair(elementwise.multiply_fixed_point, a, b, parameters), expected)
