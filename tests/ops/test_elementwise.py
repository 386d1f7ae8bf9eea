from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite import ops
from minilite.errors import PrepareError
from minilite.graph import Activation, Array, TensorType
from minilite.ops.binary import Binary
from minilite.ops.elementwise import AddOptions, MulOptions, SubOptions, sum_scaling
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import BYTES, assert_agrees, each_type, evaluate, quantized, random_values

F32, I8, U8, I16 = TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT16
I32, I64 = TensorType.INT32, TensorType.INT64
OPTIONS: dict[str, Any] = {"ADD": AddOptions, "SUB": SubOptions, "MUL": MulOptions}


def binary(
    name: str, a: TensorSpec, b: TensorSpec, y: TensorSpec, activation: Activation = Activation.NONE
) -> Any:
    return one_op(name, [a, b], [y], OPTIONS[name](fused_activation_function=activation), version=2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ADD", [[11, 21], [12, 22]]), ("SUB", [[-9, -19], [-8, -18]]), ("MUL", [[10, 20], [20, 40]])],
)
@each_type(F32, I32, I64)
def test_broadcasts_at_the_last_axis(name: str, kind: TensorType, expected: list[list[int]]) -> None:
    a, b = np.array([[1], [2]], kind.dtype), np.array([10, 20], kind.dtype)
    (y,) = evaluate(binary(name, tensor((2, 1), kind), tensor((2,), kind), tensor((), kind)), a, b)
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == kind.dtype


def test_a_scalar_has_rank_0() -> None:
    (y,) = evaluate(
        binary("ADD", tensor((2,)), tensor(()), tensor()), np.ones(2, np.float32), np.array(3, np.float32)
    )
    np.testing.assert_array_equal(y, [4, 4])


def test_integers_wrap_before_the_activation() -> None:
    a, b = np.array([np.iinfo(np.int32).max, 3, 9], np.int32), np.array([5, 1, 0], np.int32)
    specs = tensor((3,), I32), tensor((3,), I32), tensor((), I32)
    np.testing.assert_array_equal(evaluate(binary("ADD", *specs), a, b)[0], [-(2**31) + 4, 4, 9])
    np.testing.assert_array_equal(evaluate(binary("ADD", *specs, Activation.RELU6), a, b)[0], [0, 4, 6])


def test_infinite_sums_become_the_largest_float() -> None:
    big = np.array([3e38], np.float32)
    (y,) = evaluate(binary("ADD", tensor((1,)), tensor((1,)), tensor()), big, big)
    assert y.item() == np.finfo(np.float32).max


def quantized_one(name: str, a: int, b: int, y_scale: float, activation: Activation = Activation.NONE) -> int:
    """uint8: a at scale 0.5 and zero point 10, b at 0.25 and 20, the result at ``y_scale`` and 100."""
    specs = (
        tensor((1,), U8, scale=0.5, zero_point=10),
        tensor((1,), U8, scale=0.25, zero_point=20),
        tensor((), U8, scale=y_scale, zero_point=100),
    )
    (y,) = evaluate(binary(name, *specs, activation), np.array([a], np.uint8), np.array([b], np.uint8))
    return int(y.item())


def test_quantized_values_are_brought_to_one_scale() -> None:
    # (30 - 10) * 0.5 = 10 and (28 - 20) * 0.25 = 2.
    assert quantized_one("ADD", 30, 28, 0.5) == 100 + 24
    assert quantized_one("SUB", 30, 28, 0.5) == 100 + 16
    assert quantized_one("MUL", 30, 28, 0.5) == 100 + 40
    assert quantized_one("ADD", 30, 28, 0.5, Activation.RELU6) == 100 + 12
    # 10.25 and -10.25: a half is rounded away from zero.
    assert quantized_one("ADD", 30, 21, 0.5) == 100 + 21
    assert quantized_one("ADD", 0, 0, 0.5) == 100 - 20
    assert quantized_one("ADD", 255, 255, 0.5) == 255


def test_product_of_scales_is_in_float32(litert: Any) -> None:
    # 0.1f * 5 is 0.5 in float32 and more in float64: -0.5 goes up to 0, less than that down to -1.
    specs = (tensor((1,), I8, scale=0.1), tensor((1,), I8, scale=5.0), tensor((), I8, scale=1.0))
    one = np.array([1], np.int8)
    assert assert_agrees(litert, binary("MUL", *specs), -one, one)[0].item() == 0


def test_sum_scaling() -> None:
    graph = prepare(
        binary("ADD", tensor((1,), I8, scale=0.5), tensor((1,), I8, scale=0.25), tensor((), I8, scale=1.0))
    )
    (node,) = graph.main.nodes()
    scaling = sum_scaling(node)
    assert (scaling.left, scaling.right, scaling.output) == ((1 << 30, 0), (1 << 30, -1), (1 << 30, -19))


@pytest.mark.parametrize(
    ("rule", "specs", "activation"),
    [
        ("broadcast", (tensor((2, 3)), tensor((2,)), tensor()), Activation.NONE),
        ("types", (tensor((2,)), tensor((2,), I32), tensor()), Activation.NONE),
        ("types", (tensor((2,), U8), tensor((2,), U8), tensor((), I8)), Activation.NONE),
        (
            "quantization-missing",
            (tensor((2,), U8, scale=1.0), tensor((2,), U8), tensor((), U8, scale=1.0)),
            Activation.NONE,
        ),
        ("fused-activation", (tensor((2,)), tensor((2,)), tensor()), Activation.TANH),
    ],
)
@pytest.mark.parametrize("name", OPTIONS)
def test_refuses(name: str, rule: str, specs: tuple[TensorSpec, ...], activation: Activation) -> None:
    a, b, y = specs
    with pytest.raises(PrepareError) as caught:
        prepare(binary(name, a, b, y, activation))
    assert caught.value.rule == rule


@st.composite
def broadcast_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))

    def stretched() -> tuple[int, ...]:
        kept = [size if draw(st.booleans()) else 1 for size in shape]
        return tuple(kept[draw(st.integers(0, len(kept))) :])

    return (tuple(shape), stretched()) if draw(st.booleans()) else (stretched(), tuple(shape))


def operands(
    rng: np.random.Generator, kind: TensorType, *shapes: tuple[int, ...]
) -> tuple[list[TensorSpec], list[Array]]:
    """Two operands and the output; values of the operands."""
    values = [random_values(rng, shape, kind) for shape in shapes]
    if kind in BYTES:
        scales = np.exp(rng.uniform(np.log(1e-3), np.log(1), 3))
        zeros = rng.integers(256, size=3)
        specs = [
            quantized(kind, float(s), int(z), shape)
            for s, z, shape in zip(scales, zeros, (*shapes, ()), strict=True)
        ]
        return specs, values
    return [tensor(shape, kind) for shape in (*shapes, ())], values


@each_type(F32, I32, I64, *BYTES)
@pytest.mark.parametrize("name", OPTIONS)
@given(
    shapes=broadcast_shapes(),
    activation=st.sampled_from(list(Activation)[:4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_litert(
    litert: Any,
    name: str,
    kind: TensorType,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    activation: Activation,
    seed: int,
) -> None:
    (a, b, y), values = operands(np.random.default_rng(seed), kind, *shapes)
    assert_agrees(litert, binary(name, a, b, y, activation), *values)


@each_type(*BYTES)
@pytest.mark.parametrize("name", OPTIONS)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_pair_of_bytes_agrees_with_litert(litert: Any, name: str, kind: TensorType, seed: int) -> None:
    (a, b, y), _ = operands(np.random.default_rng(seed), kind, (256, 1), (1, 256))
    every = np.arange(256, dtype=np.uint8).view(kind.dtype)
    assert_agrees(litert, binary(name, a, b, y), every[:, None], every[None])


COMPILED = [
    (name, kind)
    for name in (*OPTIONS, "SQUARED_DIFFERENCE", "MAXIMUM", "LESS")
    if isinstance(op := ops.find(name), Binary)
    for kind in op.compiled
]


@pytest.mark.parametrize(("name", "kind"), COMPILED, ids=[f"{name}-{kind.name}" for name, kind in COMPILED])
@pytest.mark.parametrize("shape", [(2, 3, 5), (5,), (2, 1, 5), (3, 1), ()])
def test_kernels_compute_what_networks_use(name: str, kind: TensorType, shape: tuple[int, ...]) -> None:
    pytest.importorskip("numba", reason="plans need Numba")
    from minilite.plan import KernelStep, build_plan

    quantization = {"scale": 0.5} if kind in (*BYTES, I16) else {}
    operands = [tensor(sizes, kind, **quantization) for sizes in ((2, 3, 5), shape)]
    output = tensor((), TensorType.BOOL) if name == "LESS" else tensor((), kind, **quantization)
    options = OPTIONS[name](pot_scale_int16=False) if name in ("ADD", "SUB") else None
    plan = build_plan(prepare(one_op(name, operands, [output], options)))
    assert all(isinstance(step, KernelStep) for step in plan.steps()), plan.explain()
