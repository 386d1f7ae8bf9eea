from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.executor import numba_is_available
from minilite.graph import Activation, TensorType
from minilite.ops.fully_connected import FullyConnectedOptions, WeightsFormat, unshuffle
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from minilite.testing.sparse import sparsified, with_sparse
from tests.oracle import assert_agrees, assert_plan_agrees, evaluate, run

F32, I8, U8, I16, I32, I4 = (
    TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT16, TensorType.INT32, TensorType.INT4
)  # fmt: skip


def product(
    x: TensorSpec, w: TensorSpec, bias: TensorSpec | None, y: TensorSpec | None = None, **options: Any
) -> Any:
    return one_op("FULLY_CONNECTED", [x, w, bias], [y or tensor()], FullyConnectedOptions(**options))


WEIGHTS = constant(np.array([[1, 2, 3], [-1, 0, 1]], np.float32))
BIAS = constant(np.array([10, 20], np.float32))


def test_float() -> None:
    x = np.array([[1, 1, 1], [0, 1, 2]], np.float32)
    (y,) = evaluate(product(tensor((2, 3)), WEIGHTS, BIAS), x)
    np.testing.assert_array_equal(y, [[16, 20], [18, 22]])
    (y,) = evaluate(product(tensor((2, 3)), WEIGHTS, None, fused_activation_function=Activation.RELU6), x)
    np.testing.assert_array_equal(y, [[6, 0], [6, 2]])


@pytest.mark.parametrize(
    ("shape", "keep", "expected"),
    [
        ((6,), False, (2, 2)),
        ((1, 2, 3), False, (2, 2)),
        ((3, 2), False, (2, 2)),
        ((2, 1, 3), True, (2, 1, 2)),
        ((3,), True, (2,)),
        ((0, 3), False, (0, 2)),
    ],
)
def test_shapes(shape: tuple[int, ...], keep: bool, expected: tuple[int, ...]) -> None:
    (y,) = evaluate(product(tensor(shape), WEIGHTS, BIAS, keep_num_dims=keep), np.ones(shape, np.float32))
    assert y.shape == expected


def test_a_product_of_no_depth_is_zero_whatever_the_bias(litert: Any) -> None:
    w = constant(np.zeros((2, 0), np.float32))
    (y,) = assert_agrees(litert, product(tensor((3, 0)), w, BIAS), np.zeros((3, 0), np.float32))
    np.testing.assert_array_equal(y, np.zeros((3, 2)))


def bytes_product(kind: TensorType, x: int, w: int, y_scale: float) -> int:
    """One value of scale 0.5 times one weight of scale 0.5."""
    zero = {U8: 100, I8: 10}[kind]
    specs = (
        tensor((1, 1), kind, scale=0.5, zero_point=zero),
        constant([[w]], kind, scale=0.5, zero_point=zero if kind is U8 else 0),
    )
    graph = product(*specs, None, tensor((), kind, scale=y_scale, zero_point=zero))
    (y,) = evaluate(graph, np.array([[x]], kind.dtype))
    return int(y.item()) - zero


@pytest.mark.parametrize(("kind", "zero"), [(U8, 100), (I8, 0)])
def test_a_half_is_rounded_away_from_zero(kind: TensorType, zero: int) -> None:
    x_zero = {U8: 100, I8: 10}[kind]
    # 0.5 * 1 * 0.5 * 2 / 1 = 0.5
    assert bytes_product(kind, x_zero + 1, zero + 2, 1.0) == 1
    assert bytes_product(kind, x_zero - 1, zero + 2, 1.0) == -1
    assert bytes_product(kind, x_zero + 3, zero + 2, 1.0) == 2
    assert bytes_product(kind, x_zero - 3, zero + 2, 1.0) == -2


def test_sums_are_scaled_in_float64_not_in_fixed_point(litert: Any) -> None:
    # 3 * 0.49999997 is less than 1.5. Fixed point rounds twice: 2.9999998 to 3, and half of that to 2.
    x = tensor((1, 1), I8, scale=1.0)
    w = constant([[1]], I8, scale=float(np.nextafter(np.float32(0.5), np.float32(0))))
    (y,) = assert_agrees(litert, product(x, w, None, tensor((), I8, scale=1.0)), np.array([[3]], np.int8))
    assert y.item() == 1


def test_weights_per_channel() -> None:
    w = constant([[2, 0], [0, 2]], I8, scale=[0.5, 0.25], zero_point=[0, 0])
    graph = product(tensor((1, 2), I8, scale=1.0), w, None, tensor((), I8, scale=1.0))
    np.testing.assert_array_equal(evaluate(graph, np.array([[10, 20]], np.int8))[0], [[10, 10]])


def test_int16_with_a_wide_bias() -> None:
    w = constant([[100, 100]], I8, scale=1.0)
    bias = constant(np.array([-(1 << 33)], np.int64), scale=1.0)
    graph = product(tensor((1, 2), I16, scale=1.0), w, bias, tensor((), I16, scale=float(1 << 20)))
    (y,) = evaluate(graph, np.array([[32767, 32767]], np.int16))
    assert y.item() == round((200 * 32767 - (1 << 33)) / (1 << 20))


@pytest.mark.parametrize("asymmetric", [False, True])
def test_hybrid(asymmetric: bool) -> None:
    # Symmetric: steps of 2/127. Asymmetric: steps of 3/255 around -43.
    w = constant([[1, 0], [0, 2]], I8, scale=0.5)
    graph = product(
        tensor((1, 2)), w, constant(np.array([0, 1], np.float32)), asymmetric_quantize_inputs=asymmetric
    )
    (y,) = evaluate(graph, np.array([[-1, 2]], np.float32))
    step = np.float32(3 / 255) if asymmetric else np.float32(2 / 127)
    first, second = (-85, 170) if asymmetric else (-64, 127)
    np.testing.assert_allclose(y, [[first * step / 2, second * step + 1]], rtol=1e-6)


def test_hybrid_takes_tanh_and_sign_bit() -> None:
    w = constant([[127], [-127]], I8, scale=1 / 127)
    for activation, expected in ((Activation.TANH, [0.7615942, -0.7615942]), (Activation.SIGN_BIT, [0, 1])):
        graph = product(tensor((1, 1)), w, None, fused_activation_function=activation)
        (y,) = evaluate(graph, np.ones((1, 1), np.float32))
        np.testing.assert_allclose(y, [expected], rtol=1e-6)


def test_int4_weights() -> None:
    w = constant([[7, -8, 1]], I4, scale=1.0)
    graph = product(tensor((1, 3), I8, scale=1.0), w, None, tensor((), I8, scale=1.0))
    assert evaluate(graph, np.array([[1, 2, 3]], np.int8))[0].item() == 7 - 16 + 3


def test_shuffled_weights() -> None:
    weights = np.arange(64).astype(np.uint8).reshape(4, 16)
    blocks = (weights.view(np.int8) ^ -128).view(np.uint8)  # one block: rows lie as they are
    np.testing.assert_array_equal(unshuffle(blocks ^ 0x80), weights)
    two = np.arange(128).reshape(4, 32).astype(np.uint8)
    shuffled = np.concatenate([two[:, :16].ravel(), two[:, 16:].ravel()]).reshape(4, 32)
    np.testing.assert_array_equal(unshuffle(shuffled), two)


@pytest.mark.skipif(not numba_is_available(), reason="plans need Numba")
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("kind", ["float", "int8", "hybrid"])
def test_products_run_on_kernels(kind: str, rows: int) -> None:
    ones = np.ones((3, 2), np.float32)
    weights = constant(ones) if kind == "float" else constant(ones, I8, scale=1.0)
    x_kind = I8 if kind == "int8" else F32
    x = tensor((rows, 2), x_kind, scale=1.0)
    graph = prepare(product(x, weights, None, tensor((), x_kind, scale=1.0)))
    inputs = [np.ones((rows, 2), x_kind.dtype)]
    plan = assert_plan_agrees(graph, inputs, run(ReferenceExecutor(graph), inputs))
    assert [type(step).__name__ for step in plan.steps()] == ["KernelStep"], plan.explain()


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("depth", product(tensor((2, 2)), WEIGHTS, None)),
        ("depth", product(tensor((3, 2)), WEIGHTS, None, keep_num_dims=True)),
        ("rank", product(tensor((2, 3)), constant(np.zeros((1, 2, 3), np.float32)), None)),
        ("bias-size", product(tensor((2, 3)), WEIGHTS, constant(np.zeros(3, np.float32)))),
        ("types", product(tensor((2, 3), I8, scale=1.0), WEIGHTS, None)),
        (
            "fused-activation",
            product(tensor((2, 3)), WEIGHTS, None, fused_activation_function=Activation.TANH),
        ),
        ("quantization-missing", product(tensor((1, 1)), constant([[1]], I8), None)),
        (
            "quantization-per-channel",
            product(
                tensor((1, 2), I8, scale=1.0),
                constant([[1, 1]], I8, scale=[1.0, 1.0], quantized_dimension=1),
                None,
                tensor((), I8, scale=1.0),
            ),
        ),
        (
            "zero-point",
            product(
                tensor((1, 1), I16, scale=1.0, zero_point=1),
                constant([[1]], I8, scale=1.0),
                None,
                tensor((), I16, scale=1.0),
            ),
        ),
        (
            "output-count",
            product(
                tensor((1, 16), U8, scale=1.0),
                constant(np.zeros((4, 16)), U8, scale=1.0),
                constant(np.zeros(4), I32),
                tensor((), I16, scale=1.0),
                weights_format=WeightsFormat.SHUFFLED4x16INT8,
            ),
        ),
    ],
)
def test_refuses(rule: str, graph: Any) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def test_sparse_weights_are_those_that_are_there() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((5, 8)).astype(np.float32) * (rng.random((5, 8)) < 0.3)
    x = rng.standard_normal((2, 8)).astype(np.float32)
    dense = one_op("FULLY_CONNECTED", [tensor((2, 8)), constant(weights), None], [tensor()])
    sparse = with_sparse(dense, 1, *sparsified(weights, (0, 1), (False, True), {}))
    np.testing.assert_array_equal(evaluate(sparse, x)[0], evaluate(dense, x)[0])
    assert sparse.main.tensors[1].sparsity is not None
