"""Each output element from the input element at the same place.

Loops count from 0 over slices: an index that begins at a variable may be negative to Numba, which then
counts from the end, and what is left for LLVM are gathers instead of loads (2.4 times as long for EXP).
"""

from __future__ import annotations

import numpy as np

from minilite_kernels import transcendental
from minilite_kernels.kernel import Input, Output, kernel


@kernel
def clamp(x: Input, out: Output, low: float, high: float, start: int, stop: int) -> None:
    """The rectifiers of float32; NaN stays NaN."""
    x, out = x[start:stop], out[start:stop]
    floor, ceiling = np.float32(low), np.float32(high)
    for i in range(out.size):
        value = x[i]
        value = floor if value < floor else value
        out[i] = ceiling if value > ceiling else value


@kernel
def leaky(x: Input, out: Output, alpha: float, start: int, stop: int) -> None:
    """LEAKY_RELU on float32."""
    x, out = x[start:stop], out[start:stop]
    slope = np.float32(alpha)
    for i in range(out.size):
        value = x[i]
        out[i] = value if value > np.float32(0.0) else value * slope


@kernel
def absolute(x: Input, out: Output, start: int, stop: int) -> None:
    """ABS."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = abs(x[i])


@kernel
def negate(x: Input, out: Output, start: int, stop: int) -> None:
    """NEG."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = -x[i]


@kernel
def square(x: Input, out: Output, start: int, stop: int) -> None:
    """SQUARE."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = x[i] * x[i]


@kernel
def square_root(x: Input, out: Output, start: int, stop: int) -> None:
    """SQRT on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = np.sqrt(x[i])


@kernel
def inverse_square_root(x: Input, out: Output, start: int, stop: int) -> None:
    """RSQRT on float32: a division by the root, each rounded."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = np.float32(1.0) / np.sqrt(x[i])


@kernel
def floor(x: Input, out: Output, start: int, stop: int) -> None:
    """FLOOR on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = np.floor(x[i])


@kernel
def ceil(x: Input, out: Output, start: int, stop: int) -> None:
    """CEIL on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = np.ceil(x[i])


@kernel
def round_half_even(x: Input, out: Output, start: int, stop: int) -> None:
    """ROUND on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = np.rint(x[i])


@kernel
def exponential(x: Input, out: Output, start: int, stop: int) -> None:
    """EXP on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = transcendental.exp(x[i])


@kernel
def logarithm(x: Input, out: Output, start: int, stop: int) -> None:
    """LOG on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = transcendental.log(x[i])


@kernel
def hyperbolic_tangent(x: Input, out: Output, start: int, stop: int) -> None:
    """TANH on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = transcendental.tanh(x[i])


@kernel
def logistic(x: Input, out: Output, start: int, stop: int) -> None:
    """LOGISTIC on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = transcendental.logistic(x[i])


@kernel
def hard_swish(x: Input, out: Output, start: int, stop: int) -> None:
    """HARD_SWISH on float32: ``x * min(6, max(0, x + 3)) / 6`` (``reference/hard_swish.h``)."""
    x, out = x[start:stop], out[start:stop]
    zero, three, six = np.float32(0.0), np.float32(3.0), np.float32(6.0)
    for i in range(out.size):
        gate = x[i] + three
        gate = zero if gate < zero else gate
        gate = six if gate > six else gate
        out[i] = x[i] * gate / six


@kernel
def elu(x: Input, out: Output, start: int, stop: int) -> None:
    """ELU on float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        value = x[i]
        out[i] = transcendental.expm1_of_negative(value) if value < np.float32(0.0) else value


@kernel
def gelu(x: Input, out: Output, start: int, stop: int) -> None:
    """GELU on float32, exact: ``x / 2 * erfc(-x / sqrt(2))``."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        share = transcendental.erfc(x[i] * np.float32(-0.70710678))
        out[i] = np.float32(0.5) * x[i] * share


@kernel
def gelu_approximate(x: Input, out: Output, start: int, stop: int) -> None:
    """GELU on float32: ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        value = x[i]
        cube = np.float32(0.044715) * value * value * value
        curve = np.float32(0.79788456) * (value + cube)
        out[i] = np.float32(0.5) * value * (np.float32(1.0) + transcendental.tanh(curve))
