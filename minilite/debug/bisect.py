"""The first operator that makes an error, and nothing about those behind it."""

from __future__ import annotations

from dataclasses import dataclass

from minilite.debug.compare import Comparer, Row
from minilite.debug.difference import Difference, difference
from minilite.debug.pairing import Method
from minilite.debug.sides import Progress, Side
from minilite.graph import Node


@dataclass(frozen=True)
class InputRow:
    """One input of the operator, and how the values of the two sides differ; None if that cannot be said."""

    tensor: int
    name: str
    type: str
    shape: tuple[int, ...]
    is_constant: bool
    difference: Difference | None


@dataclass(frozen=True)
class Bisection:
    """What was found.

    Attributes
    ----------
    given, expected:
        Who they are.
    row:
        The first operator that breaks its tolerance on the other side's inputs, or None.
    inputs:
        Its inputs.
    examined, operators:
        How many operators were run, and how many there are.
    fault:
        What is wrong, in words; None if nothing is.
    unjudged:
        Operators before it that differ and could not be judged.
    notes:
        What has to be known to read this.
    """

    given: str
    expected: str
    row: Row | None
    inputs: tuple[InputRow, ...]
    examined: int
    operators: int
    fault: str | None
    unjudged: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None


def bisect(
    given: Side,
    expected: Side,
    *,
    method: Method = "auto",
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Bisection:
    """Find the first operator whose own error breaks its tolerance; parameters are those of ``compare``.

    Each operator is judged on the other side's inputs, so that one error does not hide another, and it is
    enough to go through them once.
    """
    with Comparer(given, expected, method=method, tolerance=tolerance) as comparer:
        nodes = comparer.nodes()
        found, inputs, unjudged, examined = None, tuple[InputRow, ...](), list[str](), 0
        for node in nodes:
            examined += 1
            rows = list(comparer.rows(node))
            found = next((row for row in rows if row.verdict == "born"), None)
            if found is not None:
                inputs = _inputs(comparer, node)
                break
            unjudged += [f"op {r.operator} {r.name}" for r in rows if r.verdict == "unjudged"]
            if progress is not None:
                progress(examined, len(nodes), "bisecting")
        fault = found.fault if found is not None else comparer.end_fault()
        return Bisection(
            given=f"{given.name}: {given.about}",
            expected=f"{expected.name}: {expected.about}",
            row=found,
            inputs=inputs,
            examined=examined,
            operators=len(nodes),
            fault=fault,
            unjudged=tuple(dict.fromkeys(unjudged)),
            notes=tuple(comparer.notes()),
        )


def _inputs(comparer: Comparer, node: Node) -> tuple[InputRow, ...]:
    rows = []
    for tensor in node.inputs:
        if tensor is None:
            continue
        measured = None
        if tensor.data is None and tensor.index in comparer.pairing.numbers:
            measured = difference(*comparer.pairing.in_units(tensor.index))
        elif tensor.data is not None and comparer.pairing.same_structure:
            measured = difference(tensor.data, comparer.expected.recording.value(tensor.index))
        rows.append(
            InputRow(tensor.index, tensor.name, tensor.type.name, tensor.shape, tensor.is_constant, measured)
        )
    return tuple(rows)
