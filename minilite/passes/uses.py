"""Who writes and who reads each tensor of a subgraph: what passes ask before they join operators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from minilite.graph import ABSENT, Operator, Subgraph, Tensor

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
