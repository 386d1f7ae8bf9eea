from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import TensorType
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import evaluate

I32 = TensorType.INT32


def test_powers() -> None:
    a, b = np.array([2, -2, 0, 4, -2], np.float32), np.array([3, 2, -1, 0.5, 0.5], np.float32)
    (y,) = evaluate(one_op("POW", [tensor((5,)), tensor((5,))], [tensor()]), a, b)
    np.testing.assert_array_equal(y, [8, 4, np.inf, 2, np.nan])


def test_integer_powers_wrap_and_have_no_negative_exponents() -> None:
    graph = one_op("POW", [tensor((3,), I32), tensor((3,), I32)], [tensor((), I32)])
    a = np.array([2, -3, 3], np.int32)
    assert evaluate(graph, a, np.array([10, 3, 31], np.int32))[0].tolist() == [1024, -27, 3**31 % 2**32]
    with pytest.raises(InvokeError, match=r"negative exponent at \(2,\)"):
        evaluate(graph, a, np.array([1, 1, -1], np.int32))


def test_angles() -> None:
    y, x = np.array([0, 1, 1, -1], np.float32), np.array([-1, 0, 1, -1], np.float32)
    (angle,) = evaluate(one_op("ATAN2", [tensor((4,)), tensor((4,))], [tensor()]), y, x)
    np.testing.assert_allclose(angle, np.pi * np.array([1, 0.5, 0.25, -0.75]), rtol=1e-6)


def test_angles_refuse_two_shapes() -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op("ATAN2", [tensor((1, 2)), tensor((2, 1))], [tensor()]))
    assert caught.value.rule == "equal-shapes"


def test_minus_infinity_to_the_power_of_one_half_is_infinite() -> None:
    # C's pow; the square root, which NumPy takes for a single exponent, would be NaN.
    graph = one_op("POW", [tensor((2,)), tensor((1,))], [tensor()])
    (y,) = evaluate(graph, np.array([-np.inf, 4], np.float32), np.array([0.5], np.float32))
    assert y.tolist() == [np.inf, 2]
