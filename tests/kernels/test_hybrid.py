"""Hybrid kernels: rows quantized as the NumPy reference does, and convolutions on them, literally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import hybrid, matmul, quantized
from minilite_kernels.kernel import ScratchSpace

from minilite.quantization import quantize_rows_asymmetric, quantize_rows_symmetric
from tests.kernels.harness import Array, call, same_window


def ranges_of(x: Array) -> Array:
    rows, length = x.shape
    parts = hybrid.parts_of(length)
    ranges = call(
        hybrid.find_ranges, 2 * rows * parts, np.float32, extent=rows * parts, output="ranges",
        x=x, length=length, parts=parts,
    )  # fmt: skip
    return ranges.reshape(rows, parts, 2)


def quantize(x: Array, *, symmetric: bool) -> tuple[Array, Array, Array]:
    rows, length = x.shape
    ranges = ranges_of(x)
    parts = ranges.shape[1]
    out, scales, zeros = np.zeros(x.size, np.int8), np.zeros(rows, np.float32), np.zeros(rows, np.int32)
    # The last part first: its scale must not depend on who came before.
    arrays = {"x": x.ravel(), "ranges": ranges.ravel(), "out": out, "scales": scales, "zeros": zeros}
    for item in range(rows * parts - 1, -1, -1):
        with np.errstate(invalid="ignore"):
            hybrid.quantize_rows(item, item + 1, length=length, parts=parts, symmetric=symmetric, **arrays)
    return out.reshape(x.shape), scales, zeros


def test_ranges_hold_zero_and_show_what_is_not_finite() -> None:
    x = np.array([[1, 2, 3], [-4, -1, -0.5], [-1, np.nan, 1], [np.inf, 0, -2], [-np.inf, 5, 0]], np.float32)
    ranges = ranges_of(x)[:, 0]
    np.testing.assert_array_equal(ranges[:2], [[0, 3], [-4, 0]])
    assert not np.isfinite(ranges[2:]).all(axis=1).any()


@given(st.integers(1, 3), st.sampled_from([1, 7, 100, hybrid.PART + 3]), st.booleans(), st.integers(0, 99))
def test_rows_are_quantized_as_by_the_reference(rows: int, length: int, symmetric: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, length)) * rng.choice([0, 1e-6, 1, 300], (rows, 1))).astype(np.float32)
    x += rng.choice([0, 0, 50, -50], (rows, 1)).astype(np.float32)
    x[rng.random(rows) < 0.2, length // 2] = rng.choice([np.nan, np.inf, -np.inf])
    values, scales, zeros = quantize(x, symmetric=symmetric)
    if symmetric:
        expected = (*quantize_rows_symmetric(x), np.zeros(rows, np.int32))
    else:
        expected = quantize_rows_asymmetric(x)
    np.testing.assert_array_equal(scales, expected[1])
    for row in np.flatnonzero(np.isfinite(scales)):
        np.testing.assert_array_equal(values[row], expected[0][row])
        assert zeros[row] == expected[2][row]


def test_each_picture_is_scaled_by_its_own_range() -> None:
    # Two pictures of 1x2 pixels and one channel, two filters of scales 1 and 0.5.
    x = np.array([10, -20, 7, 8], np.int8)
    for together in (0, 1):
        out = call(
            hybrid.convolve_hybrid,
            8,
            np.float32,
            extent=4,
            x=x,
            row_scales=np.array([0.25, 2], np.float32),
            row_zeros=np.array([0, 6], np.int32),
            weights=quantized.pack_lanes(np.array([[1], [3]], np.int8)),
            totals=matmul.pack_columns(np.array([1, 3], np.int32)),
            scales=matmul.pack_columns(np.array([1, 0.5], np.float32)),
            bias=matmul.pack_columns(np.array([0, 100], np.float32)),
            patches=ScratchSpace(np.dtype(np.int8), 4 * quantized.pad_depth(1, np.int8)),
            initial=ScratchSpace(np.dtype(np.int32), matmul.pad_columns(2)),
            factors=ScratchSpace(np.dtype(np.float32), matmul.pad_columns(2)),
            w=same_window((1, 2), 1, 1),
            groups=1,
            out_c=2,
            together=together,
            low=-4.5,
            high=1000.0,
        )
        assert out.tolist() == [2.5, 100 + 3.75, -4.5, 100 - 7.5, 2, 100 + 3, 4, 100 + 6]
