"""Resizing from tables: literals, and any tables against four weighted neighbours, or the nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import resize
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.vector import WIDTH

from tests.kernels.harness import Array, assert_near, call, largest

ONE = 1024


@dataclass(frozen=True)
class Axis:
    """Lower and upper neighbours, and the distance from the lower in 1/1024."""

    lower: list[int]
    upper: list[int]
    distance: list[int]

    def tables(self, name: str, dtype: Any) -> dict[str, Any]:
        weight = np.array(self.distance, dtype)
        return {
            f"{name}_lower": np.array(self.lower, np.int32),
            f"{name}_upper": np.array(self.upper, np.int32),
            f"{name}_weight": weight / dtype(ONE) if dtype is np.float32 else weight,
        }


def interpolate(x: Array, rows: Axis, columns: Axis) -> Array:
    batch, in_h, in_w, channels = x.shape
    out_h, out_w = len(rows.lower), len(columns.lower)
    sizes: dict[str, Any] = {"x": x, "in_h": in_h, "in_w": in_w, "channels": channels}
    fixed = x.dtype not in (np.float32, np.uint8)
    kernel = resize.resize_bilinear_integer if fixed else resize.resize_bilinear
    dtype = np.int32 if fixed else np.float32
    if fixed:
        sizes["line"] = ScratchSpace(np.dtype(np.int32), in_w * channels + resize.PADDING)
    else:
        row = ScratchSpace(np.dtype(np.float32), in_w * channels + resize.PADDING)
        sizes |= {"above": row, "below": row, "rounding": 0.5 if x.dtype == np.uint8 else 0.0}
    out = call(
        kernel,
        batch * out_h * out_w * channels,
        x.dtype,
        extent=batch * out_h,
        **rows.tables("row", dtype),
        **columns.tables("column", dtype),
        **sizes,
    )
    return out.reshape(batch, out_h, out_w, channels)


def exactly(x: Array, rows: Axis, columns: Axis) -> Array:
    """The same in float64, which is exact for 8-bit integers."""
    x = x.astype(np.float64)
    dy = np.array(rows.distance)[:, None, None] / ONE
    dx = np.array(columns.distance)[:, None] / ONE
    top = x[:, rows.lower][:, :, columns.lower] * (1 - dx) + x[:, rows.lower][:, :, columns.upper] * dx
    bottom = x[:, rows.upper][:, :, columns.lower] * (1 - dx) + x[:, rows.upper][:, :, columns.upper] * dx
    result: Array = top * (1 - dy) + bottom * dy
    return result


TWICE = Axis([0, 0, 1, 1], [1, 1, 1, 1], [0, ONE // 2, 0, ONE // 2])


@pytest.mark.parametrize(
    ("dtype", "middle"), [(np.float32, 1.25), (np.uint8, 1), (np.int8, 1), (np.int16, 1)]
)
def test_twice_as_large(dtype: Any, middle: float) -> None:
    x = np.array([[0, 1], [2, 2]], dtype).reshape(1, 2, 2, 1)
    half = 0.5 if dtype is np.float32 else 1
    assert interpolate(x, TWICE, TWICE)[0, :, :, 0].tolist() == [
        [0, half, 1, 1],
        [1, middle, 1.5 if dtype is np.float32 else 2, 1.5 if dtype is np.float32 else 2],
        [2, 2, 2, 2],
        [2, 2, 2, 2],
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_one_pixel_is_repeated(dtype: Any) -> None:
    x = np.arange(2 * 5).astype(dtype)
    out = call(resize.repeat_pixel, 2 * 3 * 5, dtype, extent=2 * 3, x=x, pixels=3, channels=5)
    assert out.reshape(2, 3, 5).tolist() == [[row] * 3 for row in x.reshape(2, 5).tolist()]


def test_signed_integers_round_half_away_from_zero() -> None:
    x = np.array([-1, -2, 1, 2, -1, 0], np.int8).reshape(1, 1, 6, 1)
    between = Axis([0, 2, 4], [1, 3, 5], [ONE // 2] * 3)
    assert interpolate(x, Axis([0], [0], [0]), between).ravel().tolist() == [-2, 2, -1]


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, Axis]:
    """A size, and up to 6 places in it."""
    size = draw(st.integers(1, 5))
    lower = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=6))
    upper = [min(i + 1, size - 1) for i in lower]
    # Multiples of 1/8: float32 products of 8-bit values are exact, and uint8 has one right answer.
    distance = [draw(st.integers(0, 8)) * (ONE // 8) for _ in lower]
    return size, Axis(lower, upper, distance)


@given(
    axes(),
    axes(),
    st.sampled_from([1, 3, 21, resize.PADDING, resize.PADDING + 1]),
    st.sampled_from([np.float32, np.uint8, np.int8, np.int16]),
    st.integers(0, 99),
)
def test_any_tables(
    rows: tuple[int, Axis], columns: tuple[int, Axis], channels: int, dtype: Any, seed: int
) -> None:
    shape = (2, rows[0], columns[0], channels)
    rng = np.random.default_rng(seed)
    axes_ = (rows[1], columns[1])
    if dtype is np.float32:
        real = rng.standard_normal(shape).astype(np.float32)
        assert_near(interpolate(real, *axes_), exactly(real, *axes_), 4, largest(real))
        return
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    exact = exactly(x, *axes_)
    rounded = np.floor(exact + 0.5) if dtype is np.uint8 else np.trunc(exact + np.copysign(0.5, exact))
    np.testing.assert_array_equal(interpolate(x, *axes_), rounded)


@given(
    axes(), axes(), st.sampled_from([1, 2, WIDTH, WIDTH + 5, 2 * WIDTH, 70]),
    st.sampled_from([np.float32, np.uint8]), st.integers(0, 99),
)  # fmt: skip
def test_a_mask_is_where_the_resized_scores_are_largest(
    rows: tuple[int, Axis], columns: tuple[int, Axis], channels: int, dtype: Any, seed: int
) -> None:
    (in_h, down), (in_w, across) = rows, columns
    x = np.random.default_rng(seed).integers(0, 4, (2, in_h, in_w, channels)).astype(dtype)
    out_h, out_w = len(down.lower), len(across.lower)
    line = ScratchSpace(np.dtype(np.float32), in_w * channels + resize.PADDING)
    floats, of_bytes = resize.resize_bilinear_argmax_float, resize.resize_bilinear_argmax_bytes
    found = call(
        floats if dtype is np.float32 else of_bytes, 2 * out_h * out_w, np.int32, extent=2 * out_h,
        x=x, in_h=in_h, in_w=in_w, channels=channels, above=line, below=line,
        rounding=0.0 if dtype is np.float32 else 0.5,
        scores=ScratchSpace(np.dtype(dtype), out_w * channels + resize.PADDING),
        **down.tables("row", np.float32), **across.tables("column", np.float32),
    )  # fmt: skip
    scores = interpolate(x, down, across)
    np.testing.assert_array_equal(found.reshape(2, out_h, out_w), scores.argmax(-1))


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(0, 7), st.integers(0, 7)),
    st.sampled_from([1, 3, 21, WIDTH]),
    st.sampled_from([np.float32, np.uint8, np.int8, np.int16]),
    st.integers(0, 99),
)
def test_nearest(shape: Any, size: tuple[int, int], channels: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 128, (*shape, channels)).astype(dtype)
    rows = np.sort(rng.integers(0, shape[1], size[0])).astype(np.int32)
    columns = rng.integers(0, shape[2], size[1]).astype(np.int32)
    line = ScratchSpace(np.dtype(dtype), size[1] * channels + resize.PADDING)
    expected = x[:, rows[:, None], columns]
    out = call(
        resize.resize_nearest, expected.size, dtype, extent=shape[0] * size[0],
        x=x, rows=rows, columns=columns, line=line, in_h=shape[1], in_w=shape[2], channels=channels,
    )  # fmt: skip
    np.testing.assert_array_equal(out.reshape(expected.shape), expected)
