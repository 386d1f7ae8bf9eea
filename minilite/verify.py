"""Is a graph one that can be trusted? Every index in range, every tensor written once before it is read.

What holds after ``verify`` need not be checked again by anything behind it: shapes are sizes,
constants are as large as their shapes, and executing operators in order finds every value.
Which inputs, types and shapes an operator accepts is the operator's own affair (see ``prepare``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from minilite.errors import ModelFormatError
from minilite.graph import (
    ABSENT,
    Graph,
    Operator,
    Quantization,
    Shape,
    Signature,
    Subgraph,
    Tensor,
    TensorType,
)

MAX_RANK = 32
"""NumPy 1's limit; no TFLite kernel goes beyond 8."""

MAX_FAULTS = 20
"""How many faults one error lists; a damaged file can have thousands."""

_MAX_BYTES = 2**63 - 1


@dataclass(frozen=True)
class _Fault:
    message: str
    rule: str
    tensor: int | None = None
    operator: Operator | None = None


def verify(graph: Graph, source: str = "model") -> None:
    """Check a graph, whether it was loaded or rewritten.

    Parameters
    ----------
    graph:
        What to check.
    source:
        What the error message calls the graph, such as its file.

    Raises
    ------
    ModelFormatError
        Lists every fault, up to ``MAX_FAULTS``; its attributes are those of the first.
    """
    faults = list(_graph_faults(graph))
    if not faults:
        return
    first = faults[0]
    lines = [f"{source}: the model is damaged or was written by a faulty tool: {len(faults)} fault(s)"]
    lines += [fault.message for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        lines.append(f"and {len(faults) - MAX_FAULTS} more")
    raise ModelFormatError(
        "\n  ".join(lines),
        rule=first.rule,
        tensor=first.tensor,
        op_index=None if first.operator is None else first.operator.index,
        op_name=None if first.operator is None else first.operator.name,
    )


def shape_fault(shape: Shape, kind: TensorType) -> str | None:
    """What is wrong with these sizes, or None."""
    if any(size < 0 for size in shape):
        return "it has a negative size"
    if len(shape) > MAX_RANK:
        return f"it has {len(shape)} dimensions, at most {MAX_RANK} are possible"
    # Sizes of 0 do not excuse the others: NumPy and TFLite multiply in 64 bits whatever the order.
    if prod(max(size, 1) for size in shape) * kind.dtype.itemsize > _MAX_BYTES:
        return "its size in bytes overflows 64 bits"
    return None


def _graph_faults(graph: Graph) -> Iterator[_Fault]:
    if not graph.subgraphs:
        yield _Fault("there is no subgraph", "no-subgraph")
    for subgraph in graph.subgraphs:
        where = f"subgraph {subgraph.index} " if len(graph.subgraphs) > 1 else ""
        for fault in _subgraph_faults(subgraph):
            yield _Fault(where + fault.message, fault.rule, fault.tensor, fault.operator)
    for signature in graph.signatures:
        yield from _signature_faults(signature, graph)


def _subgraph_faults(subgraph: Subgraph) -> Iterator[_Fault]:
    for tensor in subgraph.tensors:
        for message, rule in _tensor_faults(tensor):
            yield _Fault(f"{tensor}: {message}", rule, tensor.index)
    count = len(subgraph.tensors)
    index_faults = list(_index_faults(subgraph, count))
    yield from index_faults
    # The order of reads and writes means something only once every index does.
    if not index_faults:
        yield from _order_faults(subgraph)


def _tensor_faults(tensor: Tensor) -> Iterator[tuple[str, str]]:
    fault = shape_fault(tensor.shape, tensor.type)
    if fault:
        yield fault, "shape"
    elif tensor.data is not None and tensor.sparsity is None and tensor.data.shape != tensor.shape:
        yield (
            f"its buffer holds {tensor.data.size} elements, its shape needs {tensor.size}",
            "constant-size",
        )
    if tensor.is_variable and tensor.data is not None:
        yield "it is a variable and also a constant", "variable-constant"
    if tensor.quantization is not None and tensor.type in _QUANTIZED_RANGES:
        yield from _quantization_faults(tensor, tensor.quantization)


_QUANTIZED_RANGES = {
    TensorType.INT4: (-8, 7),
    TensorType.INT8: (-128, 127),
    TensorType.UINT8: (0, 255),
    TensorType.INT16: (-(2**15), 2**15 - 1),
    TensorType.INT32: (-(2**31), 2**31 - 1),
}
"""Types whose quantization means something; that of float tensors is ignored, as TFLite does."""


def _quantization_faults(tensor: Tensor, quantization: Quantization) -> Iterator[tuple[str, str]]:
    scales, zero_points = quantization.scales, quantization.zero_points
    if len(scales) != len(zero_points):
        yield f"{len(scales)} scales but {len(zero_points)} zero points", "quantization-length"
    # Converters do write negative scales, for filters that are all zero; TFLite computes with them.
    if not np.isfinite(scales).all():
        yield "a scale is not finite", "quantization-scale"
    elif not scales.all() and tensor.data is None and tensor.type is not TensorType.INT32:
        yield "its scale is 0, by which its producer would divide", "quantization-scale"
    low, high = _QUANTIZED_RANGES[tensor.type]
    if (zero_points < low).any() or (zero_points > high).any():
        yield f"a zero point lies outside {low}..{high}", "quantization-zero-point"
    if not quantization.per_channel:
        return
    dimension = quantization.dimension
    if not 0 <= dimension < len(tensor.shape):
        yield f"quantized_dimension {dimension} is not one of its dimensions", "quantized-dimension"
    elif tensor.shape[dimension] != len(scales):
        yield (
            f"{len(scales)} scales for {tensor.shape[dimension]} slices of dimension {dimension}",
            "quantization-length",
        )


def _index_faults(subgraph: Subgraph, count: int) -> Iterator[_Fault]:
    def bad(numbers: Iterable[int]) -> list[int]:
        return [number for number in numbers if not 0 <= number < count]

    for role, ends in (("input", subgraph.inputs), ("output", subgraph.outputs)):
        if wrong := bad(ends):
            yield _Fault(f"{role}s {wrong} of the graph do not exist: it has {count} tensors", "tensor-index")
    for operator in subgraph.operators:
        inputs = tuple(number for number in operator.inputs if number != ABSENT)
        inner = tuple(number for number in operator.intermediates if number != ABSENT)
        for role, numbers in (("input", inputs), ("output", operator.outputs), ("intermediate", inner)):
            if wrong := bad(numbers):
                yield _Fault(
                    f"{operator}: {role}s {wrong} do not exist: there are {count} tensors",
                    "tensor-index",
                    wrong[0],
                    operator,
                )


def _order_faults(subgraph: Subgraph) -> Iterator[_Fault]:
    """Walk the operators in order, as they run, keeping who wrote what."""
    tensors = subgraph.tensors
    inputs = set(subgraph.inputs)
    writers: dict[int, Operator] = {}

    def has_value(tensor: Tensor) -> bool:
        known = tensor.is_constant or tensor.is_variable
        return known or tensor.index in inputs or tensor.index in writers

    for index in sorted(inputs):
        tensor = tensors[index]
        if tensor.is_constant:
            yield _Fault(f"{tensor} is an input of the graph and also a constant", "input", index)
        if len(tensor.shape_signature) != len(tensor.shape):
            message = f"input {tensor} of the graph has a shape_signature of another rank"
            yield _Fault(f"{message}: {tensor.shape_signature}", "shape-signature", index)
    for operator in subgraph.operators:
        for index in dict.fromkeys(operator.inputs):
            if index != ABSENT and not has_value(tensors[index]):
                yield _Fault(
                    f"{operator} reads {tensors[index]} before it is written",
                    "read-before-write",
                    index,
                    operator,
                )
        for index in operator.outputs:
            if index in writers:
                message = f"{operator} writes {tensors[index]}, which {writers[index]} has written"
                yield _Fault(message, "written-twice", index, operator)
            elif tensors[index].is_constant or index in inputs:
                what = "a constant" if tensors[index].is_constant else "an input of the graph"
                yield _Fault(
                    f"{operator} writes {tensors[index]}, {what}", "write-protected", index, operator
                )
            writers[index] = operator
    for index in dict.fromkeys(subgraph.outputs):
        if not has_value(tensors[index]):
            yield _Fault(f"output {tensors[index]} of the graph is never written", "output", index)


def _signature_faults(signature: Signature, graph: Graph) -> Iterator[_Fault]:
    where = f"signature {signature.key!r}"
    if not 0 <= signature.subgraph < len(graph.subgraphs):
        yield _Fault(f"{where}: there is no subgraph {signature.subgraph}", "signature")
        return
    subgraph = graph.subgraphs[signature.subgraph]
    for role, arguments, known in (
        ("input", signature.inputs, subgraph.inputs),
        ("output", signature.outputs, subgraph.outputs),
    ):
        for name, index in arguments.items():
            if index not in known:
                message = (
                    f"{where}: {role} {name!r} is tensor {index}, which is not an {role} of the subgraph"
                )
                yield _Fault(message, "signature", index)
