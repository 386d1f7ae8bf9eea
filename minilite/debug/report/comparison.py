"""What a comparison found, for the page: figures beside each operator, and the verdict."""

from __future__ import annotations

import math
from typing import Any

from minilite.debug.compare import Report, Row, compare
from minilite.debug.recording import Recording
from minilite.debug.report.pictures import number
from minilite.debug.sides import Side
from minilite.version import __version__

COLUMNS = (
    {"key": "verdict", "title": "Verdict", "kind": "text"},
    {"key": "local", "title": "Local error", "kind": "number"},
    {"key": "allowed", "title": "Allowed", "kind": "number"},
    {"key": "largest", "title": "Largest error", "kind": "number"},
    {"key": "mean", "title": "Mean error", "kind": "number"},
    {"key": "units", "title": "ULPs, steps", "kind": "number"},
    {"key": "unequal", "title": "Unequal", "kind": "share"},
)
"""Keys of an operator's errors, what they are called, and how they are written."""

_GRAVITY = ("agrees", "unjudged", "inherited", "born")


def compared(recording: Recording, expected: Side, progress: Any) -> Report:
    """The report's run against another side; it is run again, operator by operator, on that side's inputs."""
    about = f"minilite {__version__}, {recording.backend}, {recording.threads} threads"
    given = Side(recording.backend, recording, about, live=True)
    return compare(given, expected, progress=progress)


def add_comparison(subgraph: dict[str, Any], found: Report) -> dict[str, Any]:
    """Put errors beside the operators; what the page is told of the whole.

    Of an operator with several outputs the gravest is shown.
    """
    gravest: dict[int, Row] = {}
    for row in found.rows:
        known = gravest.get(row.operator)
        if known is None or _gravity(row) > _gravity(known):
            gravest[row.operator] = row
    for index, row in gravest.items():
        subgraph["operators"][index]["errors"] = _errors(row)
    counts = {verdict: sum(row.verdict == verdict for row in found.rows) for verdict in _GRAVITY}
    return {
        "against": found.expected,
        "columns": COLUMNS,
        "judged": found.judged,
        "passed": found.agrees,
        "summary": _summary(counts, len(found.rows)),
        "faults": list(found.faults),
        "notes": list(found.notes),
        "outputs": [
            {
                "name": row.name,
                "largest": _figure(row.difference.absolute.max),
                "unequal": row.difference.unequal,
                "elements": row.difference.elements,
                "flips": None if row.flips is None else list(row.flips),
            }
            for row in found.outputs
        ],
    }


def _gravity(row: Row) -> tuple[int, float]:
    return _GRAVITY.index(row.verdict), row.total.absolute.max


def _errors(row: Row) -> dict[str, Any]:
    local, total = row.local or row.own, row.total
    units = total.ulps or total.steps
    return {
        "verdict": row.verdict,
        "local": None if local is None else _figure(local.error),
        "allowed": None if local is None else _figure(local.allowed),
        "tolerance": None if local is None else local.tolerance,
        "largest": _figure(total.absolute.max),
        "mean": _figure(total.absolute.mean),
        "units": None if units is None else _figure(units.max),
        "unequal": number(total.unequal / total.elements) if total.elements else 0.0,
        "worst": list(total.worst),
        "fault": row.fault or total.fault,
    }


def _figure(value: float) -> float | str:
    """A number, or the name of one that JSON does not have."""
    shown = number(value)
    return ("nan" if math.isnan(value) else "infinite") if shown is None else shown


def _summary(counts: dict[str, int], total: int) -> str:
    words = {
        "agrees": "agree",
        "inherited": "inherit an error and add none beyond their tolerance",
        "born": "break their tolerance",
        "unjudged": "differ and cannot be judged alone",
    }
    parts = [f"{counts[verdict]} {text}" for verdict, text in words.items() if counts[verdict]]
    return f"of {total} tensors {', '.join(parts)}"
