"""Fixed point: ties, signs and ends, against Python's integers; QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import requantize as fixed
from minilite_kernels.requantize import (
    guarded_factor,
    multiply_by_quantized_multiplier,
    multiply_guarded_double_rounding,
    round_half_away,
)

from tests.kernels.harness import Array, all_scaled, call, multipliers, scaled

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)


@pytest.mark.parametrize(
    ("value", "multiplier", "shift", "result"),
    [
        (7, 1 << 30, 1, 7),
        (7, 1 << 30, 0, 4),  # 3.5: the first rounding takes ties up
        (-7, 1 << 30, 0, -3),  # -3.5
        (5, 1 << 30, -1, 2),  # 2.5 -> 3 -> 1.5 -> 2: rounded twice
        (-5, 1 << 30, -1, -1),  # -2.5 -> -2 -> -1
        (-6, 1 << 30, -1, -2),  # -3 -> -1.5: the second rounding takes ties away from zero
        (1 << 30, 1 << 30, 2, 0),  # 2**32 does not fit 32 bits
        (123, 0, 0, 0),
    ],
)
def test_rounding_happens_twice(value: int, multiplier: int, shift: int, result: int) -> None:
    assert multiply_by_quantized_multiplier(value, multiplier, shift) == result
    assert scaled(value, multiplier, shift) == result


@given(INT32, multipliers, st.integers(-31, 8))
@example(-(1 << 31), (1 << 31) - 1, -31)
@example((1 << 31) - 1, (1 << 31) - 1, 0)
def test_any_factor(value: int, multiplier: int, shift: int) -> None:
    assert multiply_by_quantized_multiplier(value, multiplier, shift) == scaled(value, multiplier, shift)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.5, 1),
        (-0.5, -1),
        (1.5, 2),
        (2.5, 3),
        (float(np.nextafter(np.float32(0.5), np.float32(0))), 0),
        (8388609.0, 8388609),
        (-2.4, -2),
    ],
)
def test_halves_go_away_from_zero(value: float, rounded: int) -> None:
    assert round_half_away(np.float32(value)) == rounded


def quantize(x: Array, scale: float, zero: int, dtype: Any = np.uint8) -> Array:
    info = np.iinfo(dtype)
    limits: dict[str, Any] = {"low": int(info.min), "high": int(info.max)}
    return call(fixed.quantize, x.size, dtype, extent=x.size, x=x, scale=scale, zero=zero, **limits)


def test_quantize() -> None:
    x = np.array([0, 0.25, 0.75, -0.25, 1e30, -1e30, np.inf, -np.inf, np.nan], np.float32)
    # An infinity less itself is NaN, of which Python warns where compiled code does not.
    with np.errstate(invalid="ignore"):
        assert quantize(x, 0.5, 100).tolist() == [100, 101, 102, 99, 255, 0, 255, 0, 0]
        assert quantize(x, 0.5, -100, np.int8).tolist() == [-100, -99, -98, -101, 127, -128, 127, -128, -128]


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    st.floats(2.0**-10, 2.0**10, width=32),
    st.integers(0, 255),
)
def test_quantize_divides_in_float32(values: list[float], scale: float, zero: int) -> None:
    x = np.array(values, np.float32)
    exact = []
    for quotient in (x / np.float32(scale)).tolist():
        whole = floor(abs(Fraction(quotient)) + Fraction(1, 2))
        exact.append((whole if quotient >= 0 else -whole) + zero)
    assert quantize(x, scale, zero).tolist() == np.clip(exact, 0, 255).tolist()


@pytest.mark.parametrize(("source", "target"), [(np.uint8, np.int8), (np.int8, np.uint8), (np.int8, np.int8)])
def test_requantize_from_bytes_to_bytes(source: Any, target: Any) -> None:
    info, limits = np.iinfo(source), np.iinfo(target)
    x = np.arange(info.min, info.max + 1).astype(source)
    out = call(
        fixed.requantize,
        256,
        target,
        extent=256,
        x=x,
        in_zero=int(info.min) + 3,
        multiplier=1518500250,
        shift=0,
        out_zero=int(limits.min) + 7,
        low=int(limits.min),
        high=int(limits.max),
    )
    exact = [scaled(i - 3, 1518500250, 0) + 7 + int(limits.min) for i in range(256)]
    assert out.tolist() == np.clip(exact, limits.min, limits.max).tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
def test_dequantize(dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.min, 3, 4, info.max], dtype)
    out = call(fixed.dequantize, 4, np.float32, extent=4, x=x, scale=0.5, zero=3)
    assert out.tolist() == [(info.min - 3) / 2, 0, 0.5, (info.max - 3) / 2]


def test_dequantize_rounds_once() -> None:
    scale = float(np.float32(0.1))
    x = np.arange(256).astype(np.uint8)
    out = call(fixed.dequantize, 256, np.float32, extent=256, x=x, scale=scale, zero=0)
    np.testing.assert_array_equal(out, (np.arange(256) * scale).astype(np.float32))


@given(
    st.one_of(multipliers, st.integers(1 << 20, (1 << 21) - 1).map(lambda m: m << 10)),
    st.integers(-31, 0),
    st.sampled_from([7, 15, 20]),
    st.integers(0, 99),
)
def test_guarded_factors_are_the_general_ones(multiplier: int, shift: int, guard: int, seed: int) -> None:
    """Ties as well, which multipliers of few bits make."""
    largest = 1 << (15 if guard == 15 else 8)
    values = np.random.default_rng(seed).integers(-largest, largest, 20, np.int32)
    by = guarded_factor(multiplier, shift, guard)
    given = [multiply_guarded_double_rounding(value, by) for value in values]
    assert given == all_scaled(values.astype(np.int64) << guard, multiplier, shift).tolist()
