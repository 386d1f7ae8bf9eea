"""A 1x1 convolution and the depthwise one behind it run as one: the tensor between them is never stored."""

from __future__ import annotations

from minilite.graph import Node, Operator, Subgraph
from minilite.ops import fused
from minilite.passes.uses import Notes, Uses, replaced


def join_expansion(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """CONV_2D of 1x1 whose result is read by one DEPTHWISE_CONV_2D alone -> CONV_2D+DEPTHWISE_CONV_2D."""
    uses = Uses(subgraph)
    new: dict[int, Operator] = {}
    gone: set[int] = set()
    for node in subgraph.nodes():
        if node.operator.name != "DEPTHWISE_CONV_2D" or node.is_folded:
            continue
        writer = uses.writer.get(node.input(0).index)
        if writer is None or writer.name != "CONV_2D":
            continue
        reason = f"{node.input(0)} is read by others, too"
        if uses.only_reader(node.input(0)) is node.operator:
            reason = fused.expansion_obstacle(Node(subgraph, writer), node) or ""
        if reason:
            notes.append(f"{node.operator}: not joined to {writer}: {reason}")
            continue
        new[node.operator.index] = fused.join("CONV_2D+DEPTHWISE_CONV_2D", writer, node.operator)
        gone.add(writer.index)
        notes.append(f"{node.operator}: filters what {writer} expands, a block of channels at a time")
    return replaced(subgraph, new, gone)
