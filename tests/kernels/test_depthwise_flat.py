"""DEPTHWISE_CONV_2D of few channels or several filters for each, against sums over patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import depthwise_flat as flat
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.quantized import Levels
from minilite_kernels.window import Window

from tests.kernels.harness import Array, call, patches, same_window, windows


def convolve(kernel: Any, x: Array, weights: Array, bias: Array, w: Window, **arguments: Any) -> Array:
    """Weights [kernel_h, kernel_w, channels * multiplier]."""
    channels = weights.shape[-1]
    out = call(
        kernel,
        len(x) * w.out_h * w.out_w * channels,
        x.dtype,
        extent=len(x) * w.out_h,
        x=x,
        weights=flat.repeated(weights),
        bias=flat.repeated(bias),
        lines=ScratchSpace(x.dtype, w.kernel_h * flat.line_size(w, channels)),
        places=ScratchSpace(np.dtype(np.int64), 2 * w.kernel_h + w.kernel_w),
        w=w,
        multiplier=channels // w.in_c,
        **arguments,
    )
    return out.reshape(len(x), w.out_h, w.out_w, channels)


def sums_of(x: Array, weights: Array, bias: Array, w: Window) -> Array:
    seen, _ = patches(x, w)
    many = np.repeat(seen, weights.shape[-1] // w.in_c, axis=-1)
    return np.asarray(np.einsum("bhwyxc,yxc->bhwc", many, weights) + bias)


def test_output_channels_of_an_input_channel_are_neighbours() -> None:
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
    weights = np.array([1, 10, 100, 1000], np.float32).reshape(1, 1, 4)
    bias = np.array([0, 0, 0, 0.5], np.float32)
    w = same_window((1, 2), 2, 1)
    result = convolve(flat.depthwise_flat_float, x, weights, bias, w, low=-9.0, high=3000.0)
    assert result.ravel().tolist() == [1, 10, 200, 2000.5, 3, 30, 400, 3000]


def test_a_line_longer_than_a_run() -> None:
    x = np.arange(3 * 70, dtype=np.float32).reshape(1, 1, 70, 3)
    w, ones = same_window((1, 70), 3, 3), np.ones((3, 3, 3), np.float32)
    result = convolve(flat.depthwise_flat_float, x, ones, np.zeros(3, np.float32), w, low=-1.0, high=1e9)
    np.testing.assert_array_equal(result, sums_of(x, ones, np.zeros(3), w))


@given(
    windows(st.sampled_from([1, 2, 3, 5, 17]), dilation=3),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 2),
    st.sampled_from([np.int8, np.uint8]),
    st.integers(0, 99),
)
def test_any_window(w: Window, multiplier: int, batch: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, filters = (batch, w.in_h, w.in_w, w.in_c), (w.kernel_h, w.kernel_w, w.in_c * multiplier)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    weights = rng.integers(-255, 255, filters, np.int16, endpoint=True)
    bias = rng.integers(-5000, 5000, filters[-1], np.int32)
    # Small integers are exact in float32, too.
    sums = sums_of(x.astype(np.int64) - 3, weights.astype(np.int64), bias, w)
    floats, filters_, bias_ = (a.astype(np.float32) for a in (x.astype(np.int64) - 3, weights, bias))
    result = convolve(flat.depthwise_flat_float, floats, filters_, bias_, w, low=-1e9, high=1e9)
    np.testing.assert_array_equal(result, sums)
    tables = {
        "multipliers": np.full(filters[-1], 1 << 30, np.int32),
        "lefts": np.zeros(filters[-1], np.int32),
        "rights": np.full(filters[-1], 9, np.int32),
    }
    levels = Levels(3, 0, 0, 5, int(info.min), int(info.max))
    repeated: Any = {name: flat.repeated(table) for name, table in tables.items()}
    result = convolve(flat.depthwise_flat_quantized, x, weights, bias, w, levels=levels, **repeated)
    halves = (sums + 1) >> 1  # the doubling high multiply rounds ties up
    away = np.sign(halves) * ((np.abs(halves) + 256) // 512)
    np.testing.assert_array_equal(result, np.clip(away + 5, info.min, info.max))
