"""Loading: what a file says arrives unchanged (for damaged files see ``test_damaged_models``)."""

from __future__ import annotations

import dataclasses
import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
from flatbuffers.builder import Builder

from minilite import ops, schema
from minilite.content import Content
from minilite.errors import UnsupportedOpError
from minilite.graph import Activation, Padding, TensorType
from minilite.loader import check_supported, load_graph, unsupported
from minilite.model import Model
from minilite.schema import Record, SchemaOptions
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.records import difference
from minilite.writer import write_graph
from tests.convolution_model import CONTENT, UINT8, convolution, edit_operator, edit_tensor

INT8 = TensorType.INT8


# What a file says


def test_tensors_operators_and_options_arrive() -> None:
    graph = load_graph(CONTENT)
    image, weights, bias, output = graph.main.tensors
    assert (image.name, image.type, image.shape, image.data) == ("image", UINT8, (1, 4, 4, 2), None)
    assert image.quantization is not None
    assert (float(image.quantization.scale), image.quantization.zero_point) == (0.5, 128)
    assert weights.data is not None
    assert bias.data is not None
    np.testing.assert_array_equal(weights.data, np.arange(12, dtype=np.uint8).reshape(2, 1, 3, 2))
    np.testing.assert_array_equal(bias.data, np.array([5, -7], np.int32))
    assert (graph.main.inputs, graph.main.outputs, output.index) == ((0,), (3,), 3)
    operator = graph.main.operators[0]
    assert (operator.name, operator.inputs, operator.outputs) == ("CONV_2D", (0, 1, 2), (3,))
    assert (operator.options.stride_w, operator.options.stride_h) == (1, 2)
    assert operator.options.padding is Padding.VALID
    assert operator.options.fused_activation_function is Activation.NONE
    assert operator.options.dilation_w_factor == 1


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_sources_of_bytes(wrap: Callable[[bytes], Any]) -> None:
    assert difference(load_graph(wrap(CONTENT)), load_graph(CONTENT)) is None


def test_sources_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "conv.tflite"
    path.write_bytes(CONTENT)
    expected = load_graph(CONTENT)
    with path.open("rb") as file:
        for source in (path, str(path), file):
            assert difference(load_graph(source), expected) is None


def test_constants_are_read_only_views_of_the_bytes() -> None:
    content = write_graph(
        one_op("ADD", [tensor((8,)), constant(np.arange(8.0), TensorType.FLOAT32)], [tensor()])
    )
    data = load_graph(content).main.tensors[1].data
    assert data is not None
    assert np.shares_memory(data, np.frombuffer(content, np.uint8))
    assert not data.flags.writeable


def test_changing_the_bytes_given_does_not_change_the_graph() -> None:
    content = bytearray(CONTENT)
    graph = load_graph(content)
    content[:] = bytes(len(content))
    assert difference(graph, load_graph(CONTENT)) is None


def test_a_file_of_a_path_can_be_replaced_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "conv.tflite"
    path.write_bytes(CONTENT)
    graph = load_graph(path)
    path.unlink()
    path.write_bytes(bytes(len(CONTENT)))
    assert difference(graph, load_graph(CONTENT)) is None


def test_pickle_keeps_everything() -> None:
    graph = load_graph(write_graph(one_op("NO_SUCH", [tensor((2,))], [tensor((2,))], custom_options=b"\1")))
    assert difference(pickle.loads(pickle.dumps(graph)), graph) is None


def test_int4_is_unpacked_low_nibble_first() -> None:
    values = [[-8, 7, 1], [-1, 0, 3]]
    graph = one_op("DEQUANTIZE", [constant(values, TensorType.INT4, scale=1.0)], [tensor()])
    content = write_graph(graph)
    assert bytes([0x78, 0xF1, 0x30]) in content
    data = load_graph(content).main.tensors[0].data
    assert data is not None
    assert data.dtype == np.int8
    assert data.tolist() == values


def test_int4_of_odd_length() -> None:
    graph = one_op("DEQUANTIZE", [constant([1, 2, -3], TensorType.INT4, scale=1.0)], [tensor()])
    data = load_graph(write_graph(graph)).main.tensors[0].data
    assert data is not None
    assert data.tolist() == [1, 2, -3]


def test_strings() -> None:
    strings = np.array([[b"a", b""], [b"\0nul", "ü".encode()]], object)
    graph = one_op("RESHAPE", [constant(strings, TensorType.STRING)], [tensor((4,), TensorType.STRING)])
    data = load_graph(write_graph(graph)).main.tensors[0].data
    assert data is not None
    assert data.tolist() == strings.tolist()


def test_per_channel_quantization_and_a_single_zero_point_for_all() -> None:
    weights = constant(np.zeros((3, 2)), INT8, scale=(0.5, 0.25, 2.0), zero_point=0, quantized_dimension=0)
    graph = one_op("FULLY_CONNECTED", [tensor((1, 2)), weights], [tensor((1, 3))])
    one = replace(graph.main.tensors[1].quantization, zero_points=np.zeros(1, np.int64))  # type: ignore[type-var]
    for quantization in (graph.main.tensors[1].quantization, one):
        loaded = load_graph(write_graph(edit_tensor(graph, 1, quantization=quantization)))
        read = loaded.main.tensors[1].quantization
        assert read is not None
        assert read.per_channel
        assert read.scales.tolist() == [0.5, 0.25, 2.0]
        assert read.zero_points.tolist() == [0, 0, 0]


def test_a_constant_without_elements_is_known() -> None:
    graph = one_op("RESHAPE", [tensor((1, 1)), constant(np.zeros(0, np.int32))], [tensor()])
    data = load_graph(write_graph(graph)).main.tensors[1].data
    assert data is not None
    assert data.shape == (0,)


def test_a_tensor_without_elements_that_nothing_computes_is_a_constant() -> None:
    graph = one_op("CONCATENATION", [tensor((2, 3)), constant(np.zeros((0, 3), np.float32))], [tensor()])
    loaded = load_graph(write_graph(edit_tensor(graph, 1, data=None, buffer=0)))
    assert loaded.main.tensors[1].is_constant
    np.testing.assert_array_equal(Model(loaded)(np.eye(2, 3, dtype=np.float32))[0], np.eye(2, 3))


def test_operator_unknown_to_minilite_keeps_every_field_the_schema_knows() -> None:
    options = SchemaOptions("StablehloSortOptions", {"dimension": 2, "is_stable": True})
    graph = one_op("STABLEHLO_SORT", [tensor((1,)), None], [tensor((1,))], options)
    assert not ops.find("STABLEHLO_SORT")
    assert load_graph(write_graph(graph)).main.operators[0].options == {
        "dimension": 2,
        "is_stable": True,
        "comparator_subgraph_index": 0,
    }


def test_builtin_newer_than_the_schema_loads() -> None:
    graph = load_graph(write_graph(one_op("BUILTIN_1000", [tensor((1,))], [tensor((1,))])))
    assert graph.main.operators[0].name == "BUILTIN_1000"


def test_a_buffer_longer_than_its_shape_is_cut_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="tensor 2 'bias': its buffer has 1 elements more"):
        graph = load_graph(write_graph(edit_tensor(convolution(), 2, shape=(1,), shape_signature=(1,))))
    data = graph.main.tensors[2].data
    assert data is not None
    assert data.tolist() == [5]


# Operators


def test_all_unsupported_operators_are_named_at_once() -> None:
    one = one_op("NO_SUCH", [tensor((1, 2)), None], [tensor((3,), INT8)], custom_options=b"")
    two = replace(one.main.operators[0], index=1, name="NOR_THIS", inputs=(1,), outputs=(2,))
    tensors = (*one.main.tensors, replace(one.main.tensors[1], index=2, shape=()))
    graph = replace(
        one, subgraphs=(replace(one.main, tensors=tensors, operators=(one.main.operators[0], two)),)
    )
    lines = ["op 0 NO_SUCH: (FLOAT32 1x2, none) -> (INT8 3)", "op 1 NOR_THIS: (INT8 3) -> (INT8 scalar)"]
    assert unsupported(graph) == {"NO_SUCH": lines[:1], "NOR_THIS": lines[1:]}
    with pytest.raises(UnsupportedOpError) as caught:
        check_supported(graph)
    assert caught.value.operators == tuple(lines)
    assert all(line in str(caught.value) for line in lines)
    assert "CONV_2D" in str(caught.value)


def test_an_unsupported_operator_used_often_does_not_flood_the_message() -> None:
    one = one_op("NO_SUCH", [tensor((1, 2))], [tensor((3,), INT8)], custom_options=b"")
    tensors = (one.main.tensors[0], *(replace(one.main.tensors[1], index=i) for i in range(1, 8)))
    chain = tuple(replace(one.main.operators[0], index=i, outputs=(i + 1,)) for i in range(7))
    graph = replace(one, subgraphs=(replace(one.main, tensors=tensors, operators=chain),))
    with pytest.raises(UnsupportedOpError, match="and NO_SUCH 4 more times") as caught:
        check_supported(graph)
    assert len(caught.value.operators) == 7
    assert str(caught.value).count("op ") == 3


def test_supported_graph_passes() -> None:
    assert unsupported(convolution()) == {}
    check_supported(convolution())


def with_options() -> list[str]:
    return [name for name in ops.names() if ops.find(name).options is not None]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", with_options())
def test_defaults_of_options_are_those_of_the_schema(name: str) -> None:
    options: Any = ops.find(name).options  # type: ignore[union-attr]
    builder = Builder()
    builder.StartObject(0)
    builder.Finish(builder.EndObject())
    content = bytes(builder.Output())
    table = Record(
        Content(memoryview(content), "empty"),
        getattr(tflite, options.__name__),
        struct.unpack_from("<I", content)[0],
    )
    declared = schema.fields(options.__name__)
    for field in dataclasses.fields(options):
        accessor = declared[field.name]
        ours = getattr(options(), field.name)
        read = table.text if isinstance(ours, str) else table.number
        default = (table.numbers if schema.is_vector(options.__name__, accessor) else read)(accessor)
        assert ours == default, field.name


def test_a_missing_options_table_means_the_schema_defaults() -> None:
    graph = load_graph(write_graph(edit_operator(convolution(), options=None)))
    options = graph.main.operators[0].options
    assert options == type(options)()


# Real models


def test_every_real_model_loads(models_dir: Path) -> None:
    for path in sorted(models_dir.glob("*.tflite")):
        graph = load_graph(path)
        assert graph.main.operators, path.name


def test_deeplab(model_path: Callable[[str], Path]) -> None:
    graph = load_graph(model_path("deeplabv3_257_mv_gpu.tflite"))
    (image,) = graph.main.inputs
    assert graph.main.tensors[image].shape == (1, 257, 257, 3)
    assert (len(graph.main.tensors), len(graph.main.operators)) == (184, 70)


def test_details_are_those_of_litert(model_path: Callable[[str], Path], litert: Any) -> None:
    for name in ("ssd_mobilenet_v1_coco_uint8.tflite", "cifar10_nxp.tflite", "mtcnn_pnet.tflite"):
        path = model_path(name)
        graph = load_graph(path)
        interpreter = litert.Interpreter(
            model_path=str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
        )
        details = {d["index"]: d for d in interpreter.get_tensor_details()}
        for t in graph.main.tensors:
            expected = details[t.index]
            assert (t.name, t.dtype) == (expected["name"], np.dtype(expected["dtype"]))
            assert list(t.shape) == expected["shape"].tolist()
            assert list(t.shape_signature) == expected["shape_signature"].tolist()
            parameters = expected["quantization_parameters"]
            scales = [] if t.quantization is None else t.quantization.scales.tolist()
            assert scales == parameters["scales"].tolist()
        executed = [op["op_name"] for op in interpreter._get_ops_details()]
        assert [op.name for op in graph.main.operators] == executed
