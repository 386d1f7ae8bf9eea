"""Float twins of quantized models: what each number becomes, what stays quantized, what LiteRT says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite.debug.shadow import real_numbers
from minilite.debug.twin import float_twin
from minilite.errors import TensorValueError
from minilite.graph import Activation, Array, Graph, Operator, Subgraph, TensorType
from minilite.inputs import read_inputs
from minilite.loader import load_graph
from minilite.model import Model
from minilite.ops.convolution import Conv2DOptions
from minilite.ops.fully_connected import FullyConnectedOptions
from minilite.testing.models import TensorSpec, constant, make_tensor, one_op, tensor
from minilite.writer import write_graph
from tests.small_models import chain_graph

UNIT = Conv2DOptions(stride_w=1, stride_h=1)
U8, I8, I16, F32 = TensorType.UINT8, TensorType.INT8, TensorType.INT16, TensorType.FLOAT32


def run(graph: Graph, *inputs: Any) -> tuple[Array, ...]:
    return tuple(Model(graph, backend="numpy")(*inputs))


def pixel(*values: float) -> Array:
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def uint8_convolution(**output: Any) -> Graph:
    x = tensor((1, 1, 1, 2), U8, scale=0.5, zero_point=10)
    w = constant(np.array([5, 1], np.uint8).reshape(1, 1, 1, 2), scale=0.25, zero_point=3)
    y = tensor((), U8, **{"scale": 0.5, "zero_point": 100, **output})
    return one_op("CONV_2D", [x, w, constant(np.array([4], np.int32))], [y], UNIT)


def test_weights_and_biases_become_what_they_stand_for() -> None:
    twin = float_twin(uint8_convolution())
    x, w, bias, y = twin.graph.main.tensors
    assert {t.type for t in (x, w, bias, y)} == {F32}
    assert all(t.quantization is None for t in (x, w, bias, y))
    assert w.data is not None
    assert bias.data is not None
    np.testing.assert_array_equal(w.data.ravel(), [0.5, -0.5])
    np.testing.assert_array_equal(bias.data, [0.5])  # 4 steps of 0.5 * 0.25
    assert run(twin.graph, pixel(1, -1.5))[0].item() == 0.5 + 0.75 + 0.5


def test_signed_weights_have_no_zero_point_whatever_the_file_says() -> None:
    x = tensor((1, 1, 1, 1), I8, scale=0.5)
    w = constant(np.array([2, 4], np.int8).reshape(2, 1, 1, 1), scale=[1.0, 0.25], zero_point=[7, 7])
    graph = one_op("CONV_2D", [x, w, constant(np.array([2, 8], np.int32))], [tensor((), I8, scale=1.0)], UNIT)
    _, weights, bias, _ = float_twin(graph).graph.main.tensors
    assert weights.data is not None
    assert bias.data is not None
    assert (weights.data.ravel().tolist(), bias.data.tolist()) == ([2, 1], [1, 1])


@pytest.mark.parametrize(("kind", "codes"), [(I8, [3, -2]), (U8, [3, 254])], ids=["int8", "uint8"])
def test_weights_of_dynamic_range(kind: TensorType, codes: list[int]) -> None:
    # uint8 weights hold the bits of int8.
    w = constant(np.array(codes, kind.dtype).reshape(1, 2), scale=0.5)
    graph = one_op("FULLY_CONNECTED", [tensor((1, 2)), w], [tensor((1, 1))], FullyConnectedOptions())
    twin = float_twin(graph)
    assert run(twin.graph, np.array([[10, 1]], np.float32))[0].item() == 15 - 1


def test_int16_with_a_wide_bias() -> None:
    x = tensor((1, 1, 1, 1), I16, scale=0.25)
    w = constant(np.array([4], np.int8).reshape(1, 1, 1, 1), scale=0.5)
    y = tensor((), I16, scale=1.0)
    graph = one_op("CONV_2D", [x, w, constant(np.array([80], np.int64))], [y], UNIT, version=8)
    assert run(float_twin(graph).graph, pixel(3))[0].item() == 3 * 2 + 80 * 0.125


def test_ranges_that_begin_at_zero_imply_a_clamp() -> None:
    for scale, activation, value in ((0.1, Activation.RELU, 1.75), (6 / 255, Activation.RELU6, 1.75)):
        twin = float_twin(uint8_convolution(scale=scale, zero_point=0))
        assert dict(twin.implied) == {0: activation}
        assert run(twin.graph, pixel(1, -1.5))[0].item() == value
        assert run(twin.graph, pixel(-9, 0))[0].item() == 0
        assert run(twin.graph, pixel(99, 0))[0].item() == (50 if activation is Activation.RELU else 6)
    open_twin = float_twin(uint8_convolution(scale=0.1, zero_point=0), implied=False)
    assert dict(open_twin.implied) == {}
    assert run(open_twin.graph, pixel(-9, 0))[0].item() == -4
    assert dict(float_twin(uint8_convolution()).implied) == {}


def test_fused_activations_stay() -> None:
    graph = uint8_convolution()
    (conv,) = graph.main.operators
    clamped = replace(conv, options=replace(UNIT, fused_activation_function=Activation.RELU_N1_TO_1))
    graph = Graph((replace(graph.main, operators=(clamped,)),))
    assert run(float_twin(graph).graph, pixel(1, -1.5))[0].item() == 1


@pytest.mark.parametrize(
    ("name", "given", "made"),
    [
        ("QUANTIZE", tensor((2,)), tensor((2,), I8, scale=0.5)),
        ("QUANTIZE", tensor((2,), U8, scale=2.0, zero_point=3), tensor((2,), I8, scale=0.5)),
        ("DEQUANTIZE", tensor((2,), I8, scale=0.5), tensor((2,))),
    ],
)
def test_changes_of_units_change_nothing(name: str, given: TensorSpec, made: TensorSpec) -> None:
    twin = float_twin(one_op(name, [given], [made]))
    x = np.array([0.123, 1e6], np.float32)
    np.testing.assert_array_equal(run(twin.graph, x)[0], x)
    assert twin.quantized == ()


def test_inputs_of_other_sizes() -> None:
    twin = float_twin(one_op("QUANTIZE", [tensor((2,))], [tensor((2,), I8, scale=0.5)]))
    x = np.array([0.1, 0.2, 0.3], np.float32)
    np.testing.assert_array_equal(run(twin.graph, x)[0], x)


def test_what_reads_the_codes_stays_quantized() -> None:
    twin = float_twin(one_op("CAST", [tensor((2,), U8, scale=0.5, zero_point=10)], [tensor((2,))]))
    assert (twin.quantized, twin.operators) == ((0,), (range(2),))
    np.testing.assert_array_equal(run(twin.graph, np.array([1, -1.5], np.float32))[0], [12, 7])


def test_what_has_no_float_form_stays_quantized() -> None:
    # Float FULLY_CONNECTED has no fused TANH, that of dynamic range has.
    options = FullyConnectedOptions(fused_activation_function=Activation.TANH)
    w = constant(np.array([[127, 0]], np.int8), scale=1 / 127)
    graph = one_op("FULLY_CONNECTED", [tensor((1, 2)), w], [tensor((1, 1))], options)
    twin = float_twin(graph)
    assert (twin.quantized, len(twin.graph.main.operators)) == ((0,), 1)
    x = np.array([[0.3, 1.7]], np.float32)
    assert run(twin.graph, x)[0].tobytes() == run(graph, x)[0].tobytes()


def shared_bias() -> Graph:
    """One bias under two scales: y = x * 1 + 8 steps of 0.5, z = x * 1 + 8 steps of 0.25."""
    specs = [
        tensor((1, 1, 1, 1), I8, scale=0.5, name="x"),
        constant(np.ones((1, 1, 1, 1), np.int8), scale=1.0),
        constant(np.ones((1, 1, 1, 1), np.int8), scale=0.5),
        constant(np.array([8], np.int32)),
        tensor((1, 1, 1, 1), I8, scale=1.0, name="y"),
        tensor((1, 1, 1, 1), I8, scale=1.0, name="z"),
    ]
    tensors = tuple(make_tensor(spec, i, f"t{i}") for i, spec in enumerate(specs))
    operators = (
        Operator(0, "CONV_2D", (0, 1, 3), (4,), UNIT),
        Operator(1, "CONV_2D", (0, 2, 3), (5,), UNIT),
    )
    return Graph((Subgraph(0, "main", tensors, operators, (0,), (4, 5)),))


def test_one_bias_may_stand_for_two_numbers() -> None:
    y, z = run(float_twin(shared_bias()).graph, pixel(3))
    assert (y.item(), z.item()) == (3 + 8 * 0.5, 1.5 + 8 * 0.25)


def test_a_float_model_has_no_twin() -> None:
    with pytest.raises(TensorValueError, match="nothing in this model is quantized"):
        float_twin(chain_graph())


@pytest.mark.parametrize("name", ["mcunet_320kb_int8", "deeplabv3_jejunet_256_uint8", "mlkit_automl_vision"])
def test_litert_runs_the_twin_and_agrees(name: str, model_path: Callable[[str], Path], litert: Any) -> None:
    graph = load_graph(model_path(f"{name}.tflite"))
    twin = float_twin(graph).graph
    (codes,) = read_inputs("random:0", graph)
    given = real_numbers(codes, graph.main.tensors[graph.main.inputs[0]])
    (ours,) = run(twin, given)
    interpreter = litert.Interpreter(model_content=write_graph(twin), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
    interpreter.invoke()
    theirs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    if ours.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    else:
        assert np.mean(ours == theirs) > 0.999  # labels: two scores may be as good as equal
