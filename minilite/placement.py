"""Which results are written where a concatenation wants them, so that nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass

from minilite import ops
from minilite.graph import Node, Subgraph, Tensor, TensorType
from minilite.passes.uses import Notes, Uses


@dataclass(frozen=True)
class Place:
    """Where a result goes: rows of its last axis, ``stride`` elements of ``whole`` apart, from ``offset``."""

    whole: Tensor
    stride: int
    offset: int


def places(subgraph: Subgraph, notes: Notes) -> dict[int, Place]:
    """Places of tensors, by number: those that only a CONCATENATION along the last axis reads.

    What writes them must be able to (``Op.writes_parts``). All others are where they always are.
    """
    uses = Uses(subgraph)
    found: dict[int, Place] = {}
    for node in subgraph.nodes():
        if node.operator.name != "CONCATENATION" or node.is_folded:
            continue
        whole, axes = node.output, len(node.output.shape)
        if whole.type is not TensorType.FLOAT32 or node.options.axis % max(axes, 1) != axes - 1:
            continue
        offset = 0
        for position in range(len(node.inputs)):
            tensor = node.input(position)
            writer = uses.writer.get(tensor.index)
            op = None if writer is None else ops.find(writer.name)
            alone = uses.only_reader(tensor) is node.operator
            if alone and writer is not None and op is not None and op.writes_parts(Node(subgraph, writer)):
                found[tensor.index] = Place(whole, whole.shape[-1], offset)
                notes.append(f"{writer}: writes its part of what {node.operator} makes")
            offset += tensor.shape[-1] if tensor.shape else 1
    return found
