"""How many units in the last place the compiled functions lie away from the right value."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need Numba")

from minilite_kernels import unary
from minilite_kernels.kernel import Kernel
from numba.core import config

from minilite.graph import Array

_ERFC = np.frompyfunc(math.erfc, 1, 1)


def logistic(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def gelu(x: Array) -> Array:
    # The argument is rounded by definition, see ``reference/gelu.h``.
    argument = (x.astype(np.float32) * np.float32(-math.sqrt(0.5))).astype(np.float64)
    return 0.5 * x * np.array(_ERFC(argument), np.float64)


def arguments() -> Array:
    """Of every magnitude, with what is special about floats."""
    rng = np.random.default_rng(1)
    count = 300 if config.DISABLE_JIT else 60000
    normal = rng.standard_normal(count) * rng.choice([1e-3, 0.1, 1, 8, 40], count)
    bits = rng.integers(0, 1 << 32, count, np.uint32).view(np.float32)
    edges = [0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 88.72, 88.73, -87.4, -103.9, -104.1, 0.625]
    return np.concatenate([normal.astype(np.float32), bits, np.array(edges, np.float32)])


@pytest.mark.parametrize(
    ("kernel", "function", "units"),
    [
        (unary.exponential, np.exp, 1.1),
        (unary.logarithm, np.log, 1.1),
        (unary.hyperbolic_tangent, np.tanh, 1.5),
        (unary.logistic, logistic, 2.5),
        (unary.elu, lambda x: np.where(x < 0, np.expm1(x), x), 1.1),
        (unary.gelu, gelu, 8),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_units_in_the_last_place(kernel: Kernel, function: Callable[[Array], Array], units: float) -> None:
    x = arguments()
    out = np.empty_like(x)
    with np.errstate(all="ignore"):
        kernel(0, x.size, x=x, out=out)
        right = function(x.astype(np.float64))
        error = np.abs(out - right) / np.spacing(np.abs(right).astype(np.float32))
        exact = (out == right.astype(np.float32)) | (np.isnan(out) & np.isnan(right))
    worst = int(np.argmax(np.where(exact, 0, error)))
    assert exact[worst] or error[worst] <= units, (x[worst], out[worst], right[worst], error[worst])
