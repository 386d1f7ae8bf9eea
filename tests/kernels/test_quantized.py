"""CONV_2D and DEPTHWISE_CONV_2D on integers: literals, and any window against exact integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import depthwise_quantized, quantized
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.matmul import PANEL, pack_columns
from minilite_kernels.window import Window

from tests.kernels.harness import Array, all_scaled, call, multipliers, patches, same_window, windows

WIDTH = quantized.WIDTH
INTEGERS = st.sampled_from([np.uint8, np.int8, np.int16])


@dataclass(frozen=True)
class Scale:
    """From sums to the output's type: a factor for each channel, a zero point and a range."""

    multipliers: Array
    shifts: Array
    zero: int
    low: int
    high: int

    def of(self, sums: Array) -> Array:
        scaled = all_scaled(sums, self.multipliers, self.shifts)
        return np.asarray(np.clip(scaled + self.zero, self.low, self.high))

    def tables(self) -> dict[str, Any]:
        tables = {
            "multipliers": self.multipliers,
            "lefts": np.maximum(self.shifts, 0),
            "rights": np.maximum(-self.shifts, 0),
        }
        return {name: pack_columns(table.astype(np.int32)) for name, table in tables.items()}

    def levels(self, dtype: Any, x_zero: int, weight_zero: int = 0) -> quantized.Levels:
        flip = -128 if dtype == np.int8 else 0
        return quantized.Levels(x_zero, flip, weight_zero, self.zero, self.low, self.high)


def unscaled(channels: int, dtype: Any, zero: int = 0) -> Scale:
    """Sums as they are."""
    info = np.iinfo(dtype)
    ones = np.full(channels, 1 << 30), np.full(channels, 1)
    return Scale(*ones, zero, int(info.min), int(info.max))


@st.composite
def scales(draw: st.DrawFn, channels: int, dtype: Any) -> Scale:
    info = np.iinfo(dtype)
    value = st.integers(int(info.min), int(info.max))
    factors = [draw(multipliers) for _ in range(min(channels, 3))]
    # Sums come to some hundreds at most: clamped now and then.
    shifts = [draw(st.integers(-16, -9)) for _ in range(min(channels, 3))]
    low, high = draw(st.sampled_from([(info.min, info.max), (info.min + 50, info.max - 60)]))
    return Scale(np.resize(factors, channels), np.resize(shifts, channels), draw(value), int(low), int(high))


def convolve(
    x: Array, x_zero: int, weights: Array, weight_zero: int, bias: Array, w: Window, scale: Scale
) -> Array:
    """Weights int8 [out_c, kernel_h, kernel_w, in_c]; zero points go into the bias, as in a plan."""
    pixels, out_c, depth = len(x) * w.out_h * w.out_w, len(weights), weights[0].size
    unsigned_zero = x_zero + (128 if x.dtype == np.int8 else 0)
    totals = weights.reshape(out_c, depth).sum(1, dtype=np.int64)
    bias = bias - unsigned_zero * totals + depth * unsigned_zero * weight_zero
    out = call(
        quantized.convolve_quantized,
        pixels * out_c,
        x.dtype,
        extent=pixels,
        x=x,
        weights=quantized.pack_lanes(weights.reshape(out_c, depth).astype(f"i{x.itemsize}")),
        bias=pack_columns(bias.astype(np.int32)),
        patches=ScratchSpace(x.dtype, pixels * quantized.pad_depth(depth, x.dtype)),
        sums=ScratchSpace(np.dtype(np.int32), pixels),
        w=w,
        groups=1,
        out_c=out_c,
        levels=scale.levels(x.dtype, x_zero, weight_zero),
        **scale.tables(),
    )
    return out.reshape(len(x), w.out_h, w.out_w, out_c)


def depthwise(x: Array, x_zero: int, weights: Array, bias: Array, w: Window, scale: Scale) -> Array:
    """Weights int16 [kernel_h, kernel_w, channels]; the zero point goes into the bias, as in a plan."""
    unsigned_zero = x_zero + (128 if x.dtype == np.int8 else 0)
    bias = (bias - unsigned_zero * weights.sum((0, 1), dtype=np.int64)).astype(np.int32)
    out = call(
        depthwise_quantized.depthwise_quantized,
        len(x) * w.out_h * w.out_w * w.in_c,
        x.dtype,
        extent=len(x) * w.out_h,
        x=x,
        weights=depthwise_quantized.pack_filters(weights, x.itemsize),
        bias=bias,
        lanes=ScratchSpace(np.dtype(np.int32), depthwise_quantized.line_size(w, x.itemsize)),
        w=w,
        levels=scale.levels(x.dtype, x_zero),
        **scale.tables(),
    )
    return out.reshape(len(x), w.out_h, w.out_w, w.in_c)


@pytest.mark.parametrize(("dtype", "x_zero"), [(np.uint8, 1), (np.int8, -127)])
def test_padding_is_the_zero_point(dtype: Any, x_zero: int) -> None:
    # Real values 0 ... 8 around the zero point; weights of 1; the border adds nothing.
    x = (np.arange(9) + x_zero).astype(dtype).reshape(1, 3, 3, 1)
    weights = np.ones((1, 3, 3, 1), np.int8)
    result = convolve(
        x, x_zero, weights, 0, np.array([3]), same_window((3, 3), 1, 3), unscaled(1, dtype, zero=-5)
    )
    assert result[0, :, :, 0].tolist() == [[6, 13, 10], [19, 34, 25], [18, 31, 22]]


def test_a_filter_with_a_zero_point() -> None:
    x = np.array([1, 2, 3, 4], np.uint8).reshape(1, 1, 4, 1)
    weights = np.array([5, 9], np.int8).reshape(2, 1, 1, 1)
    w = same_window((1, 4), 1, 1)
    result = convolve(x, 0, weights, 4, np.zeros(2), w, unscaled(2, np.uint8))
    assert result[0, 0].tolist() == [[1, 5], [2, 10], [3, 15], [4, 20]]


def test_extreme_bytes_do_not_saturate_on_the_way() -> None:
    # 255 * 127 * 4 is more than 16 bits; instructions that add pairs in 16 bits would clip it.
    x = np.full((1, 1, 1, 64), 255, np.uint8)
    weights = np.full((1, 1, 1, 64), 127, np.int8)
    scale = Scale(np.array([1 << 30]), np.array([1 - 14]), 0, 0, 255)
    result = convolve(x, 0, weights, 0, np.zeros(1), same_window((1, 1), 64, 1), scale)
    assert result.item() == round(255 * 127 * 64 / 2**14)


def test_int16_sums_are_rounded_once_with_16_bit_multipliers() -> None:
    # Sums -6, -5 ... 6 divided by 4: ties towards +infinity.
    x = np.arange(-6, 7, dtype=np.int16).reshape(1, 1, 13, 1)
    w = same_window((1, 13), WIDTH, 1)
    out = call(
        depthwise_quantized.depthwise_quantized,
        13 * WIDTH,
        np.int16,
        extent=1,
        x=np.repeat(x, WIDTH, axis=3),
        weights=depthwise_quantized.pack_filters(np.ones((1, 1, WIDTH), np.int16), 2),
        bias=np.zeros(WIDTH, np.int32),
        lanes=ScratchSpace(np.dtype(np.int32), depthwise_quantized.line_size(w, 2)),
        multipliers=np.full(WIDTH, 1 << 14, np.int16),
        lefts=np.zeros(WIDTH, np.int32),
        rights=np.full(WIDTH, 16, np.int32),
        w=w,
        levels=quantized.Levels(0, 0, 0, 0, -32768, 32767),
    )
    assert out.reshape(13, WIDTH)[:, 0].tolist() == [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_lanes_of_four_lie_side_by_side() -> None:
    weights = np.arange(1, 6, dtype=np.int8).reshape(1, 5)
    packed = quantized.pack_lanes(weights).reshape(2, -1, 4)
    assert packed.shape == (2, WIDTH, 4)
    assert packed[:, 0].tolist() == [[1, 2, 3, 4], [5, 0, 0, 0]]
    assert not packed[:, 1:].any()
    assert len(quantized.pack_lanes(np.ones((PANEL + 1, 4), np.int8))) == (PANEL + WIDTH) * 4


@given(
    st.data(),
    windows(st.sampled_from([1, 3, 4, 6])),
    INTEGERS,
    st.sampled_from([1, WIDTH, WIDTH + 1, PANEL + 1, 2 * PANEL]),
    st.integers(0, 99),
)
def test_any_convolution(data: st.DataObject, w: Window, dtype: Any, out_c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, (1, w.in_h, w.in_w, w.in_c), dtype, endpoint=True)
    weights = rng.integers(-128, 127, (out_c, w.kernel_h, w.kernel_w, w.in_c), np.int8, endpoint=True)
    bias = rng.integers(-5000, 5000, out_c)
    x_zero = 0 if dtype is np.int16 else data.draw(st.integers(int(info.min), int(info.max)))
    weight_zero = data.draw(st.integers(-128, 127)) if dtype is np.uint8 else 0
    scale = data.draw(scales(out_c, dtype))
    seen, _ = patches(x.astype(np.int64) - x_zero, w)
    sums = np.einsum("bhwyxc,oyxc->bhwo", seen, weights.astype(np.int64) - weight_zero) + bias
    np.testing.assert_array_equal(
        convolve(x, x_zero, weights, weight_zero, bias, w, scale), scale.of(sums)
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "x_zero"), [(np.uint8, 1), (np.int8, -127)])
def test_depthwise_padding_is_the_zero_point(dtype: Any, x_zero: int) -> None:
    x = np.broadcast_to((np.arange(9) + x_zero).reshape(1, 3, 3, 1), (1, 3, 3, WIDTH)).astype(dtype)
    weights = np.ones((3, 3, WIDTH), np.int16)
    weights[..., 1] = -1
    scale, bias = unscaled(WIDTH, dtype, zero=50), np.full(WIDTH, 3, np.int32)
    result = depthwise(x, x_zero, weights, bias, same_window((3, 3), WIDTH, 3), scale)
    assert result[0, :, :, 0].tolist() == [[61, 68, 65], [74, 89, 80], [73, 86, 77]]
    assert result[0, :, :, 1].tolist() == [[45, 38, 41], [32, 17, 26], [33, 20, 29]]


@given(
    st.data(),
    windows(st.sampled_from([WIDTH, WIDTH + 1, 2 * WIDTH + 3]), dilation=3),
    INTEGERS,
    st.integers(0, 99),
)
def test_any_depthwise(data: st.DataObject, w: Window, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, (1, w.in_h, w.in_w, w.in_c), dtype, endpoint=True)
    # An 8-bit filter less its zero point.
    weights = rng.integers(-255, 255, (w.kernel_h, w.kernel_w, w.in_c), np.int16, endpoint=True)
    bias = rng.integers(-5000, 5000, w.in_c, np.int32)
    x_zero = 0 if dtype is np.int16 else data.draw(st.integers(int(info.min), int(info.max)))
    scale = data.draw(scales(w.in_c, dtype))
    seen, _ = patches(x.astype(np.int64) - x_zero, w)
    sums = np.einsum("bhwyxc,yxc->bhwc", seen, weights.astype(np.int64)) + bias
    np.testing.assert_array_equal(depthwise(x, x_zero, weights, bias, w, scale), scale.of(sums))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize(("taps", "stride", "dilation"), [(5, 1, 1), (5, 2, 1), (7, 1, 1), (4, 1, 3)])
def test_depthwise_filters_of_several_lanes(dtype: Any, taps: int, stride: int, dilation: int) -> None:
    rng = np.random.default_rng(taps + stride)
    info = np.iinfo(dtype)
    w = same_window((9, 13), WIDTH + 3, taps, stride=stride, dilation=dilation)
    x = rng.integers(info.min, info.max, (2, w.in_h, w.in_w, w.in_c), dtype, endpoint=True)
    weights = rng.integers(-255, 255, (taps, taps, w.in_c), np.int16, endpoint=True)
    bias, x_zero = rng.integers(-5000, 5000, w.in_c, np.int32), 0 if dtype is np.int16 else int(x[0, 0, 0, 0])
    factors, shifts = np.full(w.in_c, 1 << 30), np.full(w.in_c, -12 if dtype is np.int16 else -10)
    scale = Scale(factors, shifts, 3, int(info.min), int(info.max))
    seen, _ = patches(x.astype(np.int64) - x_zero, w)
    sums = np.einsum("bhwyxc,yxc->bhwc", seen, weights.astype(np.int64)) + bias
    np.testing.assert_array_equal(depthwise(x, x_zero, weights, bias, w, scale), scale.of(sums))


def test_filters_that_do_not_fit_bytes_are_sums_of_parts() -> None:
    filters = np.array([[[255, 5, -256, -1]], [[0, 0, 0, 127]]], np.int16)  # 2 x 1, 4 channels
    parts = depthwise_quantized.pack_filters(filters, 1).reshape(-1, 4, 4)
    assert parts.sum(axis=0)[:, :2].tolist() == [[255, 0], [5, 0], [-256, 0], [-1, 127]]
    assert len(parts) == 3
    assert len(depthwise_quantized.pack_filters(filters.clip(-128, 127), 1)) == 16
    assert depthwise_quantized.pack_filters(filters, 2).reshape(4, 2).tolist()[0] == [255, 0]
