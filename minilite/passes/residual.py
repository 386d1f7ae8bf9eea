"""A residual ADD moves into the convolution whose result it adds to: one pass over memory less."""

from __future__ import annotations

from minilite.graph import Node, Operator, Subgraph, Tensor
from minilite.ops import fused
from minilite.passes.uses import Notes, Uses, replaced


def join_residual(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """CONV_2D whose result is read by one ADD alone -> CONV_2D+ADD."""
    uses = Uses(subgraph)
    new: dict[int, Operator] = {}
    gone: set[int] = set()
    for node in subgraph.nodes():
        if node.operator.name != "ADD" or node.is_folded:
            continue
        convolution = _convolution(node, uses, gone, notes)
        if convolution is not None:
            new[node.operator.index] = fused.join(convolution, node.operator)
            gone.add(convolution.index)
            notes.append(f"{node.operator}: added where {convolution} stores its result")
    return replaced(subgraph, new, gone)


def _convolution(add: Node, uses: Uses, gone: set[int], notes: Notes) -> Operator | None:
    """The convolution that the addition can move into: of two, the one that runs later."""
    found: list[Operator] = []
    for tensor in (add.input(0), add.input(1)):
        writer = uses.writer.get(tensor.index)
        if writer is None or writer.name != "CONV_2D" or writer.index in gone:
            continue
        reason = _obstacle(add, tensor, Node(add.subgraph, writer), uses)
        if reason is None:
            found.append(writer)
        else:
            notes.append(f"{add.operator}: not joined to {writer}: {reason}")
    return max(found, key=lambda operator: operator.index, default=None)


def _obstacle(add: Node, tensor: Tensor, convolution: Node, uses: Uses) -> str | None:
    if uses.only_reader(tensor) is not add.operator:
        return f"{tensor} is read by others, too"
    if add.input(0).shape != add.input(1).shape:
        return "the shapes differ"
    return fused.convolution_obstacle(convolution)
