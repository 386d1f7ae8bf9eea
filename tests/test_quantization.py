from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.graph import Activation, Quantization, Tensor, TensorType
from minilite.quantization import (
    activation_range,
    multiply_by_quantized_multiplier_double_rounding,
    output_range,
    quantize_multiplier,
    quantize_rows_asymmetric,
    quantize_rows_symmetric,
    requantize,
    requantize_in_float64,
    round_half_away,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.parametrize(
    ("real", "multiplier", "shift"),
    [
        (0.0, 0, 0),
        (1.0, 1 << 30, 1),
        (0.5, 1 << 30, 0),
        (0.75, 3 << 29, 0),
        (3.0, 3 << 29, 2),
        # Rounds up to 2**31, which does not fit: halved, one shift more.
        (1 - 2.0**-40, 1 << 30, 1),
        (2.0**-32, 1 << 30, -31),
        (2.0**-33, 0, 0),
    ],
)
def test_quantize_multiplier(real: float, multiplier: int, shift: int) -> None:
    assert tuple(int(v) for v in quantize_multiplier(real)) == (multiplier, shift)


@given(st.floats(2.0**-30, 2.0**30))
def test_quantize_multiplier_is_the_nearest(real: float) -> None:
    multiplier, shift = (int(v) for v in quantize_multiplier(real))
    assert 1 << 30 <= multiplier < 1 << 31
    exponent = Fraction(2) ** (shift - 31)
    assert abs(multiplier * exponent - Fraction(real)) <= exponent / 2


def test_quantize_multiplier_of_many() -> None:
    multipliers, shifts = quantize_multiplier([0.25, 6.0])
    assert (multipliers.tolist(), shifts.tolist()) == ([1 << 30, 3 << 29], [-1, 3])
    assert multipliers.dtype == shifts.dtype == np.int32


def gemmlowp_high_mul(a: int, b: int) -> int:
    """The reference as it is written in C: a nudge by sign, then a division that truncates."""
    if a == b == -(2**31):
        return 2**31 - 1
    product = a * b
    nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
    quotient = abs(product + nudge) >> 31
    return quotient if product + nudge >= 0 else -quotient


@given(INT32, INT32)
def test_high_mul_truncates_like_c(a: int, b: int) -> None:
    assert int(saturating_rounding_doubling_high_mul(a, b)) == gemmlowp_high_mul(a, b)


def test_high_mul_ties_go_up() -> None:
    half = 1 << 30
    np.testing.assert_array_equal(saturating_rounding_doubling_high_mul([-3, -1, 1, 3], half), [-1, 0, 1, 2])
    assert int(saturating_rounding_doubling_high_mul(-(2**31), -(2**31))) == 2**31 - 1


def test_divide_by_pot_ties_go_away_from_zero() -> None:
    np.testing.assert_array_equal(
        rounding_divide_by_pot([-6, -5, -3, -2, -1, 0, 1, 2, 3, 6], 2), [-2, -1, -1, -1, 0, 0, 0, 1, 1, 2]
    )
    np.testing.assert_array_equal(rounding_divide_by_pot([-3, 3], [0, 1]), [-3, 2])


@given(INT32, st.integers(0, 31))
def test_divide_by_pot_is_the_nearest(value: int, exponent: int) -> None:
    exact = Fraction(value, 2**exponent)
    expected = int(abs(exact) + Fraction(1, 2)) * (1 if value >= 0 else -1)
    assert int(rounding_divide_by_pot(value, exponent)) == expected


def test_sums_are_of_32_bits() -> None:
    assert int(multiply_by_quantized_multiplier_double_rounding((1 << 32) + 6, 1 << 30, 0)) == 3


def test_two_roundings_differ_from_one() -> None:
    # 11 * 0.5 = 5.5 -> 6, 6 / 4 = 1.5 -> 2; in one step 11 / 8 = 1.375 -> 1.
    assert int(multiply_by_quantized_multiplier_double_rounding(11, 1 << 30, -2)) == 2


def test_left_shift_is_of_32_bits() -> None:
    # 2**30 << 1 does not fit and becomes -2**31, as in C.
    assert int(multiply_by_quantized_multiplier_double_rounding(1 << 30, 1 << 30, 1)) == -(1 << 30)
    assert int(multiply_by_quantized_multiplier_double_rounding(5, 3 << 29, 2)) == 15


def test_round_half_away() -> None:
    below_half = np.nextafter(np.float32(0.5), np.float32(0))
    values = np.array([-2.5, -1.5, -0.5, below_half, 0.5, 1.5, 2.5, 8388609], np.float32)
    np.testing.assert_array_equal(round_half_away(values), [-3, -2, -1, 0, 1, 2, 3, 8388609])
    assert round_half_away(values).dtype == np.float32


def quantized(scale: float, zero_point: int, kind: TensorType = TensorType.UINT8) -> Tensor:
    q = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
    return Tensor(0, "y", kind, (), (), q)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (Activation.NONE, (0, 255)),
        (Activation.RELU, (10, 255)),
        (Activation.RELU6, (10, 34)),
        (Activation.RELU_N1_TO_1, (6, 14)),
    ],
)
def test_quantized_activation_ranges(activation: Activation, expected: tuple[int, int]) -> None:
    assert output_range(activation, quantized(0.25, 10)) == expected


def test_quantized_activation_range_rounds_half_away_and_stays_in_the_type() -> None:
    # 6 / 4 = 1.5.
    assert output_range(Activation.RELU6, quantized(4.0, 0)) == (0, 2)
    assert output_range(Activation.RELU6, quantized(0.01, -128, TensorType.INT8)) == (-128, 127)
    assert output_range(Activation.RELU_N1_TO_1, quantized(2.0, 0, TensorType.INT8)) == (-1, 1)
    # 6 / 1e-40 is no float32 any more.
    assert output_range(Activation.RELU6, quantized(1e-40, 3)) == (3, 255)


def test_activation_ranges_of_32_bits_are_numbers_whatever_scale_the_file_gives() -> None:
    for scale in (0.5, 0.0):
        assert output_range(Activation.RELU6, quantized(scale, 0, TensorType.INT32)) == (0, 6)


def test_activation_ranges_of_numbers() -> None:
    largest = float(np.finfo(np.float32).max)
    assert activation_range(Activation.NONE, np.float32) == (-largest, largest)
    assert activation_range(Activation.RELU, np.float64) == (0, largest)
    assert activation_range(Activation.RELU6, np.int32) == (0, 6)
    assert activation_range(Activation.RELU, np.int64) == (0, 2**63 - 1)


def test_requantize_scales_moves_and_clamps() -> None:
    values = requantize([-100, -3, 3, 400], 1 << 30, 0, quantized(1.0, 10), (0, 100))
    np.testing.assert_array_equal(values, [0, 9, 12, 100])
    assert values.dtype == np.uint8


def test_rows_are_quantized_symmetrically() -> None:
    rows = np.array([[127, -1, 0.5, -0.5], [0, 0, 0, 0], [-2, 1, 0, 0]], np.float32)
    values, scales = quantize_rows_symmetric(rows)
    np.testing.assert_array_equal(values, [[127, -1, 1, -1], [0, 0, 0, 0], [-127, 64, 0, 0]])
    np.testing.assert_array_equal(scales, np.array([1, 1, 2 / 127], np.float32))


def test_rows_are_quantized_asymmetrically() -> None:
    # 0 to 255 in steps of 1; nothing below zero; a row of zeros; the range is widened to hold zero.
    rows = np.array([[-128, 127, 0.5, -0.5], [0, 255, 1, 2], [0, 0, 0, 0], [-51, -25.5, -51, -1]], np.float32)
    values, scales, zero_points = quantize_rows_asymmetric(rows)
    np.testing.assert_array_equal(
        values, [[-128, 127, 1, -1], [-128, 127, -127, -126], [0, 0, 0, 0], [-128, -1, -128, 122]]
    )
    np.testing.assert_array_equal(scales, np.array([1, 1, 1, 0.2], np.float32))
    np.testing.assert_array_equal(zero_points, [0, -128, 0, 127])


def test_requantize_in_float64_rounds_half_away() -> None:
    output = Tensor(0, "y", TensorType.INT8, (6,), (6,), Quantization(np.ones(1, np.float32), np.array([5])))
    values = requantize_in_float64([1, 3, -1, -3, 1000, -1000], 0.5, output, (-128, 127))
    np.testing.assert_array_equal(values, [6, 7, 4, 3, 127, -128])
