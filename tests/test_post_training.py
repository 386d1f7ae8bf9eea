"""Float graphs made int8 and float16: scales by hand, and whole graphs against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from minilite import ops
from minilite.building import GraphBuilder, constant, tensor
from minilite.calibration import calibrate
from minilite.errors import TensorValueError
from minilite.graph import Activation, Array, Graph, Operator, Signature, Tensor, TensorType
from minilite.loader import load_graph
from minilite.post_training import to_float16, to_int8
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.networks import networks, options
from minilite.testing.oracle import Oracle
from minilite.writer import write_graph

RNG = np.random.default_rng(0)


def names(graph: Graph) -> list[str]:
    return [op.name for op in graph.main.operators]


def run(graph: Graph, *inputs: Array) -> list[Array]:
    executor = ReferenceExecutor(prepare(graph))
    for number, value in zip(graph.main.inputs, inputs, strict=True):
        executor.view(number)[...] = value
    executor.run()
    return [executor.view(number).copy() for number in graph.main.outputs]


def quantized(graph: Graph, *inputs: Array, **settings: Any) -> Graph:
    made = to_int8(graph, calibrate(graph, [inputs], backend="numpy"), **settings)
    return load_graph(write_graph(made))


def scale_of(tensor: Tensor) -> tuple[float, int]:
    assert tensor.quantization is not None
    return float(tensor.quantization.scale), tensor.quantization.zero_point


def floats(*shape: int, low: float = -1.0, high: float = 1.0) -> Array:
    return RNG.uniform(low, high, shape).astype(np.float32)


def one_convolution(weights: Array, bias: Array) -> Graph:
    net = GraphBuilder()
    x = net.input(tensor((1, 1, 1, weights.shape[3]), name="x"))
    parts = [net.tensor(constant(part.astype(np.float32))) for part in (weights, bias)]
    chosen = options("CONV_2D", stride_w=1, stride_h=1)
    return net.graph(net.add("CONV_2D", [x, *parts], tensor(name="y"), chosen))


def test_scales_by_hand() -> None:
    """Weights end at 127 steps, a bias has the scale of the picture times theirs, zero is exact."""
    graph = one_convolution(np.array([[127, 63.5], [1.27, -0.01]]).reshape(2, 1, 1, 2), np.array([6.0, 0.02]))
    made = to_int8(graph, {0: (-1.0, 1.55), 3: (0.0, 255.0)})
    (convolution,) = made.main.nodes()
    (x, weights, bias), y = (convolution.input(i) for i in range(3)), convolution.output
    assert scale_of(x) == (float(np.float32(0.01)), -28)
    assert scale_of(y) == (1.0, -128)
    assert weights.quantization is not None
    np.testing.assert_allclose(weights.quantization.scales, [1, 0.01], rtol=1e-6)
    assert weights.data is not None
    assert weights.data.ravel().tolist() == [127, 64, 127, -1]
    assert bias.data is not None
    assert bias.data.tolist() == [600, 200]
    assert bias.type is TensorType.INT32
    assert [op.version for op in made.main.operators] == [3]


def test_a_bias_far_larger_than_its_weights_keeps_within_32_bits() -> None:
    graph = one_convolution(np.array([[1e-9], [0.0], [0.0]]).reshape(3, 1, 1, 1), np.array([50.0, 3.0, 0.0]))
    made = to_int8(graph, {0: (-1.0, 1.0), 3: (0.0, 51.0)})
    (convolution,) = made.main.nodes()
    bias = convolution.input(2)
    assert bias.data is not None
    assert np.abs(bias.data).max() <= 1 << 30
    (y,) = run(made, np.zeros((1, 1, 1, 1), np.int8))
    scale, zero_point = scale_of(convolution.output)
    np.testing.assert_allclose((y.ravel().astype(int) - zero_point) * scale, [50, 3, 0], atol=scale / 2)


def test_nothing_but_zeros_has_a_scale() -> None:
    graph = one_convolution(np.zeros((1, 1, 1, 1)), np.zeros(1))
    made = to_int8(graph, {0: (0.0, 0.0), 3: (0.0, 0.0)})
    assert scale_of(made.main.tensors[0]) == (1.0, 0)


def test_a_tensor_without_a_range_is_named() -> None:
    with pytest.raises(TensorValueError, match=r"'y'.* has no range"):
        to_int8(one_convolution(np.ones((1, 1, 1, 1)), np.ones(1)), {0: (-1.0, 1.0)})


def sum_and_parts() -> tuple[Graph, Array]:
    """A picture, twice of it, and its logistic side by side; then a floor, which has no int8 form."""
    net = GraphBuilder()
    x = net.input(tensor((1, 2, 2, 1), name="x"))
    twice = net.add("ADD", [x, x], tensor(name="twice"))
    logistic = net.add("LOGISTIC", [x], tensor(name="logistic"))
    joined = net.add("CONCATENATION", [x, twice, logistic], tensor(), options("CONCATENATION", axis=3))
    floor = net.add("FLOOR", [joined], tensor(name="floor"))
    return net.graph(net.add("RELU", [floor], tensor(name="y"))), floats(1, 2, 2, 1)


def test_what_is_concatenated_shares_a_scale_and_a_fixed_one_is_brought_to_it() -> None:
    graph, x = sum_and_parts()
    made = quantized(graph, x)
    tensors = {t.name: t for t in made.main.tensors}
    assert scale_of(tensors["x"]) == scale_of(tensors["twice"]) == scale_of(tensors["logistic_int8"])
    assert scale_of(tensors["logistic"]) == (1 / 256, -128)


def test_operators_without_an_int8_form_stand_between_conversions() -> None:
    graph, x = sum_and_parts()
    expected = ["ADD", "LOGISTIC", "QUANTIZE", "CONCATENATION", "DEQUANTIZE", "FLOOR", "QUANTIZE", "RELU"]
    assert names(quantized(graph, x)) == expected
    assert names(quantized(graph, x, float_io=True)) == ["QUANTIZE", *expected, "DEQUANTIZE"]


def test_float_inputs_and_outputs_keep_names_and_signature() -> None:
    graph, x = sum_and_parts()
    main = graph.main
    signature = Signature("serving", 0, {"picture": main.inputs[0]}, {"scores": main.outputs[0]})
    made = quantized(replace(graph, signatures=(signature,)), x, float_io=True)
    for numbers, name in ((made.main.inputs, "x"), (made.main.outputs, "y")):
        (found,) = (made.main.tensors[n] for n in numbers)
        assert (found.name, found.type) == (name, TensorType.FLOAT32)
    assert made.signatures[0].inputs == {"picture": made.main.inputs[0]}
    assert made.signatures[0].outputs == {"scores": made.main.outputs[0]}


def test_nothing_is_left_of_the_float_weights() -> None:
    made = quantized(one_convolution(floats(8, 1, 1, 4), floats(8)), floats(1, 1, 1, 4))
    assert {t.type for t in made.main.tensors} == {TensorType.INT8, TensorType.INT32}
    assert len(made.main.tensors) == 4


def test_float16_weights_are_constants_behind_dequantize(litert: Any) -> None:
    graph, x = one_convolution(floats(8, 1, 1, 4), floats(8)), floats(1, 1, 1, 4)
    made = load_graph(write_graph(to_float16(graph)))
    assert names(made) == ["DEQUANTIZE", "DEQUANTIZE", "CONV_2D"]
    assert [t.type for t in made.main.tensors if t.is_constant] == [TensorType.FLOAT16] * 2
    (ours,) = run(made, x)
    np.testing.assert_allclose(ours, run(graph, x)[0], rtol=2e-3, atol=1e-3)
    with Oracle("litert-ref") as oracle:
        assert oracle.load(write_graph(made)).status == "ran"
        np.testing.assert_allclose(ours, oracle.invoke([x]).outputs[0], rtol=1e-6, atol=1e-6)


def test_float16_weights_can_be_made_int8() -> None:
    graph, x = one_convolution(floats(8, 1, 1, 4), floats(8)), floats(1, 1, 1, 4)
    assert names(quantized(to_float16(graph), x)) == ["CONV_2D"]


def operator_graph(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    *rest: Array,
    makes: TensorType = TensorType.FLOAT32,
    **fields: Any,
) -> Graph:
    """One operator: computed inputs of these shapes, then constants."""
    net = GraphBuilder()
    inputs = [net.input(tensor(shape)) for shape in shapes] + [net.tensor(constant(c)) for c in rest]
    op = ops.find(name)
    assert op is not None
    chosen = None if op.options is None else op.options(**fields)
    return net.graph(net.add(name, inputs, tensor((), makes), chosen))


def ints(*values: int) -> Array:
    return np.array(values, np.int32)


PICTURE = (1, 5, 6, 4)
I64 = TensorType.INT64
BORDER = np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)
STRIDES: dict[str, Any] = {"stride_w": 1, "stride_h": 1}
POOL: dict[str, Any] = {**STRIDES, "filter_width": 2, "filter_height": 3}
RELU6: dict[str, Any] = {"fused_activation_function": Activation.RELU6}


def transposed() -> Graph:
    net = GraphBuilder()
    shape = net.tensor(constant(ints(1, 10, 12, 3)))
    x = net.input(tensor(PICTURE))
    parts = [net.tensor(constant(part)) for part in (floats(3, 2, 2, 4), floats(3))]
    chosen = options("TRANSPOSE_CONV", stride_w=2, stride_h=2)
    inputs = [shape, parts[0], x, parts[1]]
    return net.graph(net.add("TRANSPOSE_CONV", inputs, tensor((1, 10, 12, 3)), chosen, version=3))


CASES: dict[str, Graph] = {
    "CONV_2D": operator_graph("CONV_2D", [PICTURE], floats(7, 3, 3, 4), floats(7), **STRIDES, **RELU6),
    "DEPTHWISE_CONV_2D": operator_graph(
        "DEPTHWISE_CONV_2D", [PICTURE], floats(1, 3, 3, 4), floats(4), **STRIDES, depth_multiplier=1
    ),
    "TRANSPOSE_CONV": transposed(),
    "FULLY_CONNECTED": operator_graph("FULLY_CONNECTED", [(3, 8)], floats(5, 8), floats(5)),
    "ADD": operator_graph("ADD", [PICTURE, PICTURE]),
    "SUB": operator_graph("SUB", [PICTURE], floats(4, high=9)),
    "MUL": operator_graph("MUL", [PICTURE, PICTURE]),
    "CONCATENATION": operator_graph("CONCATENATION", [PICTURE, PICTURE], axis=2),
    "AVERAGE_POOL_2D": operator_graph("AVERAGE_POOL_2D", [PICTURE], **POOL),
    "MAX_POOL_2D": operator_graph("MAX_POOL_2D", [PICTURE], **POOL),
    "RESIZE_BILINEAR": operator_graph("RESIZE_BILINEAR", [PICTURE], ints(9, 11), align_corners=True),
    "RESIZE_NEAREST_NEIGHBOR": operator_graph("RESIZE_NEAREST_NEIGHBOR", [PICTURE], ints(9, 11)),
    "MEAN": operator_graph("MEAN", [PICTURE], ints(1, 2), keep_dims=True),
    "RELU": operator_graph("RELU", [PICTURE]),
    "RELU6": operator_graph("RELU6", [PICTURE]),
    "LEAKY_RELU": operator_graph("LEAKY_RELU", [PICTURE], alpha=0.2),
    "PAD": operator_graph("PAD", [PICTURE], BORDER),
    "PADV2": operator_graph("PADV2", [PICTURE], BORDER, np.array([0.5], np.float32)),
    "MIRROR_PAD": operator_graph("MIRROR_PAD", [PICTURE], BORDER),
    "RESHAPE": operator_graph("RESHAPE", [PICTURE], ints(5, 24), new_shape=(5, 24)),
    "LOGISTIC": operator_graph("LOGISTIC", [PICTURE]),
    "SOFTMAX": operator_graph("SOFTMAX", [PICTURE], beta=1.0),
    "TANH": operator_graph("TANH", [PICTURE]),
    "HARD_SWISH": operator_graph("HARD_SWISH", [PICTURE]),
    "ARG_MAX": operator_graph("ARG_MAX", [PICTURE], ints(3), makes=I64, output_type=I64),
    "ARG_MIN": operator_graph("ARG_MIN", [PICTURE], ints(3), makes=I64, output_type=I64),
    "TRANSPOSE": operator_graph("TRANSPOSE", [PICTURE], ints(0, 2, 3, 1)),
    "SLICE": operator_graph("SLICE", [PICTURE], ints(0, 1, 2, 0), ints(1, 3, -1, 4)),
    "STRIDED_SLICE": operator_graph(
        "STRIDED_SLICE", [PICTURE], ints(0, 1, 0, 0), ints(1, 5, 6, 4), ints(1, 2, 1, 1)
    ),
    "MAXIMUM": operator_graph("MAXIMUM", [PICTURE, PICTURE]),
    "MINIMUM": operator_graph("MINIMUM", [PICTURE], floats(4)),
    "SHAPE": operator_graph("SHAPE", [PICTURE], makes=TensorType.INT32, out_type=TensorType.INT32),
    "SQUEEZE": operator_graph("SQUEEZE", [PICTURE], squeeze_dims=(0,)),
    "EXPAND_DIMS": operator_graph("EXPAND_DIMS", [PICTURE], ints(1)),
}


def test_every_operator_that_has_an_int8_form_is_tried() -> None:
    found = {name for name in ops.names() if getattr(ops.find(name), "int8", None) is not None}
    assert found == set(CASES)


@pytest.fixture(scope="module")
def oracle(litert: Any) -> Any:
    with Oracle("litert-ref") as started:
        yield started


@pytest.mark.parametrize("name", CASES)
def test_an_int8_operator_is_litert_s_in_every_bit_and_near_the_float_one(name: str, oracle: Oracle) -> None:
    graph = CASES[name]
    inputs = [floats(*graph.main.tensors[n].shape, low=-2, high=3) for n in graph.main.inputs]
    made = quantized(graph, *inputs, float_io=True)
    assert name in names(made)
    assert not any(t.type is TensorType.FLOAT32 for t in made.main.tensors if t.is_constant)
    (ours,), (floating,) = run(made, *inputs), run(graph, *inputs)
    assert oracle.load(write_graph(made)).status == "ran"
    np.testing.assert_array_equal(ours, oracle.invoke(inputs).outputs[0])
    if ours.dtype == np.float32:
        steps = np.ptp(floating) / 255
        assert np.abs(ours - floating).max() <= 6 * steps
    elif name == "SHAPE":
        np.testing.assert_array_equal(ours, floating)


def operators_with_floats(graph: Graph) -> list[Operator]:
    made = graph.main.tensors
    return [
        op
        for op in graph.main.operators
        if op.name not in ("QUANTIZE", "DEQUANTIZE")
        and any(made[n].type is TensorType.FLOAT32 for n in (*op.inputs, *op.outputs) if n >= 0)
    ]


@given(networks(TensorType.FLOAT32))
@settings(max_examples=15)
def test_random_networks_in_int8_are_litert_s_in_every_bit(oracle: Oracle, graph: Graph) -> None:
    inputs = [floats(*graph.main.tensors[n].shape) for n in graph.main.inputs]
    made = quantized(graph, *inputs)
    assert operators_with_floats(made) == []
    feed = [
        RNG.integers(-128, 128, t.shape, np.int8) for t in (made.main.tensors[n] for n in made.main.inputs)
    ]
    ours = run(made, *feed)
    answer = oracle.load(write_graph(made))
    assert answer.status == "ran", answer.message
    for a, b in zip(ours, oracle.invoke(feed).outputs, strict=True):
        np.testing.assert_array_equal(a, b)
