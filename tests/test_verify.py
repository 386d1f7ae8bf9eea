"""Every rule of ``verify`` is broken once, by hand, and the fault found is the one that was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minilite.errors import ModelFormatError
from minilite.graph import Graph, Operator, Quantization, Signature, Subgraph, Tensor, TensorType
from minilite.verify import MAX_FAULTS, verify

FLOAT32 = TensorType.FLOAT32
INT8 = TensorType.INT8


def make(index: int, shape: tuple[int, ...] = (2,), kind: TensorType = FLOAT32, **attributes: Any) -> Tensor:
    return Tensor(index, f"t{index}", kind, shape, shape, **attributes)


def graph() -> Graph:
    """Tensor 3 = op 0 (input 0, constant 1); tensor 4 = op 1 (tensor 3, variable 2)."""
    tensors = (make(0), make(1, data=np.zeros(2, np.float32)), make(2, is_variable=True), make(3), make(4))
    operators = (Operator(0, "ADD", (0, 1), (3,)), Operator(1, "SUB", (3, 2, -1), (4,)))
    signature = Signature("serve", 0, {"x": 0}, {"y": 4})
    return Graph((Subgraph(0, "main", tensors, operators, (0,), (4,)),), (signature,))


def with_tensor(index: int, **changes: Any) -> Graph:
    tensors = list(graph().main.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return with_main(tensors=tuple(tensors))


def with_operator(index: int, **changes: Any) -> Graph:
    operators = list(graph().main.operators)
    operators[index] = replace(operators[index], **changes)
    return with_main(operators=tuple(operators))


def with_main(**changes: Any) -> Graph:
    return replace(graph(), subgraphs=(replace(graph().main, **changes),))


def with_signature(**changes: Any) -> Graph:
    return replace(graph(), signatures=(replace(graph().signatures[0], **changes),))


def quantized(
    scales: list[float],
    zero_points: list[int],
    dimension: int = 0,
    kind: TensorType = INT8,
    **attributes: Any,
) -> Graph:
    quantization = Quantization(np.array(scales, np.float32), np.array(zero_points), dimension)
    return with_tensor(0, type=kind, quantization=quantization, **attributes)


@pytest.mark.parametrize(
    "accepted",
    [
        graph(),
        with_main(outputs=(4, 4, 0, 1)),  # outputs may repeat, be inputs or be constants
        quantized([0.5, -0.25], [0, 0], 0),  # a negative scale, as converters write for zero filters
        quantized([np.nan], [0], kind=FLOAT32),  # the quantization of a float tensor means nothing
        quantized([0.0], [0], kind=TensorType.INT32),
        with_operator(1, intermediates=(-1, 3)),
        with_operator(0, inputs=(0, -1, 1)),
        with_tensor(3, shape_signature=(1, 2)),  # the operator that writes it decides
        with_tensor(1, data=np.zeros(5, np.float32), sparsity={"traversal_order": np.zeros(1)}),
    ],
    ids=range(9),
)
def test_accepted(accepted: Graph) -> None:
    verify(accepted)


@pytest.mark.parametrize(
    ("broken", "rule", "words"),
    [
        (replace(graph(), subgraphs=(), signatures=()), "no-subgraph", "no subgraph"),
        (with_tensor(0, shape=(-1,)), "shape", "tensor 0 't0' (FLOAT32 -1): it has a negative size"),
        (with_tensor(0, shape=(2**31,) * 3, shape_signature=(1,) * 3), "shape", "overflows"),
        (with_tensor(0, shape=(0, 2**31, 2**31, 2**31), shape_signature=(1,) * 4), "shape", "overflows"),
        (with_tensor(0, shape=(1,) * 33, shape_signature=(1,) * 33), "shape", "33 dimensions"),
        (with_tensor(0, shape_signature=(-1, 2)), "shape-signature", "another rank: (-1, 2)"),
        (with_tensor(1, shape=(3,)), "constant-size", "holds 2 elements, its shape needs 3"),
        (with_tensor(1, is_variable=True), "variable-constant", "also a constant"),
        (quantized([np.inf], [0]), "quantization-scale", "not finite"),
        (quantized([np.nan], [0]), "quantization-scale", "not finite"),
        (quantized([0.0], [0]), "quantization-scale", "is 0"),
        (quantized([0.5], [128]), "quantization-zero-point", "-128..127"),
        (quantized([0.5], [-1], kind=TensorType.UINT8), "quantization-zero-point", "0..255"),
        (quantized([0.5, 0.5], [0]), "quantization-length", "2 scales but 1 zero points"),
        (quantized([0.5] * 3, [0] * 3), "quantization-length", "3 scales for 2 slices of dimension 0"),
        (quantized([0.5] * 2, [0] * 2, 1), "quantized-dimension", "quantized_dimension 1"),
        (quantized([0.5] * 2, [0] * 2, -1), "quantized-dimension", "quantized_dimension -1"),
        (with_main(inputs=(-1,)), "tensor-index", "inputs [-1] of the graph"),
        (with_main(outputs=(5,)), "tensor-index", "outputs [5] of the graph"),
        (with_operator(0, inputs=(0, -2)), "tensor-index", "op 0 ADD: inputs [-2]"),
        (with_operator(0, outputs=(-1,)), "tensor-index", "op 0 ADD: outputs [-1]"),
        (with_operator(0, intermediates=(7,)), "tensor-index", "op 0 ADD: intermediates [7]"),
        (with_main(inputs=(0, 1)), "input", "tensor 1 't1' (FLOAT32 2) is an input of the graph and also"),
        (with_operator(0, inputs=(4, 1)), "read-before-write", "op 0 ADD reads tensor 4 't4'"),
        (with_operator(0, inputs=(3, 1)), "read-before-write", "op 0 ADD reads tensor 3 't3'"),
        (
            with_operator(1, outputs=(4, 3)),
            "written-twice",
            "op 1 SUB writes tensor 3 't3' (FLOAT32 2), which op 0 ADD",
        ),
        (with_operator(1, outputs=(4, 4)), "written-twice", "op 1 SUB writes tensor 4"),
        (with_operator(1, outputs=(4, 1)), "write-protected", "a constant"),
        (with_operator(1, outputs=(4, 0)), "write-protected", "an input of the graph"),
        (
            with_main(operators=graph().main.operators[:1]),
            "output",
            "output tensor 4 't4' (FLOAT32 2) of the graph",
        ),
        (with_signature(subgraph=1), "signature", "no subgraph 1"),
        (with_signature(inputs={"x": 3}), "signature", "input 'x' is tensor 3"),
        (with_signature(outputs={"y": 9}), "signature", "output 'y' is tensor 9"),
    ],
)
def test_refused(broken: Graph, rule: str, words: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        verify(broken, "a.tflite")
    assert caught.value.rule == rule
    assert words in str(caught.value)
    assert str(caught.value).startswith("a.tflite: ")


def test_all_faults_are_listed_and_the_first_is_in_the_attributes() -> None:
    broken = replace(
        with_operator(0, inputs=(4, 1)), signatures=(replace(graph().signatures[0], subgraph=3),)
    )
    with pytest.raises(ModelFormatError, match=r"2 fault\(s\)\n  op 0 ADD reads .*\n  signature") as caught:
        verify(broken)
    assert (caught.value.op_index, caught.value.op_name, caught.value.tensor) == (0, "ADD", 4)


def test_thousands_of_faults_are_cut() -> None:
    operators = tuple(Operator(i, "ADD", (99,), (3,)) for i in range(1000))
    with pytest.raises(ModelFormatError) as caught:
        verify(with_main(operators=operators))
    lines = str(caught.value).splitlines()
    assert "1000 fault(s)" in lines[0]
    assert len(lines) == MAX_FAULTS + 2
    assert lines[-1].strip() == f"and {1000 - MAX_FAULTS} more"


def test_faults_of_other_subgraphs_name_theirs() -> None:
    second = replace(with_operator(0, inputs=(4, 1)).main, index=1)
    with pytest.raises(ModelFormatError, match="subgraph 1 op 0 ADD reads"):
        verify(replace(graph(), subgraphs=(graph().main, second)))


def test_negative_scales_of_a_real_model(model_path: Callable[[str], Any]) -> None:
    from minilite.loader import load_graph

    loaded = load_graph(model_path("mcunet_320kb_int8.tflite"))
    quantizations = [t.quantization for t in loaded.main.tensors if t.quantization is not None]
    assert any((q.scales < 0).any() for q in quantizations)
