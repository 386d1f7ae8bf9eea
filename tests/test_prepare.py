"""Preparing: shapes flow from the inputs through the operators, and what cannot flow is refused by name."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import ops
from minilite.errors import MiniliteError, PrepareError, UnsupportedOpError
from minilite.graph import Array, Graph, Node, Shape, TensorType
from minilite.loader import load_graph, unsupported
from minilite.ops import Op
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.sparse import sparsified, with_sparse


class Doubled(Op):
    """Twice as long as its input; with a second input, a length known only at run time."""

    evaluated = 0

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        if len(node.inputs) > 1:
            return (None,)
        (length,) = node.input(0).shape
        return ((2 * length,),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        assert inputs[0] is not None
        type(self).evaluated += 1
        return (np.concatenate([inputs[0], inputs[0]]),)


class Length(Op):
    """How long its input is: known before the run."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        return ((1,),)

    def known_outputs(self, node: Node) -> tuple[Array, ...] | None:
        return (np.array(node.input(0).shape, np.int32),)


class Drawn(Doubled):
    """Not the same each time."""

    pure = False


class Given(Op):
    """Gives what the test wants as its output shapes."""

    shapes: tuple[Any, ...] = ()

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        return self.shapes


GIVEN = Given()


@pytest.fixture(autouse=True)
def operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ops,
        "find",
        {
            "DOUBLED": Doubled(),
            "DRAWN": Drawn(),
            "LENGTH": Length(),
            "GIVEN": GIVEN,
        }.get,
    )


def chain(length: int) -> Graph:
    """``length`` operators in a row, each declared as long as the first input."""
    one = one_op("DOUBLED", [tensor((3,))], [tensor((3,))])
    tensors = tuple(replace(one.main.tensors[0], index=i, name=f"t{i}", buffer=0) for i in range(length + 1))
    operators = tuple(
        replace(one.main.operators[0], index=i, inputs=(i,), outputs=(i + 1,)) for i in range(length)
    )
    main = replace(one.main, tensors=tensors, operators=operators, inputs=(0,), outputs=(length,))
    return replace(one, subgraphs=(main,))


def shapes(graph: Graph) -> list[Shape]:
    return [t.shape for t in graph.main.tensors]


def test_shapes_flow_in_order() -> None:
    graph = chain(3)
    assert shapes(prepare(graph)) == [(3,), (6,), (12,), (24,)]
    assert shapes(graph) == [(3,)] * 4


def test_new_shapes_of_inputs() -> None:
    prepared = prepare(chain(2), {0: (5,)})
    assert shapes(prepared) == [(5,), (10,), (20,)]
    assert shapes(prepare(prepared, {0: (1,)})) == [(1,), (2,), (4,)]
    assert prepared.main.tensors[0].shape_signature == (3,)


def test_numpy_shapes_become_python_integers() -> None:
    sizes: Any = np.array([4], np.int32)
    (size,) = prepare(chain(1), {0: sizes}).main.tensors[0].shape
    assert type(size) is int


def test_a_shape_known_only_at_run_time_stays_as_declared() -> None:
    graph = one_op("DOUBLED", [tensor((3,)), tensor((1,))], [tensor((7,))])
    assert prepare(graph).main.tensors[2].shape == (7,)


def test_what_follows_a_dynamic_tensor_is_dynamic_and_not_asked() -> None:
    graph = chain(2)
    first, second = graph.main.operators
    operators = (replace(first, inputs=(0, 0)), second)
    prepared = prepare(replace(graph, subgraphs=(replace(graph.main, operators=operators),)))
    assert [t.is_dynamic for t in prepared.main.tensors] == [False, True, True]
    assert not any(t.is_dynamic for t in prepare(graph).main.tensors)


def constants(name: str = "DOUBLED") -> Graph:
    """One operator on the constant [1, 2]."""
    return one_op(name, [constant(np.arange(1, 3, dtype=np.float32))], [tensor((4,))])


def test_an_operator_on_constants_is_folded() -> None:
    graph = prepare(constants())
    (node,) = graph.main.nodes()
    assert node.is_folded
    assert node.output.data is not None
    assert node.output.data.tolist() == [1, 2, 1, 2]
    assert not node.output.data.flags.writeable
    assert not next(iter(prepare(constants(), fold=False).main.nodes())).is_folded
    assert not next(iter(prepare(constants("DRAWN")).main.nodes())).is_folded


def test_folding_again_gives_the_same_array_while_it_is_in_use() -> None:
    graph = constants()
    before = Doubled.evaluated
    first, second = prepare(graph).main.tensors[1].data, prepare(graph).main.tensors[1].data
    assert first is second
    assert Doubled.evaluated == before + 1
    assert prepare(constants()).main.tensors[1].data is not first
    del first, second
    gc.collect()
    assert prepare(graph).main.tensors[1].data is not None
    assert Doubled.evaluated == before + 3


def test_a_value_too_large_to_keep_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilite.prepare.FOLDED_BYTES", 15)
    assert not prepare(constants()).main.tensors[1].is_constant
    monkeypatch.setattr("minilite.prepare.FOLDED_BYTES", 16)
    assert prepare(constants()).main.tensors[1].is_constant


def test_a_known_value_follows_a_new_shape() -> None:
    graph = one_op("LENGTH", [tensor((3,))], [tensor((1,), TensorType.INT32)])
    prepared = prepare(graph)
    for again in (prepared, prepare(prepared, {0: (5,)}), prepare(graph, {0: (5,)})):
        value = again.main.tensors[1].data
        assert value is not None
        assert value.tolist() == list(again.main.tensors[0].shape)


def test_another_subgraph() -> None:
    graph = chain(1)
    graph = replace(graph, subgraphs=(graph.main, replace(graph.main, index=1)))
    prepared = prepare(graph, {0: (4,)}, subgraph=1)
    assert shapes(prepared) == [(3,), (3,)]
    assert [t.shape for t in prepared.subgraphs[1].tensors] == [(4,), (8,)]


@pytest.mark.parametrize(
    ("resized", "words"),
    [
        ({1: (3,)}, r"tensor 1 cannot be resized: .* its inputs are \[0\]"),
        ({-1: (3,)}, "tensor -1 cannot be resized"),
        ({0: (-1,)}, "tensor 0 .* cannot become .*negative"),
        ({0: (2**62, 4)}, "overflows"),
        ({0: (2**62,)}, "op 0 DOUBLED: tensor 1 .* overflows"),
    ],
)
def test_shapes_that_cannot_be(resized: dict[int, Shape], words: str) -> None:
    graph = one_op("DOUBLED", [tensor((3,), TensorType.INT8)], [tensor((3,), TensorType.INT8)])
    with pytest.raises(PrepareError, match=words):
        prepare(graph, resized)


def test_what_an_operator_infers_is_checked() -> None:
    graph = one_op("GIVEN", [tensor((3,))], [tensor((1,))])
    for wrong, rule in (((), "output-count"), (((1,), (2,)), "output-count"), (((-3,),), "shape")):
        GIVEN.shapes = wrong
        with pytest.raises(PrepareError, match="op 0 GIVEN: ") as caught:
            prepare(graph)
        assert caught.value.rule == rule


def sparse_constant() -> Graph:
    """[0, 0, 5, 0, 7, 0], of which the file holds two values."""
    dense = np.array([0, 0, 5, 0, 7, 0], np.float32)
    graph = one_op("DOUBLED", [constant(dense)], [tensor((12,))])
    values, sparsity = sparsified(dense, (0,), (True,), {})
    return with_sparse(graph, 0, values, sparsity)


def test_sparse_constants_become_dense() -> None:
    graph = sparse_constant()
    made, folded = prepare(graph).main.tensors
    assert made.data is not None
    assert folded.data is not None
    assert made.sparsity is None
    assert made.data.tolist() == [0, 0, 5, 0, 7, 0]
    assert folded.data.tolist() == [0, 0, 5, 0, 7, 0] * 2
    assert prepare(graph).main.tensors[0].data is made.data, "made once"


def test_sparse_constants_that_stay_are_refused() -> None:
    """What a kernel would take for a dense array is shorter than its shape."""
    with pytest.raises(PrepareError, match=r"op 0 DOUBLED: tensor 0 'input_0' .* stored sparse"):
        prepare(sparse_constant(), fold=False)


def test_a_sparse_constant_whose_description_is_wrong_is_refused() -> None:
    graph = sparse_constant()
    broken = replace(graph.main.tensors[0], shape=(4,), shape_signature=(4,))
    main = replace(graph.main, tensors=(broken, graph.main.tensors[1]))
    with pytest.raises(MiniliteError, match=r"tensor 0 .* is stored sparse, but") as caught:
        prepare(replace(graph, subgraphs=(main,)))
    assert caught.value.rule == "sparsity"


def test_missing_operator() -> None:
    graph = one_op("NO_SUCH", [tensor((3,))], [tensor((1,))], custom_options=b"")
    with pytest.raises(UnsupportedOpError, match="op 0 NO_SUCH: minilite does not have this operator"):
        prepare(graph)


def test_real_models_have_the_shapes_litert_gives_them(
    models_dir: Path, litert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    prepared = []
    for path in sorted(models_dir.glob("*.tflite")):
        graph = load_graph(path)
        if unsupported(graph):
            continue
        interpreter = litert.Interpreter(
            model_path=str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
        )
        try:
            interpreter.allocate_tensors()
        except RuntimeError:
            continue  # custom operators, or sizes that have to be given first
        theirs = [tuple(details["shape"].tolist()) for details in interpreter.get_tensor_details()]
        # Where LiteRT learns a shape only when it runs, it still says what the file does.
        declared = shapes(graph)
        ours = shapes(prepare(graph))
        expected = [a if b == c else b for a, b, c in zip(ours, theirs, declared, strict=False)]
        assert ours == expected, path.name
        prepared.append(path.name)
    assert "deeplabv3_257_mv_gpu.tflite" in prepared


def test_shapes_of_a_resized_model_are_those_of_litert(
    model_path: Callable[[str], Path], litert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    path = model_path("deeplabv3_257_mv_gpu.tflite")
    graph = load_graph(path)
    (image,) = graph.main.inputs
    interpreter = litert.Interpreter(
        model_path=str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.resize_tensor_input(image, (2, 257, 257, 3))
    interpreter.allocate_tensors()
    expected = [tuple(details["shape"].tolist()) for details in interpreter.get_tensor_details()]
    assert shapes(prepare(graph, {image: (2, 257, 257, 3)})) == expected[: len(graph.main.tensors)]
