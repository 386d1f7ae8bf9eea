"""Writing: loading gives the same graph back, and LiteRT computes the same with what was written."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite import ops
from minilite.benchmark import random_inputs
from minilite.graph import Graph, Quantization, Signature, Subgraph, Tensor, TensorType
from minilite.loader import load_graph
from minilite.testing import cases
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from minilite.testing.oracle import Oracle
from minilite.testing.records import difference
from minilite.writer import write_graph

INT32 = TensorType.INT32

FOLDER = Path(os.environ.get("MINILITE_MODELS") or ".")
MODELS = sorted(path.name for path in FOLDER.glob("*.tflite"))


def round_trip(graph: Graph) -> Graph:
    return load_graph(write_graph(graph))


def addition(*constants: TensorSpec) -> Graph:
    return one_op("ADD_N", [tensor((4,)), *constants], [tensor((4,))])


def test_every_real_model_comes_back_the_same(models_dir: Path) -> None:
    for path in sorted(models_dir.glob("*.tflite")):
        graph = load_graph(path)
        assert difference(graph, round_trip(graph)) is None, path.name


def test_everything_a_graph_can_hold_comes_back() -> None:
    graph = one_op(
        "NO_SUCH",
        [
            tensor((1, 2), TensorType.INT16, scale=0.1, name="ünï"),
            constant(np.arange(6).reshape(3, 2), TensorType.INT8, scale=(1, 2, 3), zero_point=(0, 5, -7)),
            None,
            tensor((2,), is_variable=True),
            constant(True),
            constant(np.array([[b"x", b""]], object), TensorType.STRING),
        ],
        [tensor((1, 2)), tensor()],
        version=4,
        custom_options=b"\x00\x01",
    )
    tensors = list(graph.main.tensors)
    tensors[0] = replace(tensors[0], shape_signature=(-1, 2))
    index = np.array([0, 2], np.uint8)
    sparsity: dict[str, Any] = {
        "traversal_order": np.array([0, 1], np.int32),
        "block_map": np.empty(0, np.int32),
        "dim_metadata": (
            {
                "format": 0,
                "dense_size": 3,
                "array_segments": np.empty(0, np.int32),
                "array_indices": np.empty(0, np.int32),
            },
            {
                "format": 1,
                "dense_size": 0,
                "array_segments": index,
                "array_indices": index.astype(np.uint16),
            },
        ),
    }
    tensors[1] = replace(tensors[1], sparsity=sparsity, data=np.arange(4, dtype=np.int8))
    operator = replace(graph.main.operators[0], intermediates=(0, -1))
    main = replace(graph.main, tensors=tuple(tensors), operators=(operator,))
    graph = replace(
        graph,
        subgraphs=(main, replace(main, index=1, name="second")),
        signatures=(Signature("a", 1, {"x": 0}, {"y": 5, "z": 6}), Signature("b", 0, {}, {})),
        metadata={"min_runtime_version": b"1.5.0\0", "empty": b""},
        description="all of it",
    )
    assert difference(graph, round_trip(graph)) is None


def several(field: dataclasses.Field[Any]) -> tuple[float, ...]:
    if "float" in str(field.type):
        return (3.0, -1.5, 2.0)
    return (3, 1, 2) if field.name == "composite_attributes" else (3, -1, 2)  # bytes have no sign


@pytest.mark.parametrize("name", [n for n in ops.names() if ops.find(n).options])  # type: ignore[union-attr]
def test_options_of_every_operator_come_back(name: str) -> None:
    """With values other than the defaults, which would not be written."""
    defaults = ops.find(name).options()  # type: ignore[union-attr,misc]
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        changed[field.name] = several(field) if isinstance(value, tuple) else type(value)(not value)
    graph = one_op(name, [tensor((1,))], [tensor((1,))], replace(defaults, **changed))
    # For operators that run a subgraph, number 1 is there.
    graph = replace(graph, subgraphs=(graph.main, Subgraph(1, "second", (), (), (), ())))
    assert difference(graph, round_trip(graph)) is None


@given(
    st.sampled_from([kind for kind in TensorType if kind.bits >= 8]),
    st.lists(st.integers(0, 4), max_size=4).filter(lambda shape: 0 not in shape),
    st.randoms(use_true_random=False),
)
def test_constants_of_every_type_come_back(kind: TensorType, shape: list[int], random: Any) -> None:
    raw = np.frombuffer(random.randbytes(int(np.prod(shape)) * kind.dtype.itemsize), np.uint8)
    data = (raw % 2 if kind is TensorType.BOOL else raw).view(kind.dtype).reshape(shape)
    graph = one_op("NO_SUCH", [constant(data, kind)], [tensor()], custom_options=b"")
    assert difference(graph, round_trip(graph)) is None


def test_buffers_are_aligned_in_the_file() -> None:
    values = [np.full(n, n, np.uint8) for n in (33, 1, 17, 200)]
    content = write_graph(addition(*[constant(value) for value in values]))
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    for t in load_graph(content).main.tensors[1:5]:
        assert t.data is not None
        assert (t.data.__array_interface__["data"][0] - start) % 16 == 0


def test_tensors_that_share_a_buffer_share_it_in_the_file() -> None:
    graph = addition(constant(np.ones(1000, np.float32)), constant(np.ones(1000, np.float32)))
    tensors = list(graph.main.tensors)
    tensors[2] = replace(tensors[2], buffer=tensors[1].buffer, data=tensors[1].data)
    shared = replace(graph, subgraphs=(replace(graph.main, tensors=tuple(tensors)),))
    assert len(write_graph(shared)) < len(write_graph(graph)) - 3900
    assert difference(shared, round_trip(shared)) is None


def test_a_rewritten_constant_does_not_overwrite_its_neighbour() -> None:
    """A pass may leave several values under one number, or a value under the number of none."""
    graph = addition(constant([1, 2, 3, 4], INT32), constant([5, 6, 7, 8], INT32))
    values: list[tuple[Tensor, int]] = [
        (t, number) for t, number in zip(graph.main.tensors, (1, 1, 1, 0), strict=True)
    ]
    rewritten = replace(
        graph, subgraphs=(replace(graph.main, tensors=tuple(replace(t, buffer=n) for t, n in values)),)
    )
    given_, first, second, _ = round_trip(rewritten).main.tensors
    assert given_.data is None
    assert first.data is not None
    assert second.data is not None
    assert first.data.tolist() == [1, 2, 3, 4]
    assert second.data.tolist() == [5, 6, 7, 8]


def run(litert: Any, content: bytes, inputs: dict[int, Any]) -> list[Any]:
    interpreter = litert.Interpreter(
        model_content=content, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for index, value in inputs.items():
        interpreter.set_tensor(index, value)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


@pytest.mark.parametrize("name", MODELS or [pytest.param("", marks=pytest.mark.skip("no MINILITE_MODELS"))])
def test_litert_computes_the_same(litert: Any, name: str) -> None:
    """Bit for bit, on its default path or, where that refuses the model, without delegates."""
    content = (FOLDER / name).read_bytes()
    graph = load_graph(content)
    inputs = list(random_inputs((graph.main.tensors[i] for i in graph.main.inputs), seed=1).values())
    for runtime in ("litert", "litert-builtin"):
        with Oracle(runtime) as oracle:
            original = oracle.run(content, inputs, runs=2)
            written = oracle.run(write_graph(graph), inputs, runs=2)
        if original.status == "ran":
            break
    else:
        pytest.skip(f"LiteRT does not run it: {original.message}")
    assert written.status == "ran", written.message
    for a, b in zip(original.outputs, written.outputs, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", cases.operators())
@settings(max_examples=8)
@given(data=st.data())
def test_models_of_every_operator_come_back_the_same(name: str, data: st.DataObject) -> None:
    variant = data.draw(st.sampled_from(cases.variants(name)))
    # Once loaded, options have the precision that the file gives them.
    graph = round_trip(data.draw(cases.cases(name, variant)).graph)
    assert difference(graph, round_trip(graph)) is None


def test_litert_runs_a_model_made_by_hand(litert: Any) -> None:
    graph = one_op(
        "ADD", [tensor((1, 3)), constant([[10.0, 20.0, 30.0]], TensorType.FLOAT32)], [tensor((1, 3))]
    )
    content = write_graph(graph)
    (result,) = run(litert, content, {0: np.array([[1, 2, 3]], np.float32)})
    assert result.tolist() == [[11, 22, 33]]


def test_quantization_without_zero_points_is_written_in_full() -> None:
    graph = one_op("QUANTIZE", [tensor((2,))], [tensor((2,), TensorType.INT8, scale=0.5, zero_point=-3)])
    read = round_trip(graph).main.tensors[1].quantization
    assert isinstance(read, Quantization)
    assert (float(read.scale), read.zero_point, read.per_channel) == (0.5, -3, False)


def test_a_negative_zero_among_options_comes_back() -> None:
    op = ops.find("FAKE_QUANT")
    assert op is not None
    assert op.options is not None
    options = op.options(min=-0.0, max=6.0)
    graph = one_op("FAKE_QUANT", [tensor((1,))], [tensor((1,))], options)
    assert str(load_graph(write_graph(graph)).main.operators[0].options.min) == "-0.0"
