"""DEPTHWISE_CONV_2D on float32: literals, and any window against sums over patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import depthwise
from minilite_kernels.window import Window

from tests.kernels.harness import Array, assert_near, call, largest, patches, same_window, windows

PIXELS, WIDTH = depthwise.PIXELS, depthwise.WIDTH


def convolve(x: Array, weights: Array, bias: Array, w: Window, **limits: float) -> Array:
    """Weights [kernel_h, kernel_w, channels]."""
    arguments: dict[str, Any] = {"low": -np.inf, "high": np.inf, **limits}
    out = call(
        depthwise.depthwise_float,
        len(x) * w.out_h * w.out_w * w.in_c,
        np.float32,
        extent=len(x) * w.out_h,
        x=x,
        weights=weights,
        bias=bias,
        w=w,
        **arguments,
    )
    return out.reshape(len(x), w.out_h, w.out_w, w.in_c)


def test_channels_do_not_mix() -> None:
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1) * np.arange(WIDTH, dtype=np.float32)
    weights = np.ones((3, 3, WIDTH), np.float32)
    bias = np.full(WIDTH, 1000, np.float32)
    result = convolve(x, weights, bias, same_window((3, 3), WIDTH, 3))
    assert result[0, :, :, 0].tolist() == [[1000] * 3] * 3
    assert result[0, :, :, 1].tolist() == [[1012, 1021, 1016], [1027, 1045, 1033], [1024, 1039, 1028]]
    assert result[0, :, :, 3].tolist() == [[1036, 1063, 1048], [1081, 1135, 1099], [1072, 1117, 1084]]


@pytest.mark.parametrize("width", [1, 2, *range(PIXELS + 1, PIXELS + 5), 2 * PIXELS + 2, 2 * PIXELS + 3])
def test_blocks_of_pixels_meet_the_borders(width: int) -> None:
    # SAME, 3 taps: a block fills the interior at width PIXELS + 2; one pixel more and a second overlaps it.
    rng = np.random.default_rng(width)
    w = same_window((1, width), WIDTH + 1, 3)
    x = rng.integers(-9, 9, (1, 1, width, w.in_c)).astype(np.float32)
    weights = rng.integers(-9, 9, (3, 3, w.in_c)).astype(np.float32)
    seen, _ = patches(x, w)
    exact = np.einsum("bhwyxc,yxc->bhwc", seen, weights)
    np.testing.assert_array_equal(convolve(x, weights, np.zeros(w.in_c, np.float32), w), exact)


@given(
    windows(st.sampled_from([WIDTH, WIDTH + 1, 2 * WIDTH, 2 * WIDTH + 3]), dilation=3),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_any_window(w: Window, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, w.in_h, w.in_w, w.in_c)).astype(np.float32)
    weights = rng.standard_normal((w.kernel_h, w.kernel_w, w.in_c)).astype(np.float32)
    bias = rng.standard_normal(w.in_c).astype(np.float32)
    seen, _ = patches(x.astype(np.float64), w)
    exact = np.einsum("bhwyxc,yxc->bhwc", seen, weights) + bias
    terms, magnitude = weights[..., 0].size, largest(x) * largest(weights) + largest(bias)
    assert_near(convolve(x, weights, bias, w), exact, terms, magnitude)
    assert_near(convolve(x, weights, bias, w, low=0, high=1), exact.clip(0, 1), terms, magnitude)
