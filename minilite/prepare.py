"""Shapes made final: every operator checks what it is given and infers what it makes (TFLite's Prepare)."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minilite import ops
from minilite.errors import PrepareError, UnsupportedOpError
from minilite.graph import Array, Graph, Node, Shape, Subgraph, Tensor, with_tensors
from minilite.sparsity import densify
from minilite.verify import shape_fault

FOLDED_BYTES = 1 << 28
"""A value larger than this is computed by each run rather than kept as a constant: a file of a few bytes
can ask for any size."""


def prepare(
    graph: Graph,
    shapes: Mapping[int, Shape] | None = None,
    subgraph: int = 0,
    *,
    fold: bool = True,
    dynamic: Collection[int] = (),
) -> Graph:
    """The graph with the shapes of one subgraph inferred from those of its inputs.

    What does not depend on the model's inputs becomes a constant: weights that the file holds as float16
    and dequantizes, shapes that are computed from shapes. Its operator stays where it is, with nothing to
    do (``Node.is_folded``). A shape that an operator cannot know before it runs stays as the file declares
    it and is marked ``Tensor.is_dynamic``, as are all that depend on it. Constants that the file stores
    sparse become dense.

    Parameters
    ----------
    graph:
        A verified graph; it stays as it is.
    shapes:
        New shapes of inputs, by tensor number (``resize_tensor_input``).
    subgraph:
        Which subgraph.
    fold:
        Whether constants are computed; without it only shapes are.
    dynamic:
        Inputs whose shapes change from run to run.

    Raises
    ------
    PrepareError
        An operator refuses its types, shapes or options, or a new shape is not one.
    UnsupportedOpError
        The subgraph has an operator minilite does not have; ``loader.check_supported`` names all.
    """
    prepared = graph.subgraphs[subgraph]
    tensors = list(prepared.tensors)
    for index, shape in (shapes or {}).items():
        if index not in prepared.inputs:
            raise PrepareError(
                f"tensor {index} cannot be resized: it is not an input of the subgraph; "
                f"its inputs are {list(prepared.inputs)}",
                tensor=index if 0 <= index < len(tensors) else None,
                rule="resize-input",
            )
        tensors[index] = _resized(tensors[index], shape, "")
    for index in prepared.inputs:
        if tensors[index].is_dynamic != (index in dynamic):
            tensors[index] = replace(tensors[index], is_dynamic=index in dynamic)
    if fold:
        for index in _to_be_dense(prepared):
            tensors[index] = _dense(tensors[index])
    prepared = replace(prepared, tensors=tuple(tensors))

    for operator in prepared.operators:
        node = Node(prepared, operator)
        made = _prepared_outputs(node, fold=fold)
        changed = [(old, new) for old, new in zip(node.outputs, made, strict=True) if old is not new]
        if changed:
            for old, new in changed:
                tensors[old.index] = new
            prepared = replace(prepared, tensors=tuple(tensors))
    return with_tensors(graph, subgraph, prepared.tensors)


def _prepared_outputs(node: Node, *, fold: bool) -> list[Tensor]:
    """A node's outputs as its operator says they are."""
    op = _operator(node)
    # Of what an earlier prepare() found out for other shapes, nothing stays.
    declared = [
        replace(t, data=None, is_dynamic=False) if t.is_constant or t.is_dynamic else t for t in node.outputs
    ]
    if any(tensor is not None and tensor.is_dynamic for tensor in node.inputs):
        # Nothing can be said, or checked, before the inputs have their shapes.
        return [replace(tensor, is_dynamic=True) for tensor in declared]
    shapes = infer_shapes(node)
    outputs = [
        replace(tensor, is_dynamic=True) if shape is None else _resized(tensor, shape, f"{node.operator}: ")
        for tensor, shape in zip(declared, shapes, strict=True)
    ]
    if not fold or any(t.nbytes > FOLDED_BYTES or t.is_variable for t in outputs):
        return outputs
    values = _known_values(op, node, outputs)
    if values is None:
        return outputs
    return [_constant(tensor, value) for tensor, value in zip(outputs, values, strict=True)]


def _known_values(op: ops.Op, node: Node, outputs: Sequence[Tensor]) -> tuple[Array, ...] | None:
    """What a node always computes, or None."""
    sources = [node.operator, *(t.data for t in node.inputs if t is not None and t.data is not None)]
    key = (*map(id, sources), *(None if t is None else t.shape for t in (*node.inputs, *outputs)))
    values = _remembered(key, sources)
    if values is not None:
        return values
    tensors = list(node.subgraph.tensors)
    for tensor in outputs:
        tensors[tensor.index] = tensor
    try:
        known = op.known_outputs(Node(replace(node.subgraph, tensors=tuple(tensors)), node.operator))
    except Exception:
        return None  # The run will say what is wrong, if it comes there.
    if known is None or sum(value.nbytes for value in known) > FOLDED_BYTES:
        return None
    values = tuple(_frozen(value, tensor) for value, tensor in zip(known, outputs, strict=True))
    return _remember(key, sources, values)


def _to_be_dense(subgraph: Subgraph) -> list[int]:
    """The constants stored sparse that operators read as if they were not."""
    taken = {
        number
        for operator in subgraph.operators
        if (op := ops.find(operator.name)) is not None and op.reads_sparse
        for number in operator.inputs
    }
    tensors = (t for t in subgraph.tensors if t.sparsity is not None and t.data is not None)
    return [t.index for t in tensors if t.index not in taken and t.nbytes <= FOLDED_BYTES]


def _dense(tensor: Tensor) -> Tensor:
    """A constant stored sparse with all its values."""
    assert tensor.data is not None
    sources = [tensor.data, tensor.sparsity]
    key = (*map(id, sources), tensor.shape)
    found = _remembered(key, sources[:1])
    if found is None:
        found = _remember(key, sources[:1], (_frozen(densify(tensor, tensor.data), tensor),))
    return replace(tensor, data=found[0], sparsity=None)


def _remember(key: Any, sources: Sequence[Any], values: tuple[Array, ...]) -> tuple[Array, ...]:
    forget = partial(_folded.pop, key, None)
    _folded[key] = (
        [weakref.ref(source) for source in sources],
        [weakref.ref(value, lambda _: forget()) for value in values],
    )
    return values


_folded: dict[tuple[Any, ...], tuple[list[Any], list[Any]]] = {}
"""Constants made before, so that preparing a model again (for other sizes) makes no second copy: by
the identity of what each was made from. An entry goes when its arrays do."""


def _remembered(key: tuple[Any, ...], sources: Sequence[Any]) -> tuple[Array, ...] | None:
    made_from, made = _folded.get(key, ([], []))
    values = tuple(reference() for reference in made)
    # An identity may have passed to another object.
    same = len(made_from) == len(sources) and all(
        r() is source for r, source in zip(made_from, sources, strict=True)
    )
    return values if values and same and all(value is not None for value in values) else None


def _frozen(value: Array, tensor: Tensor) -> Array:
    """A constant of its own: not a view of what it was made from, and read-only."""
    kept = np.array(value, tensor.type.array_dtype)
    kept.flags.writeable = False
    return kept


def _constant(tensor: Tensor, value: Array) -> Tensor:
    return replace(tensor, shape=value.shape, data=value, is_dynamic=False)


def _operator(node: Node) -> ops.Op:
    op = ops.find(node.operator.name)
    if op is None:
        raise UnsupportedOpError(
            f"{node.operator}: minilite does not have this operator; it has {', '.join(ops.names())}",
            [str(node.operator)],
            op_index=node.operator.index,
            op_name=node.operator.name,
            rule="unsupported-operator",
        )
    return op


def infer_shapes(node: Node) -> tuple[Shape | None, ...]:
    """What an operator says of its outputs' shapes, once it has accepted its inputs (TFLite's Prepare).

    Raises
    ------
    PrepareError
        The operator refuses what it is given.
    """
    op = _operator(node)
    for tensor in node.inputs:
        if tensor is not None and tensor.sparsity is not None and not op.reads_sparse:
            # Its data are only the values that are not zero: fewer than its shape promises.
            ops.refuse(node, "is stored sparse, which minilite does not read", rule="sparse", tensor=tensor)
    shapes = op.output_shapes(node)
    if len(shapes) != len(node.outputs):
        ops.refuse(
            node,
            f"the file gives it {len(node.outputs)} output(s), but it makes {len(shapes)}",
            rule="output-count",
        )
    return shapes


def _resized(tensor: Tensor, shape: Shape, where: str) -> Tensor:
    shape = tuple(int(size) for size in shape)
    fault = shape_fault(shape, tensor.type)
    if fault:
        raise PrepareError(
            f"{where}{tensor} cannot become {shape}: {fault}", tensor=tensor.index, rule="shape"
        )
    return tensor if shape == tensor.shape else replace(tensor, shape=shape)
