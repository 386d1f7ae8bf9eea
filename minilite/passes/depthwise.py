"""A depthwise convolution joins a 1x1 convolution beside it: the tensor between them is not stored."""

from __future__ import annotations

from collections.abc import Callable

from minilite.graph import Node, Operator, Subgraph
from minilite.ops import fused
from minilite.passes.uses import Notes, Uses, replaced

_Obstacle = Callable[[Node, Node], "str | None"]


def join_expansion(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """CONV_2D of 1x1 whose result is read by one DEPTHWISE_CONV_2D alone -> CONV_2D+DEPTHWISE_CONV_2D."""
    words = "filters what {} expands, a block of channels at a time"
    return _joined(subgraph, notes, ("CONV_2D",), ("DEPTHWISE_CONV_2D",), fused.expansion_obstacle, words)


def join_projection(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """DEPTHWISE_CONV_2D whose result is read by one CONV_2D of 1x1 alone -> DEPTHWISE_CONV_2D+CONV_2D.

    An addition that has joined the CONV_2D stays with it.
    """
    words = "projects what {} filters, some rows at a time"
    readers = ("CONV_2D", "CONV_2D+ADD")
    return _joined(subgraph, notes, ("DEPTHWISE_CONV_2D",), readers, fused.projection_obstacle, words)


def _joined(
    subgraph: Subgraph,
    notes: Notes,
    writers: tuple[str, ...],
    readers: tuple[str, ...],
    obstacle: _Obstacle,
    words: str,
) -> Subgraph:
    """Each of ``readers`` together with the one of ``writers`` before it, where there is no ``obstacle``."""
    uses = Uses(subgraph)
    new: dict[int, Operator] = {}
    gone: set[int] = set()
    for node in subgraph.nodes():
        if node.operator.name not in readers or node.is_folded:
            continue
        writer = uses.writer.get(node.input(0).index)
        if writer is None or writer.name not in writers:
            continue
        reason: str | None = f"{node.input(0)} is read by others, too"
        if uses.only_reader(node.input(0)) is node.operator:
            reason = obstacle(Node(subgraph, writer), node)
        if reason is not None:
            notes.append(f"{node.operator}: not joined to {writer}: {reason}")
            continue
        new[node.operator.index] = fused.join(writer, node.operator)
        gone.add(writer.index)
        notes.append(f"{node.operator}: {words.format(writer)}")
    return replaced(subgraph, new, gone)
