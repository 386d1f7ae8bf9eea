"""Rewrites of a subgraph before it becomes a plan: fewer steps and less memory traffic, the same bits.

A pass is a function ``pass_(subgraph, notes) -> subgraph``. It joins operators into one that is run as
one (see ``ops.fused``), or replaces them by others, and never changes the order in which numbers are
added: a plan with passes and one without give the same bits. Tensors keep their numbers; a pass may add
tensors behind them, and what it has made superfluous is no longer written. What was done, and what was
not and why, is put down in ``notes``, which ``Plan.explain`` prints.
"""

from __future__ import annotations

from minilite.graph import Subgraph
from minilite.passes.constant_branch import fold_constant_branch
from minilite.passes.depthwise import join_expansion, join_projection
from minilite.passes.labels import join_labels
from minilite.passes.residual import join_residual
from minilite.passes.uses import Notes

PASSES = (fold_constant_branch, join_residual, join_expansion, join_projection, join_labels)
"""In this order: each sees what those before it have left."""


def rewrite(subgraph: Subgraph, notes: Notes | None = None) -> Subgraph:
    """The subgraph after all passes.

    Parameters
    ----------
    subgraph:
        Prepared: all shapes known.
    notes:
        Collects what was done.
    """
    notes = [] if notes is None else notes
    for run in PASSES:
        subgraph = run(subgraph, notes)
    return subgraph
