from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import TensorType
from minilite.ops.batch_matmul import BatchMatMulOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import assert_agrees, evaluate

F32, I8, I16, I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.INT16, TensorType.INT32


def product(x: TensorSpec, y: TensorSpec, out: TensorSpec | None = None, **options: Any) -> Any:
    return one_op("BATCH_MATMUL", [x, y], [out or tensor()], BatchMatMulOptions(**options))


A = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
B = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
AB = [[4, 5], [10, 11]]


@pytest.mark.parametrize("adj_x", [False, True])
@pytest.mark.parametrize("adj_y", [False, True])
def test_adjoints(adj_x: bool, adj_y: bool) -> None:
    x, y = A.T.copy() if adj_x else A, B.T.copy() if adj_y else B
    (out,) = evaluate(product(tensor(x.shape), tensor(y.shape), adj_x=adj_x, adj_y=adj_y), x, y)
    np.testing.assert_array_equal(out, AB)


def test_batches_broadcast() -> None:
    x = np.stack([A, 2 * A])[:, None]
    y = np.stack([B, 3 * B, B - B])
    (out,) = evaluate(product(tensor(x.shape), tensor(y.shape)), x, y)
    assert out.shape == (2, 3, 2, 2)
    np.testing.assert_array_equal(out[1, 1], 6 * np.array(AB))
    np.testing.assert_array_equal(out[0, 2], np.zeros((2, 2)))


def test_int8_is_rounded_twice(litert: Any) -> None:
    # 3 * 0.49999997: the high product is rounded to 3, half of that to 2. FULLY_CONNECTED has 1.
    scale = float(np.nextafter(np.float32(0.5), np.float32(0)))
    graph = product(tensor((1, 1), I8, scale=1.0), tensor((1, 1), I8, scale=scale), tensor((), I8, scale=1.0))
    (out,) = assert_agrees(litert, graph, np.array([[3]], np.int8), np.array([[1]], np.int8))
    assert out.item() == 2


def test_int8_has_zero_points_on_both_sides() -> None:
    graph = product(
        tensor((1, 1), I8, scale=1.0, zero_point=10),
        tensor((1, 1), I8, scale=1.0, zero_point=-5),
        tensor((), I8, scale=1.0, zero_point=3),
    )
    assert evaluate(graph, np.array([[12]], np.int8), np.array([[4]], np.int8))[0].item() == 2 * 9 + 3


def test_int32_sums_ignore_zero_points() -> None:
    specs = tensor((1, 2), I8, scale=1.0, zero_point=10), tensor((2, 1), I8, scale=1.0)
    (out,) = evaluate(
        product(*specs, tensor((), I32)), np.array([[1, 2]], np.int8), np.array([[3], [4]], np.int8)
    )
    assert out.item() == 11


def test_int16_sums_have_64_bits() -> None:
    x = np.full((1, 4), 32767, np.int16)
    graph = product(
        tensor((1, 4), I16, scale=1.0), tensor((4, 1), I16, scale=1.0), tensor((), I16, scale=2.0**20)
    )
    assert evaluate(graph, x, x.T.copy())[0].item() == round(4 * 32767**2 / 2**20)


def test_hybrid_rows_are_quantized_for_each_matrix() -> None:
    # Rows of one value are exact in symmetric steps.
    x = np.array([[[2.0], [3.0]], [[-4.0], [0.0]]], np.float32)
    weights = tensor((1, 2), I8, scale=[0.5, 0.25], zero_point=[0, 0], quantized_dimension=1)
    (out,) = evaluate(product(tensor(x.shape), weights), x, np.array([[2, 4]], np.int8))
    np.testing.assert_allclose(out, np.concatenate([x, x], axis=2), rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("depth", product(tensor((2, 3)), tensor((2, 3)))),
        ("broadcast", product(tensor((2, 1, 1)), tensor((3, 1, 1)))),
        ("rank", product(tensor((2,)), tensor((2, 3)))),
        ("types", product(tensor((1, 1), I8, scale=1.0), tensor((1, 1)))),
        ("quantization-missing", product(tensor((1, 1)), tensor((1, 1), I8))),
        (
            "quantization-per-tensor",
            product(
                tensor((1, 1), I8, scale=1.0),
                tensor((1, 2), I8, scale=[1.0, 1.0], quantized_dimension=1),
                tensor((), I8, scale=1.0),
            ),
        ),
        (
            "zero-point",
            product(
                tensor((1, 1), I16, scale=1.0, zero_point=1),
                tensor((1, 1), I16, scale=1.0),
                tensor((), I16, scale=1.0),
            ),
        ),
    ],
)
def test_refuses(rule: str, graph: Any) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
