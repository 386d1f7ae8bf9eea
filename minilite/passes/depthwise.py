"""A depthwise convolution joins a 1x1 convolution beside it: the tensor between them is not stored."""

from __future__ import annotations

from minilite.graph import Subgraph
from minilite.ops import fused
from minilite.passes.uses import Notes, joined


def join_expansion(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """CONV_2D of 1x1 whose result is read by one DEPTHWISE_CONV_2D alone -> CONV_2D+DEPTHWISE_CONV_2D."""
    words = "filters what {} expands, a block of channels at a time"
    return joined(subgraph, notes, ("CONV_2D",), ("DEPTHWISE_CONV_2D",), fused.expansion_obstacle, words)


def join_projection(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """DEPTHWISE_CONV_2D whose result is read by one CONV_2D of 1x1 alone -> DEPTHWISE_CONV_2D+CONV_2D.

    An addition that has joined the CONV_2D stays with it.
    """
    words = "projects what {} filters, some rows at a time"
    readers = ("CONV_2D", "CONV_2D+ADD")
    return joined(subgraph, notes, ("DEPTHWISE_CONV_2D",), readers, fused.projection_obstacle, words)
