"""CONV_2D on float32: literals, and any window against sums over patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import convolution, matmul
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.window import Window

from tests.kernels.harness import Array, assert_near, call, largest, patches, same_window, windows


def convolve(x: Array, weights: Array, bias: Array, w: Window, groups: int = 1, **limits: float) -> Array:
    """Weights [out_c, kernel_h, kernel_w, in_c / groups]."""
    pixels, out_c = len(x) * w.out_h * w.out_w, len(weights)
    arguments: dict[str, Any] = {"low": -np.inf, "high": np.inf, **limits}
    out = call(
        convolution.convolve_float,
        pixels * out_c,
        np.float32,
        extent=pixels,
        x=x,
        weights=matmul.in_groups(matmul.pack_panels, weights.reshape(out_c, -1), groups),
        bias=matmul.in_groups(matmul.pack_columns, bias, groups),
        patches=ScratchSpace(np.dtype(np.float32), pixels * weights[0].size),
        w=w,
        groups=groups,
        out_c=out_c,
        stride=out_c,
        offset=0,
        **arguments,
    )
    return out.reshape(len(x), w.out_h, w.out_w, out_c)


def test_sum_of_three_by_three() -> None:
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    ones = np.ones((1, 3, 3, 1), np.float32)
    result = convolve(x, ones, np.array([100], np.float32), same_window((3, 3), 1, 3))
    assert result[0, :, :, 0].tolist() == [[112, 121, 116], [127, 145, 133], [124, 139, 128]]


def test_groups_see_only_their_channels() -> None:
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 1, 4)
    weights = np.array([1, 10, 100, 1000], np.float32).reshape(2, 1, 1, 2)
    result = convolve(x, weights, np.array([0.5, 0], np.float32), same_window((1, 1), 4, 1), groups=2)
    assert result.ravel().tolist() == [21.5, 4300]


def test_dilation_and_stride() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    corners = np.array([1, 10, 100, 1000], np.float32).reshape(1, 2, 2, 1)
    # Extent 3, VALID, stride 1: outputs at (0, 0) ... (1, 1); taps are two pixels apart.
    w = Window(4, 4, 1, 2, 2, 2, 2, 1, 1, 2, 2, 0, 0)
    result = convolve(x, corners, np.zeros(1, np.float32), w, low=-1, high=12000)
    assert result[0, :, :, 0].tolist() == [[10820, 11931], [12000, 12000]]


@given(
    windows(st.sampled_from([1, 3, 5])),
    st.sampled_from([1, 4, 17, 33]),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_any_window(w: Window, out_c: int, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, w.in_h, w.in_w, w.in_c)).astype(np.float32)
    weights = rng.standard_normal((out_c, w.kernel_h, w.kernel_w, w.in_c)).astype(np.float32)
    bias = rng.standard_normal(out_c).astype(np.float32)
    seen, _ = patches(x.astype(np.float64), w)
    exact = np.einsum("bhwyxc,oyxc->bhwo", seen, weights) + bias
    magnitude = largest(x) * largest(weights) + largest(bias)
    assert_near(convolve(x, weights, bias, w), exact, weights[0].size, magnitude)
    assert_near(convolve(x, weights, bias, w, low=0, high=1), exact.clip(0, 1), weights[0].size, magnitude)


def convolve_lines(x: Array, weights: Array, bias: Array, w: Window, **limits: float) -> Array:
    """As ``convolve``, from the picture's lines."""
    rows, out_c = len(x) * w.out_h, len(weights)
    arguments: dict[str, Any] = {"low": -np.inf, "high": np.inf, **limits}
    seen = (matmul.ROWS - 1) * w.stride_w + w.kernel_w
    out = call(
        convolution.convolve_lines_float,
        rows * w.out_w * out_c,
        np.float32,
        extent=rows,
        x=x,
        weights=matmul.pack_panels(weights.reshape(out_c, -1)),
        bias=matmul.pack_columns(bias),
        lines=ScratchSpace(np.dtype(np.float32), w.kernel_h * seen * w.in_c),
        w=w,
        out_c=out_c,
        stride=out_c,
        offset=0,
        **arguments,
    )
    return out.reshape(len(x), w.out_h, w.out_w, out_c)


@given(
    st.one_of(
        windows(st.sampled_from([1, 3]), dilation=1),
        st.sampled_from([same_window((5, 3 * matmul.ROWS + n), 3, 3, stride=2 - n % 2) for n in range(4)]),
    ),
    st.sampled_from([1, 4, 17, 33]),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_lines_and_patches_give_the_same_bits(w: Window, out_c: int, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, w.in_h, w.in_w, w.in_c)).astype(np.float32)
    weights = rng.standard_normal((out_c, w.kernel_h, w.kernel_w, w.in_c)).astype(np.float32)
    bias = rng.standard_normal(out_c).astype(np.float32)
    assert weights[0].size <= matmul.BLOCK
    patched = convolve(x, weights, bias, w, low=-1, high=2)
    assert convolve_lines(x, weights, bias, w, low=-1, high=2).tobytes() == patched.tobytes()
