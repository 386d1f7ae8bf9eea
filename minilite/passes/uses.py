"""Who writes and who reads each tensor of a subgraph: what passes ask before they join operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from minilite.graph import ABSENT, Node, Operator, Subgraph, Tensor
from minilite.ops import fused

Notes = list[str]


class Uses:
    """The writers and readers of a subgraph's tensors, by tensor number."""

    def __init__(self, subgraph: Subgraph) -> None:
        self._subgraph = subgraph
        self.writer: dict[int, Operator] = {}
        self.readers: dict[int, list[Operator]] = defaultdict(list)
        for operator in subgraph.operators:
            for number in operator.inputs:
                if number != ABSENT:
                    self.readers[number].append(operator)
            for number in operator.outputs:
                self.writer[number] = operator

    def only_reader(self, tensor: Tensor) -> Operator | None:
        """The operator that alone reads a tensor, once; None if others, or someone outside, may."""
        readers = self.readers[tensor.index]
        seen_outside = tensor.index in self._subgraph.outputs or tensor.is_variable or tensor.is_constant
        return readers[0] if len(readers) == 1 and not seen_outside else None


def replaced(
    subgraph: Subgraph, new: dict[int, Operator], gone: Iterable[int], tensors: Iterable[Tensor] = ()
) -> Subgraph:
    """The subgraph with some operators exchanged, others gone, and new tensors behind its own.

    ``new`` and ``gone`` name operators by their numbers.
    """
    dropped = set(gone)
    operators = tuple(new.get(o.index, o) for o in subgraph.operators if o.index not in dropped)
    return replace(subgraph, operators=operators, tensors=(*subgraph.tensors, *tensors))


def joined(
    subgraph: Subgraph,
    notes: Notes,
    writers: tuple[str, ...],
    readers: tuple[str, ...],
    obstacle: Callable[[Node, Node], str | None],
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
