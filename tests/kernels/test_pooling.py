"""Pools: literals, ties, and any window against means and maxima of patches."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import pooling, vector
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.window import Window

from tests.kernels.harness import Array, assert_near, call, largest, patches, same_window, windows


def pool(
    x: Array, w: Window, low: float | None = None, high: float | None = None, kind: str = "average"
) -> Array:
    rows = len(x) * w.out_h
    real = x.dtype.kind == "f"
    info = np.finfo(x.dtype) if real else np.iinfo(x.dtype)
    arguments: dict[str, Any] = {
        "low": info.min if low is None else low,
        "high": info.max if high is None else high,
        "line": ScratchSpace(np.dtype(np.float32 if real else np.int32), w.in_w * w.in_c + pooling.PADDING),
    }
    if kind == "max":
        arguments["lowest"] = info.min
    average = pooling.average_pool_float if real else pooling.average_pool_integer
    kernel = {"average": average, "max": pooling.max_pool, "l2": pooling.l2_pool}[kind]
    out = call(kernel, rows * w.out_w * w.in_c, x.dtype, extent=rows, x=x, w=w, **arguments)
    return out.reshape(len(x), w.out_h, w.out_w, w.in_c)


def test_the_border_counts_only_pixels_of_the_image() -> None:
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    result = pool(x, same_window((3, 3), 1, 3))
    assert result[0, :, :, 0].tolist() == [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]
    assert pool(x, same_window((3, 3), 1, 3), low=3.75, high=6)[0, 0, :, 0].tolist() == [3.75, 3.75, 4]


@pytest.mark.parametrize(
    ("dtype", "values", "mean"),
    [
        (np.int8, [1, 2], 2),
        (np.int8, [-1, -2], -2),
        (np.int8, [-1, -1, -2, -2, -1], -1),
        (np.int8, [-128] * 6, -128),
        (np.int8, [0, -1], -1),
        (np.int16, [-32768, -32767], -32768),
        (np.uint8, [255, 254], 255),
        (np.uint8, [255] * 9, 255),
        (np.uint8, [0, 0, 1], 0),
    ],
)
def test_integers_round_half_away_from_zero(dtype: Any, values: list[int], mean: int) -> None:
    x = np.array(values, dtype).reshape(1, 1, -1, 1)
    w = Window(1, len(values), 1, 1, 1, 1, len(values), 1, 1, 1, 1, 0, 0)
    assert pool(x, w).item() == mean


def test_the_largest_is_never_nan() -> None:
    x = np.array([np.nan, -np.inf, 2, np.nan, 1, -3], np.float32).reshape(1, 1, 6, 1)
    w = Window(1, 6, 1, 1, 3, 1, 2, 1, 2, 1, 1, 0, 0)
    assert pool(x, w, kind="max").ravel().tolist() == [np.finfo(np.float32).min, 2, 1]
    assert pool(x, w, low=-2, high=1.5, kind="max").ravel().tolist() == [-2, 1.5, 1]


def test_the_root_of_the_mean_square() -> None:
    x = np.array([3, -5, 1, 1], np.float32).reshape(1, 1, 4, 1)
    w = Window(1, 4, 1, 1, 2, 1, 2, 1, 2, 1, 1, 0, 0)
    assert pool(x, w, kind="l2").ravel().tolist() == pytest.approx([17**0.5, 1])
    assert pool(x, w, high=2, kind="l2").ravel().tolist() == [2, 1]


CHANNELS = st.sampled_from([1, 3, 5, vector.WIDTH, vector.WIDTH + 1])


@given(windows(CHANNELS, dilation=1), st.integers(1, 2), st.integers(0, 99))
def test_any_window_of_floats(w: Window, batch: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((batch, w.in_h, w.in_w, w.in_c)).astype(np.float32)
    seen, inside = patches(x.astype(np.float64), w)
    exact = seen.sum((3, 4)) / inside.sum((2, 3))
    terms = w.kernel_h * w.kernel_w
    assert_near(pool(x, w), exact, terms, largest(x))
    assert_near(pool(x, w, -0.25, 0.25), exact.clip(-0.25, 0.25), terms, largest(x))
    energies = (seen**2).sum((3, 4)) / inside.sum((2, 3))
    assert_near(pool(x, w, kind="l2") ** 2, energies, terms, largest(x) ** 2)
    np.testing.assert_array_equal(pool(x, w, kind="max"), np.where(inside, seen, -np.inf).max((3, 4)))


@given(
    windows(CHANNELS, dilation=1),
    st.sampled_from([np.uint8, np.int8, np.int16]),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_any_window_of_integers(w: Window, dtype: Any, batch: int, seed: int) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    x = rng.integers(info.min, info.max, (batch, w.in_h, w.in_w, w.in_c), dtype, endpoint=True)
    seen, inside = patches(x.astype(np.int64), w)
    sums, counts = seen.sum((3, 4)), np.broadcast_to(inside.sum((2, 3)), (batch, w.out_h, w.out_w, w.in_c))
    exact = [_half_away(Fraction(int(s), int(n))) for s, n in zip(sums.flat, counts.flat, strict=True)]
    low, high = int(rng.integers(info.min, 1)), int(rng.integers(2, info.max))
    np.testing.assert_array_equal(pool(x, w).ravel(), exact)
    np.testing.assert_array_equal(pool(x, w, low, high).ravel(), np.clip(exact, low, high))
    largest_seen = np.where(inside, seen, info.min).max((3, 4))
    np.testing.assert_array_equal(pool(x, w, kind="max"), largest_seen)
    np.testing.assert_array_equal(pool(x, w, low, high, "max"), np.clip(largest_seen, low, high))


def _half_away(value: Fraction) -> int:
    whole = floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole
