"""exp, logistic and tanh in fixed point, as gemmlowp's ``fixedpoint/fixedpoint.h`` has them, on NumPy arrays.

A number is an integer of ``bits`` bits, 16 or 32, of which one is the sign, ``integer_bits`` stand before
the point and the rest behind it. Results lie in [-1, 1] and have no integer bits; 1 itself is the largest
integer. All integers are held in int64. What C++ adds without saturating stays in range here, as it does
there, but for what a comment says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minilite.quantization import (
    Int64Array,
    leading_sign_bits,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)

# Constants are given in 31 fractional bits (or as many as the type that holds them leaves).
_EXP_OF_MINUS_EIGHTH = 1895147668
_THIRD = 715827883
_EXPS_OF_MINUS_POWERS = {
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
"""``exp(-2**key)``."""
_48_OVER_17 = 1515870810
_MINUS_32_OVER_17 = -1010580540
"""Both with two integer bits."""


def _constant(value: int, bits: int) -> int:
    return int(rounding_divide_by_pot(value, 32 - bits))


multiply = saturating_rounding_doubling_high_mul
"""The product of two numbers of ``bits`` bits, with as many integer bits as they have together."""


def multiply_by_pot(a: npt.ArrayLike, exponent: int, bits: int) -> Int64Array:
    """``a * 2**exponent``, saturating, or rounded with ties away from zero.

    ``SaturatingRoundingMultiplyByPOT``; also ``Rescale``: fewer integer bits are a larger integer.
    """
    value = np.asarray(a, np.int64)
    if exponent <= 0:
        return rounding_divide_by_pot(value, -exponent)
    return saturate_to_bits(value << exponent, bits)


def saturate_to_bits(value: Int64Array, bits: int) -> Int64Array:
    """What fits in ``bits`` bits, the nearest end of what does not; still held in int64."""
    limit = 1 << (bits - 1)
    saturated: Int64Array = np.clip(value, -limit, limit - 1)
    return saturated


def exp_on_negative_values(a: npt.ArrayLike, integer_bits: int, bits: int) -> Int64Array:
    """``exp(a)`` of numbers that are not positive: a polynomial for the rest, and a table of powers."""
    a = np.asarray(a, np.int64)
    fraction = bits - 1 - integer_bits
    quarter = 1 << (fraction - 2)
    rest = (a & (quarter - 1)) - quarter
    result = _exp_of_last_quarter(multiply_by_pot(rest, integer_bits, bits), bits)
    whole = rest - a
    for exponent, factor in _EXPS_OF_MINUS_POWERS.items():
        if integer_bits > exponent:
            has_it = whole & (1 << (fraction + exponent)) != 0
            result = np.where(has_it, multiply(result, _constant(factor, bits), bits), result)
    if integer_bits > 5:
        result = np.where(a < -(32 << fraction), 0, result)
    return np.where(a == 0, (1 << (bits - 1)) - 1, result)


def _exp_of_last_quarter(a: Int64Array, bits: int) -> Int64Array:
    """``exp(a)`` for a in [-1/4, 0): the Taylor polynomial around -1/8."""
    x = a + (1 << (bits - 4))
    x2 = multiply(x, x, bits)
    x3 = multiply(x2, x, bits)
    x4 = multiply(x2, x2, bits)
    cubic = multiply(multiply_by_pot(x4, -2, bits) + x3, _constant(_THIRD, bits), bits) + x2
    series = x + multiply_by_pot(cubic, -1, bits)
    base = _constant(_EXP_OF_MINUS_EIGHTH, bits)
    return saturate_to_bits(base + multiply(base, series, bits), bits)


def _two_over_one_plus(a: Int64Array, bits: int) -> Int64Array:
    """``2 / (1 + a)`` for a in [0, 1], with two integer bits: Newton's method on half the denominator."""
    one = (1 << (bits - 1)) - 1
    half = (a + one + 1) >> 1
    x = _constant(_48_OVER_17, bits) + multiply(half, _constant(_MINUS_32_OVER_17, bits), bits)
    for _ in range(3):
        error = (1 << (bits - 3)) - multiply(half, x, bits)
        x = x + multiply_by_pot(multiply(x, error, bits), 2, bits)
    return x


def one_over_one_plus(a: npt.ArrayLike, bits: int) -> Int64Array:
    """``1 / (1 + a)`` for a in [0, 1] (``one_over_one_plus_x_for_x_in_0_1``)."""
    # Half of it is the same integer with one integer bit.
    return multiply_by_pot(_two_over_one_plus(np.asarray(a, np.int64), bits), 1, bits)


def reciprocal(value: npt.ArrayLike) -> tuple[Int64Array, Int64Array]:
    """``1 / value`` as ``multiplier * 2**(-31 - shift)``, by three steps of Newton and Raphson.

    ``GetReciprocal`` of TFLite's ``internal/common.h`` with 31 integer bits: ``value`` in [1, 2**31), the
    multiplier in [2**30, 2**31).
    """
    value = np.asarray(value, np.int64)
    shift = 30 - leading_sign_bits(value)
    fraction = (value << (31 - shift)) - (1 << 31)
    return one_over_one_plus(fraction, 32), shift


def truncated_quotient(a: Int64Array, b: Int64Array | int) -> Int64Array:
    """C's division of integers, towards zero."""
    quotient: Int64Array = np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)
    return quotient


def scaled_quotient(
    dividend: npt.ArrayLike, divisor: npt.ArrayLike, multiplier: int, shift: int
) -> Int64Array:
    """``dividend / divisor * multiplier * 2**(shift - 31)``: ``DivElementwise`` of ``reference/div.h``.

    The quotient, to 31 bits, is the product of the dividend and a ``reciprocal``; it is scaled with double
    rounding. No divisor is 0, all integers have 17 bits at most.
    """
    dividend, divisor = np.asarray(dividend, np.int64), np.asarray(divisor, np.int64)
    inverse, inverse_shift = reciprocal(np.abs(divisor))
    signed = np.where(divisor < 0, -dividend, dividend)
    headroom = leading_sign_bits(signed)
    scaled = multiply(multiply(signed << headroom, inverse, 32), multiplier, 32)
    # Where this shifts left the result is out of every range: TFLite's is undefined.
    total = shift - inverse_shift - headroom
    return rounding_divide_by_pot(scaled << np.clip(total, 0, 31), np.clip(-total, 0, 62))


def logistic(a: npt.ArrayLike, integer_bits: int, bits: int) -> Int64Array:
    """``1 / (1 + exp(-a))``."""
    a = np.asarray(a, np.int64)
    positive = one_over_one_plus(exp_on_negative_values(-np.abs(a), integer_bits, bits), bits)
    one = (1 << (bits - 1)) - 1
    return np.where(a == 0, 1 << (bits - 2), np.where(a > 0, positive, one - positive))


def tanh(a: npt.ArrayLike, integer_bits: int, bits: int) -> Int64Array:
    """``tanh(a)``: ``(1 - x) / (1 + x)`` of ``x = exp(-2 |a|)``."""
    a = np.asarray(a, np.int64)
    # Twice a number is the same integer with one more integer bit.
    x = exp_on_negative_values(-np.abs(a), integer_bits + 1, bits)
    one = 1 << (bits - 3)
    positive = multiply_by_pot(_two_over_one_plus(x, bits) - one, 2, bits)
    return np.where(a == 0, 0, np.where(a < 0, -positive, positive))


def inverse_sqrt(value: npt.ArrayLike) -> tuple[Int64Array, Int64Array]:
    """``1 / sqrt(value)`` of int32 as ``multiplier * 2**(shift - 31)``; of 0 as of 1.

    Five steps of Newton's method with three integer bits: ``GetInvSqrtQuantizedMultiplierExp`` of TFLite's
    ``internal/common.cc``, its shift to the left.
    """
    value = np.asarray(value, np.int64)
    scaled, shift = value, np.full(value.shape, 11, np.int64)
    for _ in range(2):  # down to less than 2**29
        large = scaled >= 1 << 29
        scaled, shift = np.where(large, scaled // 4, scaled), shift + large
    # As many pairs of bits up as keep it below 2**29.
    used = np.frexp(np.maximum(scaled, 1).astype(np.float64))[1].astype(np.int64)
    pairs = (31 - used) // 2 - 1
    scaled, shift = scaled << (2 * pairs), shift - pairs
    half = rounding_divide_by_pot(scaled >> 1, 1)
    x = np.full(value.shape, 1 << 28, np.int64)
    for _ in range(5):
        cube = multiply_by_pot(multiply(multiply(x, x, 32), x, 32), 6, 32)
        x = multiply_by_pot(multiply((1 << 28) + (1 << 27), x, 32) - multiply(half, cube, 32), 3, 32)
    x = multiply(x, 1518500250, 32)
    x, shift = np.where(shift < 0, x << np.maximum(-shift, 0), x), np.maximum(shift, 0)
    return np.where(value <= 1, (1 << 31) - 1, x), np.where(value <= 1, 0, -shift)


def log_of_at_least_one(raw: npt.ArrayLike) -> Int64Array:
    """``log(x)`` for x >= 1, of 32 bits, from 12 integer bits to 5.

    x is a power of two times a number near ``sqrt(sqrt(1/2))``, whose logarithm is a quotient of
    polynomials: ``log_x_for_x_greater_than_or_equal_to_1`` of TFLite's ``internal/common.h``.
    """

    def times(a: npt.ArrayLike, b: npt.ArrayLike) -> Int64Array:
        return multiply(a, b, 32)

    x = np.asarray(raw, np.int64)
    # Two candidates: x with its first bit at the top, times sqrt(1/2); and x as far as that goes after it.
    room = leading_sign_bits(x)
    near = np.minimum(times(x << room, _SQRT_HALF) << 1, (1 << 31) - 1)
    power = ((11 - room) << 25) + (1 << 23)
    other_room = leading_sign_bits(times(x, _SQRT_HALF))
    other = saturate_to_bits(x << other_room, 32)
    r = np.minimum(near, other)
    power = np.maximum(power, ((12 - other_room) << 25) - (1 << 23))
    p = rounding_divide_by_pot(r + _FOURTH_ROOT_OF_HALF, 1)
    q = 2 * (r - _FOURTH_ROOT_OF_HALF)
    square = times(q, q)
    numerator = times(q, r) + times(times(q, square), _LOG_CUBE)
    denominator = times(p, _LOG_ONE + q + times(_LOG_SQUARE, square)) + times(_LOG_LINE, q)
    quotient = times(rounding_divide_by_pot(numerator, 6), one_over_one_plus(denominator, 32))
    # The sum has 6 integer bits.
    return multiply_by_pot(times(power, _LOG_2) + quotient, 1, 32)


_LOG_2 = 1488522236
_SQRT_HALF = 1518500250
_FOURTH_ROOT_OF_HALF = 1805811301
# Of the quotient, as fractions of the fourth root of two: 11/240; 1/20; 2 over it, less it; 1/4.
_LOG_CUBE = 117049297
_LOG_SQUARE = 127690142
_LOG_ONE = 1057819769
_LOG_LINE = 638450708
