"""A mask is made where its scores are: they are the largest tensor of a segmentation, and never stored."""

from __future__ import annotations

from minilite.graph import Subgraph
from minilite.ops import fused
from minilite.passes.uses import Notes, joined


def join_labels(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """RESIZE_BILINEAR whose result is read by one ARG_MAX over channels alone -> RESIZE_BILINEAR+ARG_MAX."""
    words = "takes the largest of what {} makes, a row at a time"
    return joined(subgraph, notes, ("RESIZE_BILINEAR",), ("ARG_MAX",), fused.labels_obstacle, words)
