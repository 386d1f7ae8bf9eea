"""One operator of a run: what it was given, what it made of it, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minilite.debug.statistics import Statistics
from minilite.graph import Array, Node


@dataclass(frozen=True, eq=False)
class Event:
    """An operator that has run.

    Attributes
    ----------
    node:
        The operator with its tensors, in the shapes they had.
    inputs:
        Values in the operator's order, None where an optional input is left out. All arrays are read-only
        and stay as they are, whatever runs later.
    outputs:
        What it computed. An operator that ``prepare`` has folded ran before: these are its constants.
    seconds:
        Time of the operator alone, under the number of threads of the run. A first run of operators with
        dynamic shapes includes making their plan.
    """

    node: Node
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array, ...]
    seconds: float

    @property
    def index(self) -> int:
        """The operator's number in the file."""
        return self.node.operator.index

    @property
    def name(self) -> str:
        """TFLite's name of the operator."""
        return self.node.operator.name

    @property
    def options(self) -> Any:
        """The operator's options record."""
        return self.node.options

    @cached_property
    def statistics(self) -> tuple[Statistics, ...]:
        """Figures of each output, computed when they are first asked for."""
        return tuple(Statistics.of(v, t) for v, t in zip(self.outputs, self.node.outputs, strict=True))

    def __repr__(self) -> str:
        made = ", ".join(map(str, self.node.outputs))
        return f"<{self.node.operator} -> {made or 'nothing'}, {self.seconds * 1e3:.3f} ms>"

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.event_html(self)
