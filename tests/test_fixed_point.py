from __future__ import annotations

import numpy as np
import pytest

from minilite import fixed_point

ALL = np.arange(-(1 << 15), 1 << 15)


def test_numbers_of_note() -> None:
    one = (1 << 15) - 1
    assert fixed_point.exp_on_negative_values(0, 3, 16) == one
    assert fixed_point.tanh(0, 3, 16) == 0
    assert fixed_point.logistic(0, 3, 16) == 1 << 14
    assert fixed_point.one_over_one_plus(0, 16) == pytest.approx(one, abs=4)
    assert fixed_point.multiply(-(1 << 15), -(1 << 15), 16) == one
    assert fixed_point.multiply_by_pot(3, -1, 16) == 2
    assert fixed_point.multiply_by_pot(-3, -1, 16) == -2
    assert fixed_point.multiply_by_pot(20000, 1, 16) == one


@pytest.mark.parametrize("integer_bits", range(7))
def test_functions_of_16_bits(integer_bits: int) -> None:
    x = ALL / 2.0 ** (15 - integer_bits)
    np.testing.assert_allclose(fixed_point.tanh(ALL, integer_bits, 16) / 2.0**15, np.tanh(x), atol=2.0**-11)
    logistic = fixed_point.logistic(ALL, integer_bits, 16) / 2.0**15
    np.testing.assert_allclose(logistic, 1 / (1 + np.exp(-x)), atol=2.0**-12)


def test_exp_of_32_bits() -> None:
    raw = np.arange(-(1 << 31), 1, 99991)
    exp = fixed_point.exp_on_negative_values(raw, 5, 32) / 2.0**31
    np.testing.assert_allclose(exp, np.exp(raw / 2.0**26), atol=2.0**-21)


def test_functions_are_odd_and_monotonous_at_their_ends() -> None:
    for integer_bits in (3, 4):
        tanh = fixed_point.tanh(ALL, integer_bits, 16)
        np.testing.assert_array_equal(tanh[1 << 15 :][1:], -tanh[1 : 1 << 15][::-1])
        assert np.abs(tanh).max() < 1 << 15


def test_logarithms() -> None:
    x = np.array([1, 1.5, 2, 10, 255, 4000])
    y = fixed_point.log_of_at_least_one(np.round(x * 2.0**19).astype(np.int64))
    np.testing.assert_allclose(y * 2.0**-26, np.log(x), atol=1e-6)


def test_inverse_roots() -> None:
    x = np.array([1, 2, 3, 100, 65025, (1 << 29) + 5, (1 << 31) - 1])
    multiplier, shift = fixed_point.inverse_sqrt(x)
    np.testing.assert_allclose(multiplier * 2.0 ** (shift - 31.0), 1 / np.sqrt(x), rtol=2e-6)
    # Nothing is taken for one.
    np.testing.assert_array_equal(fixed_point.inverse_sqrt(0), fixed_point.inverse_sqrt(1))
