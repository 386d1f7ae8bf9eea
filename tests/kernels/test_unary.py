"""Maps of elements and rows: every element of the range, none beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need Numba")

from minilite_kernels import cast, lookup, normalization, prelu, softmax, unary
from minilite_kernels.kernel import Kernel

from minilite.graph import Array

RNG = np.random.default_rng(3)


def run(kernel: Kernel, x: Array, out: Array, start: int, stop: int, row: int = 1, **arguments: Any) -> Array:
    """The output after a run over a part of it; what lies beside has to stay."""
    before = out.copy()
    with np.errstate(all="ignore"):
        kernel(start, stop, x=x, out=out, **arguments)
    np.testing.assert_array_equal(out[: start * row], before[: start * row])
    np.testing.assert_array_equal(out[stop * row :], before[stop * row :])
    return out[start * row : stop * row]


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 256), (1, 200), (7, 71), (64, 192), (5, 68), (250, 256), (9, 9)]
)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_bytes_are_looked_up(dtype: Any, start: int, stop: int) -> None:
    x = RNG.permutation(256).astype(np.uint8).view(dtype)
    table = RNG.integers(-128, 128, 256).astype(np.int8)
    y = run(lookup.lookup_bytes, x, np.zeros(256, np.int8), start, stop, table=table)
    np.testing.assert_array_equal(y, table[x.view(np.uint8)[start:stop]])


def test_halves_are_looked_up() -> None:
    x = RNG.integers(-(1 << 15), 1 << 15, 300).astype(np.int16)
    table = RNG.standard_normal(1 << 16).astype(np.float32)
    y = run(lookup.lookup, x, np.zeros(300, np.float32), 3, 290, table=table, mask=0xFFFF)
    np.testing.assert_array_equal(y, table[x.view(np.uint16)[3:290]])


@pytest.mark.parametrize(
    ("kernel", "function"),
    [
        (unary.absolute, np.abs),
        (unary.negate, np.negative),
        (unary.square, np.square),
        (unary.square_root, np.sqrt),
        (unary.inverse_square_root, lambda x: np.float32(1) / np.sqrt(x)),
        (unary.floor, np.floor),
        (unary.ceil, np.ceil),
        (unary.round_half_even, np.rint),
        (unary.hard_swish, lambda x: x * np.clip(x + np.float32(3), 0, 6) / np.float32(6)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_maps(kernel: Kernel, function: Any) -> None:
    x = (RNG.standard_normal(100) * 4).astype(np.float32)
    x[:8] = [0, -0.0, np.nan, np.inf, -np.inf, 0.5, 1.5, -2.5]
    y = run(kernel, x, np.zeros(100, np.float32), 0, 93)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(y, function(x[:93]))


def test_clamps_and_slopes() -> None:
    x = np.array([-2, -0.5, 0, 3, 9, np.nan], np.float32)
    out = np.zeros(6, np.float32)
    np.testing.assert_array_equal(
        run(unary.clamp, x, out, 1, 6, low=-0.25, high=6.0), [-0.25, 0, 3, 6, np.nan]
    )
    np.testing.assert_array_equal(run(unary.leaky, x, out, 0, 5, alpha=0.5), [-1, -0.25, 0, 3, 9])
    alpha = np.array([1, 10], np.float32)
    rows = run(prelu.prelu_float, x, out, 0, 2, row=2, alpha=alpha, length=2)
    np.testing.assert_array_equal(rows, [-2, -5, 0, 3])


@pytest.mark.parametrize("depth", [1, 5, 63, 64, 65, 128, 200])
def test_rows_have_shares_that_sum_to_one(depth: int) -> None:
    x = (RNG.standard_normal(4 * depth) * 5).astype(np.float32)
    rows = x.reshape(4, depth)[1:3].astype(np.float64)
    right = np.exp(rows - rows.max(axis=1, keepdims=True))
    right /= right.sum(axis=1, keepdims=True)
    lanes = np.zeros(softmax.LANES, np.float32)
    shared: dict[str, Any] = {"row": depth, "depth": depth, "lanes": lanes}
    y = run(softmax.softmax_float, x, np.zeros(4 * depth, np.float32), 1, 3, beta=1.0, **shared)
    np.testing.assert_allclose(y.reshape(2, depth), right, rtol=1e-5, atol=1e-30)
    y = run(softmax.log_softmax_float, x, np.zeros(4 * depth, np.float32), 1, 3, **shared)
    np.testing.assert_allclose(y.reshape(2, depth), np.log(right), atol=1e-5)


@pytest.mark.parametrize("place", [0, 63, 64, 127, 128, 129])
def test_the_largest_value_is_found_wherever_it_is(place: int) -> None:
    x = np.full(130, -300, np.float32)
    x[place] = 300
    lanes = np.zeros(softmax.LANES, np.float32)
    y = run(
        softmax.softmax_float, x, np.zeros(130, np.float32), 0, 1, row=130, depth=130, beta=1.0, lanes=lanes
    )
    np.testing.assert_array_equal(np.flatnonzero(y), [place])
    assert y[place] == 1


def test_rows_of_length_one() -> None:
    x = np.array([3, 4, 0, 0, 5, 12], np.float32)
    y = run(normalization.l2_normalize, x, np.zeros(6, np.float32), 1, 3, row=2, depth=2, epsilon=1e-6)
    np.testing.assert_allclose(y, [0, 0, 5 / 13, 12 / 13], rtol=1e-6)


def test_floats_become_integers() -> None:
    x = np.array([1.9, -1.9, 300, -300, np.nan, np.inf], np.float32)
    y = run(cast.truncate, x, np.zeros(6, np.int8), 0, 6, low=-128, high=127)
    np.testing.assert_array_equal(y, [1, -1, 127, -128, 127, 127])
