"""Shapes made final: every operator checks what it is given and infers what it makes (TFLite's Prepare)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from minilite import ops
from minilite.errors import PrepareError, UnsupportedOpError
from minilite.graph import Graph, Node, Shape, Subgraph, Tensor, with_tensors
from minilite.verify import shape_fault


def prepare(graph: Graph, shapes: Mapping[int, Shape] | None = None, subgraph: int = 0) -> Graph:
    """The graph with the shapes of one subgraph inferred from those of its inputs.

    A shape that an operator cannot know before it runs stays as the file declares it.

    Parameters
    ----------
    graph:
        A verified graph; it stays as it is.
    shapes:
        New shapes of inputs, by tensor number (``resize_tensor_input``).
    subgraph:
        Which subgraph.

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
    prepared = replace(prepared, tensors=tuple(tensors))

    for operator in prepared.operators:
        node = Node(prepared, operator)
        changed = False
        for tensor, inferred in zip(node.outputs, _output_shapes(node), strict=True):
            if inferred is not None and inferred != tensor.shape:
                tensors[tensor.index] = _resized(tensor, inferred, f"{operator}: ")
                changed = True
        if changed:
            prepared = replace(prepared, tensors=tuple(tensors))
    return with_tensors(graph, subgraph, prepared.tensors)


def computed_shapes(subgraph: Subgraph) -> list[Node]:
    """The operators whose output shapes are known only once they have run."""
    return [node for node in subgraph.nodes() if None in _output_shapes(node)]


def _output_shapes(node: Node) -> tuple[Shape | None, ...]:
    op = ops.find(node.operator.name)
    if op is None:
        raise UnsupportedOpError(
            f"{node.operator}: minilite does not have this operator; it has {', '.join(ops.names())}",
            [str(node.operator)],
            op_index=node.operator.index,
            op_name=node.operator.name,
            rule="unsupported-operator",
        )
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
    return replace(tensor, shape=shape)
