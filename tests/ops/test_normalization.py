from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Activation, TensorType
from minilite.ops.normalization import L2NormOptions, LocalResponseNormalizationOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import evaluate

U8, I8 = TensorType.UINT8, TensorType.INT8


def test_rows_become_of_length_one() -> None:
    x = np.array([[3, 4], [0, -2], [0, 0]], np.float32)
    (y,) = evaluate(one_op("L2_NORMALIZATION", [tensor(x.shape)], [tensor()]), x)
    np.testing.assert_allclose(y, [[0.6, 0.8], [0.0, -1.0], [0.0, 0.0]], rtol=1e-7)


def test_tiny_rows_stay_tiny() -> None:
    x = np.array([[1e-9, 0]], np.float32)
    (y,) = evaluate(one_op("L2_NORMALIZATION", [tensor(x.shape)], [tensor()]), x)
    np.testing.assert_allclose(y, [[1e-3, 0]], rtol=1e-6)


@pytest.mark.parametrize(("kind", "zero"), [(U8, 128), (I8, 0)])
def test_rows_of_bytes(kind: TensorType, zero: int) -> None:
    x = np.array([[13, 14], [10, 10], [10, 60]], kind.dtype)
    given = tensor(x.shape, kind, scale=0.1, zero_point=10)
    graph = one_op("L2_NORMALIZATION", [given], [tensor((), kind, scale=1 / 128, zero_point=zero)])
    # 0.6 and 0.8 are 76.8 and 102.4; one is 128, which int8 does not hold.
    expected = np.array([[77, 102], [0, 0], [0, 128 if kind is U8 else 127]]) + zero
    np.testing.assert_array_equal(evaluate(graph, x)[0], np.minimum(expected, np.iinfo(kind.dtype).max))


def test_a_channel_is_divided_by_itself_and_its_neighbours() -> None:
    x = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 1, 4)
    options = LocalResponseNormalizationOptions(radius=1, bias=1.0, alpha=0.5, beta=1.0)
    (y,) = evaluate(one_op("LOCAL_RESPONSE_NORMALIZATION", [tensor(x.shape)], [tensor()], options), x)
    # 1 + (1 + 4) / 2, 1 + (1 + 4 + 9) / 2 ...
    np.testing.assert_allclose(y.ravel(), [1 / 3.5, 2 / 8, 3 / 15.5, 4 / 13.5], rtol=1e-6)


def test_a_window_of_no_neighbours_is_the_channel() -> None:
    x = np.array([3.0], np.float32).reshape(1, 1, 1, 1)
    options = LocalResponseNormalizationOptions(radius=0, bias=0.0, alpha=1.0, beta=0.5)
    (y,) = evaluate(one_op("LOCAL_RESPONSE_NORMALIZATION", [tensor(x.shape)], [tensor()], options), x)
    np.testing.assert_allclose(y.ravel(), [1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "name", "x", "y", "options"),
    [
        ("rank", "L2_NORMALIZATION", tensor(()), tensor(), None),
        (
            "fused-activation",
            "L2_NORMALIZATION",
            tensor((2,)),
            tensor(),
            L2NormOptions(fused_activation_function=Activation.RELU),
        ),
        (
            "quantization-scale",
            "L2_NORMALIZATION",
            tensor((2,), I8, scale=1.0),
            tensor((), I8, scale=1.0),
            None,
        ),
        ("rank", "LOCAL_RESPONSE_NORMALIZATION", tensor((2,)), tensor(), None),
        (
            "radius",
            "LOCAL_RESPONSE_NORMALIZATION",
            tensor((1, 1, 1, 2)),
            tensor(),
            LocalResponseNormalizationOptions(radius=-1),
        ),
    ],
)
def test_refuses(rule: str, name: str, x: TensorSpec, y: TensorSpec, options: object) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [x], [y], options))
    assert caught.value.rule == rule
