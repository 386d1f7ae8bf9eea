from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError
from minilite.fixed_point import reciprocal, scaled_quotient
from minilite.graph import Activation, Array, TensorType
from minilite.ops.division import DivOptions
from minilite.testing.models import one_op, tensor
from tests.oracle import each_type, evaluate

F32, I32, I64, I16 = TensorType.FLOAT32, TensorType.INT32, TensorType.INT64, TensorType.INT16
I8, U8 = TensorType.INT8, TensorType.UINT8


def divide(name: str, kind: TensorType, a: list[Any], b: list[Any], options: Any = None) -> Array:
    graph = one_op(name, [tensor((len(a),), kind), tensor((len(b),), kind)], [tensor((), kind)], options)
    (y,) = evaluate(graph, np.array(a, kind.dtype), np.array(b, kind.dtype))
    assert y.dtype == kind.dtype
    return y


def test_div_truncates_integers_and_saturates() -> None:
    assert divide("DIV", I32, [7, -7, 7, -(2**31)], [2, 2, -2, -1]).tolist() == [3, -3, -3, 2**31 - 1]


def test_div_by_zero_is_the_largest_float() -> None:
    largest = float(np.finfo(np.float32).max)
    np.testing.assert_array_equal(divide("DIV", F32, [1, -1, 0], [0]), [largest, -largest, np.nan])
    relu6 = DivOptions(fused_activation_function=Activation.RELU6)
    assert divide("DIV", F32, [1, -1, 9], [0, 1, 2], relu6).tolist() == [6, 0, 4.5]


def test_floor_div() -> None:
    assert divide("FLOOR_DIV", I32, [7, -7, -(2**31)], [2, 2, -1]).tolist() == [3, -4, -(2**31)]
    assert divide("FLOOR_DIV", I8, [-128], [-1]).tolist() == [-128]
    # 0.1 is a little more than a tenth: the quotient is below 10, and float32 would round it up.
    assert divide("FLOOR_DIV", F32, [1, 7, -7], [0.1, 2, 2]).tolist() == [9, 3, -4]


@each_type(F32, I32, I64, I16, I8)
def test_floor_mod_has_the_sign_of_the_divisor(kind: TensorType) -> None:
    assert divide("FLOOR_MOD", kind, [7, -7, 7, -7, 6], [3, 3, -3, -3, 3]).tolist() == [1, 2, -2, -1, 0]


def test_floor_mod_at_the_ends() -> None:
    assert divide("FLOOR_MOD", I32, [-(2**31)], [-1]).tolist() == [0]
    np.testing.assert_array_equal(divide("FLOOR_MOD", F32, [1, np.inf], [0, 2]), [np.nan, np.nan])


@pytest.mark.parametrize(
    ("name", "kind"),
    [("DIV", I32), ("FLOOR_DIV", F32), ("FLOOR_DIV", I16), ("FLOOR_MOD", I32), ("FLOOR_MOD", I64)],
)
def test_refuses_to_divide_by_zero(name: str, kind: TensorType) -> None:
    with pytest.raises(InvokeError, match=r"division by zero at \(1,\)") as caught:
        divide(name, kind, [1, 1, 1], [2, 0, 0])
    assert caught.value.rule == "division-by-zero"


@each_type(U8, I8, I16)
def test_quantized_div(kind: TensorType) -> None:
    zero = 0 if kind is I16 else 10
    specs = (
        tensor((5,), kind, scale=0.5, zero_point=zero),
        tensor((5,), kind, scale=0.25, zero_point=zero),
        tensor((), kind, scale=0.5, zero_point=zero),
    )
    # 10 / 2 = 5, 10 / 4 = 2.5, 0 / 2 = 0, 3 / 4 = 0.75 which is one and a half steps, 10 / 0.25 = 40.
    a, b = np.array([20, 20, 0, 6, 20]) + zero, np.array([8, 16, 8, 16, 1]) + zero
    (y,) = evaluate(one_op("DIV", specs[:2], specs[2:]), a.astype(kind.dtype), b.astype(kind.dtype))
    assert (y.astype(int) - zero).tolist() == [10, 5, 0, 2, 80]
    with pytest.raises(InvokeError, match="division by zero"):
        evaluate(one_op("DIV", specs[:2], specs[2:]), y, np.full(5, zero, kind.dtype))


def test_reciprocal() -> None:
    inverse, shift = reciprocal([1, 2, 3, 255])
    assert shift.tolist() == [0, 1, 1, 7]
    np.testing.assert_allclose(inverse * 2.0**-31 * 2.0**-shift, 1 / np.array([1, 2, 3, 255]), rtol=1e-8)


def test_quotients_out_of_every_range() -> None:
    # As large as 2**44, as small as 2**-44: nothing wraps, nothing is left of the small one.
    big = scaled_quotient([1, -1, 0], [1], 1 << 30, 31)
    assert (big[:2] > [2**28, -(2**62)]).tolist() == [True, True]
    assert big[1] < -(2**28)
    assert big[2] == 0
    assert scaled_quotient([200, 0], [255, 1], 1 << 30, -30).tolist() == [0, 0]
