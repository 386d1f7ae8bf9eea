"""Matrix products: packing, literals, every edge of the tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import matmul

from tests.kernels.harness import Array, assert_near, call, largest

PANEL, WIDTH, ROWS = matmul.PANEL, matmul.WIDTH, matmul.ROWS


def multiply(x: Array, weights: Array, bias: Array, *, low: float = -np.inf, high: float = np.inf) -> Array:
    rows, depth = x.shape
    columns = len(weights)
    out = call(
        matmul.matmul_float,
        rows * columns,
        np.float32,
        extent=rows,
        x=x,
        weights=matmul.pack_panels(weights),
        bias=matmul.pack_columns(bias),
        depth=depth,
        columns=columns,
        stride=columns,
        offset=0,
        low=low,
        high=high,
    )
    return out.reshape(rows, columns)


def test_two_by_two() -> None:
    x = np.array([[1, 2], [3, 4]], np.float32)
    weights = np.array([[5, 6], [7, 8]], np.float32)
    bias = np.array([10, -100], np.float32)
    assert multiply(x, weights, bias).tolist() == [[27, -77], [49, -47]]
    assert multiply(x, weights, bias, low=0, high=30).tolist() == [[27, 0], [30, 0]]


def test_an_addend_comes_after_the_clamp_and_before_another() -> None:
    columns = PANEL + WIDTH - 1
    x, weights = np.array([[1], [2], [3]], np.float32), np.ones((columns, 1), np.float32)
    addend = np.arange(3 * columns, dtype=np.float32).reshape(3, columns)
    out = call(
        matmul.matmul_add_float, 3 * columns, np.float32, extent=3,
        x=x, weights=matmul.pack_panels(weights), bias=matmul.pack_columns(np.zeros(columns, np.float32)),
        addend=addend, depth=1, columns=columns, low=0, high=2, sum_low=3, sum_high=9 + columns,
    )  # fmt: skip
    expected = (np.array([[1], [2], [2]]) + addend).clip(3, 9 + columns)
    np.testing.assert_array_equal(out.reshape(3, columns), expected)


def test_a_nan_passes_the_clamp() -> None:
    x = np.array([[np.nan], [1]], np.float32)
    result = multiply(x, np.ones((1, 1), np.float32), np.zeros(1, np.float32), low=0, high=6)
    np.testing.assert_array_equal(result, [[np.nan], [1]])


def test_panels_hold_one_column_of_each_filter_side_by_side() -> None:
    weights = np.arange(1, 2 * (PANEL + 1) + 1, dtype=np.float32).reshape(PANEL + 1, 2)
    packed = matmul.pack_panels(weights)
    assert packed[:PANEL].tolist() == weights[:PANEL, 0].tolist()
    assert packed[PANEL : 2 * PANEL].tolist() == weights[:PANEL, 1].tolist()
    # The last filter has a panel of half the width to itself.
    assert packed[2 * PANEL :].tolist() == [
        weights[-1, 0], *[0] * (WIDTH - 1), weights[-1, 1], *[0] * (WIDTH - 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "padded"),
    [(0, 0), (1, WIDTH), (WIDTH, WIDTH), (WIDTH + 1, PANEL), (PANEL, PANEL), (PANEL + 1, PANEL + WIDTH)],
)
def test_columns_are_padded_to_whole_panels(columns: int, padded: int) -> None:
    assert matmul.pad_columns(columns) == padded
    assert matmul.pack_columns(np.ones(columns, np.float32)).tolist() == [1.0] * columns + [0.0] * (
        padded - columns
    )


@given(
    rows=st.one_of(st.integers(1, 3), st.integers(ROWS - 1, 2 * ROWS + 1)),
    columns=st.one_of(
        st.sampled_from([1, WIDTH, WIDTH + 1, PANEL, PANEL + 1, 2 * PANEL]), st.integers(1, 80)
    ),
    depth=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_any_size(rows: int, columns: int, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = (rng.standard_normal((n, depth)).astype(np.float32) for n in (rows, columns))
    bias = rng.standard_normal(columns).astype(np.float32)
    exact = x.astype(np.float64) @ weights.T.astype(np.float64) + bias
    magnitude = largest(x) * largest(weights) + largest(bias)
    assert_near(multiply(x, weights, bias), exact, depth, magnitude)
    assert_near(multiply(x, weights, bias, low=-0.5, high=0.5), exact.clip(-0.5, 0.5), depth, magnitude)


def test_sums_follow_the_order_of_the_weights_in_blocks() -> None:
    # 2**24 + 1 is 2**24 in float32, 2**24 + 2 is not: the order of additions shows.
    big = 1 << 24

    def total(*weights: float, bias: float = 0) -> float:
        row = np.array([weights], np.float32)
        return float(multiply(np.ones_like(row), row, np.array([bias], np.float32)).item())

    assert total(big, 1, 1) == big
    assert total(1, 1, big) == big + 2
    assert total(1, 1, bias=big) == big + 2
    padding = [0.0] * (matmul.BLOCK - 2)
    assert total(big, *padding, 1, 1, 1) == big + 2
    assert total(big, *padding, 0, 1, 1) == big + 2
    assert total(big, *padding, 1, 0, 1) == big
