"""What stands in a model file, as data: operators, tensors, costs. Nothing is run.

Works for files minilite cannot run, too: what it does not have or refuses is marked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from minilite import ops
from minilite.errors import PrepareError, UnsupportedOpError
from minilite.graph import Graph, Node, Shape, Subgraph, Tensor
from minilite.notation import plain_options
from minilite.prepare import prepare


@dataclass(frozen=True)
class TensorSummary:
    """One tensor. ``bytes`` are those in the file for constants, those in memory for others."""

    index: int
    name: str
    type: str
    shape: Shape
    bytes: int
    is_constant: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_dimension: int | None


@dataclass(frozen=True)
class OperatorSummary:
    """One operator.

    Attributes
    ----------
    inputs, outputs:
        Tensor numbers, -1 for an optional input left out.
    multiply_adds:
        Of one run; None where they are not known, see ``fault``.
    weight_bytes:
        Bytes of its constant inputs in the file.
    fault:
        Why minilite cannot run it, or None.
    """

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    multiply_adds: int | None
    weight_bytes: int
    fault: str | None


@dataclass(frozen=True)
class Totals:
    """Sums over a subgraph; a constant that operators share counts once."""

    operators: dict[str, int]
    multiply_adds: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class SubgraphSummary:
    """One subgraph; ``inputs`` and ``outputs`` are tensor numbers."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[OperatorSummary, ...]
    tensors: tuple[TensorSummary, ...]
    totals: Totals


@dataclass(frozen=True)
class ModelSummary:
    """A whole model file. ``signatures`` give tensor numbers by argument name."""

    description: str
    version: int
    metadata: dict[str, int]
    signatures: dict[str, dict[str, dict[str, int]]]
    subgraphs: tuple[SubgraphSummary, ...]


def summarise(graph: Graph) -> ModelSummary:
    """Describe every subgraph of a model; ``metadata`` gives the sizes of the entries in bytes."""
    return ModelSummary(
        description=graph.description,
        version=graph.version,
        metadata={name: len(content) for name, content in graph.metadata.items()},
        signatures={
            signature.key: {"inputs": dict(signature.inputs), "outputs": dict(signature.outputs)}
            for signature in graph.signatures
        },
        subgraphs=tuple(
            summarise_subgraph(prepared_subgraph(graph, index)) for index in range(len(graph.subgraphs))
        ),
    )


def prepared_subgraph(graph: Graph, index: int) -> Subgraph:
    """The subgraph with inferred shapes, or as the file declares it where they cannot be inferred."""
    try:
        return prepare(graph, subgraph=index).subgraphs[index]
    except (PrepareError, UnsupportedOpError):
        return graph.subgraphs[index]


def summarise_subgraph(subgraph: Subgraph) -> SubgraphSummary:
    """Describe a subgraph in the shapes it has."""
    operators = tuple(_operator(node) for node in subgraph.nodes())
    tensors = tuple(_tensor(tensor) for tensor in subgraph.tensors)
    return SubgraphSummary(
        index=subgraph.index,
        name=subgraph.name,
        inputs=subgraph.inputs,
        outputs=subgraph.outputs,
        operators=operators,
        tensors=tensors,
        totals=Totals(
            operators=dict(Counter(operator.name for operator in operators).most_common()),
            multiply_adds=sum(operator.multiply_adds or 0 for operator in operators),
            weight_bytes=sum(tensor.bytes for tensor in tensors if tensor.is_constant),
            activation_bytes=sum(tensor.bytes for tensor in tensors if not tensor.is_constant),
        ),
    )


def _operator(node: Node) -> OperatorSummary:
    operator = node.operator
    multiply_adds, fault = None, None
    op = ops.find(operator.name)
    if op is None:
        fault = "minilite does not have this operator"
    else:
        try:
            op.output_shapes(node)
            multiply_adds = op.multiply_adds(node)
        except PrepareError as error:
            # The summary names the operator itself.
            fault = str(error).removeprefix(f"{operator}: ")
    constants = (tensor for tensor in node.inputs if tensor is not None and tensor.is_constant)
    return OperatorSummary(
        index=operator.index,
        name=operator.name,
        inputs=operator.inputs,
        outputs=operator.outputs,
        options=plain_options(operator.options),
        multiply_adds=multiply_adds,
        weight_bytes=sum(_bytes(tensor) for tensor in constants),
        fault=fault,
    )


def _tensor(tensor: Tensor) -> TensorSummary:
    quantization = tensor.quantization
    return TensorSummary(
        index=tensor.index,
        name=tensor.name,
        type=tensor.type.name,
        shape=tensor.shape,
        bytes=_bytes(tensor),
        is_constant=tensor.is_constant,
        scales=() if quantization is None else tuple(quantization.scales.tolist()),
        zero_points=() if quantization is None else tuple(quantization.zero_points.tolist()),
        quantized_dimension=quantization.dimension if quantization and quantization.per_channel else None,
    )


def _bytes(tensor: Tensor) -> int:
    return (tensor.size * tensor.type.bits + 7) // 8
