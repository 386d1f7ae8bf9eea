"""exp, log, tanh, logistic and erfc of float32, written so that LLVM puts a loop over them into vectors.

Calls of C's library are made one element at a time. These are straight lines of arithmetic with selections
instead of branches, a few units in the last place away from the right value (``tests/test_transcendental``
measures how many), with infinities, NaN and denormals as in C.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from minilite_kernels.kernel import helper
from minilite_kernels.vector import FUSED, operation

_F32, _I32 = np.float32, np.int32


@operation(lambda value: value.view(np.int32))
def bits_of(context: Any, value: Any) -> Any:
    """The bits of a float32 as an int32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), emit


@operation(lambda bits: bits.view(np.float32))
def float_of(context: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), emit


@operation(lambda a, b, c: np.float32(np.float64(a) * np.float64(b) + np.float64(c)))
def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` on float32, rounded once where the host can."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, c = arguments
        if not FUSED:
            return builder.fadd(builder.fmul(a, b), c)
        return builder.fma(a, b, c)

    return types.float32(types.float32, types.float32, types.float32), emit


@helper
def _reduced(x: np.float32) -> tuple[np.float32, np.float32]:
    """``x = n * log(2) + rest``: (n as float + magic, rest in [-log(2)/2, log(2)/2])."""
    # Adding 1.5 * 2**23 leaves the nearest whole number in the lowest bits.
    shifted = fma(x, _F32(1.44269504), _F32(12582912.0))
    n = shifted - _F32(12582912.0)
    # log(2) in two parts, the first short enough for n to multiply without rounding.
    rest = fma(n, _F32(-0.693145752), x)
    return shifted, fma(n, _F32(-1.42860677e-6), rest)


@helper
def _exp_series(r: np.float32) -> np.float32:
    """``(exp(r) - 1 - r) / r**2`` for small r (minimax in [-0.3466, 0.3466])."""
    p = fma(r, _F32(1.98756915e-4), _F32(1.39819994e-3))
    p = fma(r, p, _F32(8.33345165e-3))
    p = fma(r, p, _F32(4.16657961e-2))
    p = fma(r, p, _F32(1.66666657e-1))
    return fma(r, p, _F32(0.5))


@helper
def exp(x: np.float32) -> np.float32:
    """``e**x``."""
    # Past these limits nothing changes any more; NaN passes.
    x = _F32(89.0) if x > _F32(89.0) else x
    x = _F32(-104.0) if x < _F32(-104.0) else x
    shifted, r = _reduced(x)
    power = fma(r * r, _exp_series(r), r) + _F32(1.0)
    # In two steps, so that the last one may overflow, or round to a denormal.
    n = bits_of(shifted) - _I32(0x4B400000)
    half = n >> _I32(1)
    first = float_of(_I32((half + _I32(127)) << _I32(23)))
    second = float_of(_I32((n - half + _I32(127)) << _I32(23)))
    return power * first * second


@helper
def log(x: np.float32) -> np.float32:
    """Natural logarithm."""
    tiny = x < _F32(1.17549435e-38)
    scaled = x * _F32(8388608.0) if tiny else x
    # The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)).
    bits = bits_of(scaled)
    n = _I32(bits - _I32(0x3F3504F3)) >> _I32(23)
    m = float_of(_I32(bits - _I32(n << _I32(23)))) - _F32(1.0)
    exponent = _F32(n) - (_F32(23.0) if tiny else _F32(0.0))
    p = fma(m, _F32(7.0376836292e-2), _F32(-1.1514610310e-1))
    p = fma(m, p, _F32(1.1676998740e-1))
    p = fma(m, p, _F32(-1.2420140846e-1))
    p = fma(m, p, _F32(1.4249322787e-1))
    p = fma(m, p, _F32(-1.6668057665e-1))
    p = fma(m, p, _F32(2.0000714765e-1))
    p = fma(m, p, _F32(-2.4999993993e-1))
    p = fma(m, p, _F32(3.3333331174e-1))
    square = m * m
    tail = fma(exponent, _F32(-2.12194440e-4), m * square * p)
    tail = fma(square, _F32(-0.5), tail)
    result = fma(exponent, _F32(0.693359375), m + tail)
    result = x if x == _F32(np.inf) else result
    result = _F32(-np.inf) if x == _F32(0.0) else result
    return _F32(np.nan) if not x >= _F32(0.0) else result


@helper
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent."""
    magnitude = abs(x)
    square = x * x
    # Near 0 a series; elsewhere 1 - 2 / (exp(2x) + 1).
    p = fma(square, _F32(-5.70498872745e-3), _F32(2.06390887954e-2))
    p = fma(square, p, _F32(-5.37397155531e-2))
    p = fma(square, p, _F32(1.33314422036e-1))
    p = fma(square, p, _F32(-3.33332819422e-1))
    near = fma(x * square, p, x)
    far = _F32(1.0) - _F32(2.0) / (exp(magnitude + magnitude) + _F32(1.0))
    far = -far if x < _F32(0.0) else far
    return near if magnitude < _F32(0.625) else far


@helper
def logistic(x: np.float32) -> np.float32:
    """``1 / (1 + exp(-x))``."""
    # Of the magnitude, so that no exponential overflows: small results keep all their digits.
    small = exp(-abs(x))
    return (small if x < _F32(0.0) else _F32(1.0)) / (_F32(1.0) + small)


@helper
def expm1_of_negative(x: np.float32) -> np.float32:
    """``exp(x) - 1`` for x <= 0."""
    # Below, the result is -1 to the last bit.
    x = _F32(-25.0) if x < _F32(-25.0) else x
    shifted, r = _reduced(x)
    scale = float_of(_I32((bits_of(shifted) - _I32(0x4B400000) + _I32(127)) << _I32(23)))
    return fma(scale, fma(r * r, _exp_series(r), r), scale - _F32(1.0))


@helper
def erfc(x: np.float32) -> np.float32:
    """What the error function lacks to one."""
    z = abs(x)
    # Past 11 there is nothing left; NaN passes.
    z = _F32(11.0) if z > _F32(11.0) else z
    # erfc(z) * exp(z**2), a polynomial of t in (0, 1] times t.
    t = _F32(1.0) / fma(_F32(0.35), z, _F32(1.0))
    p = fma(t, _F32(0.039369415), _F32(-0.16422154))
    p = fma(t, p, _F32(0.19400032))
    p = fma(t, p, _F32(-0.044569697))
    p = fma(t, p, _F32(0.10118291))
    p = fma(t, p, _F32(0.13835178))
    p = fma(t, p, _F32(0.15388083))
    p = fma(t, p, _F32(0.18731569))
    p = fma(t, p, _F32(0.19721031))
    p = fma(t, p, _F32(0.19748))
    # The square in two parts: an error of it is one of the exponential's, as many times as large.
    square = z * z
    lost = fma(z, z, -square)
    tail = exp(-square) * (_F32(1.0) - lost) * (t * p)
    return _F32(2.0) - tail if x < _F32(0.0) else tail
