"""The debugger: what a run did, operator by operator.

``record`` runs a model and keeps every value; ``Trace`` steps through a run, stops, patches and goes back.
``compare`` and ``bisect`` hold one side's run against another's (``own_side``, ``record_side``).
Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minilite.debug.bisect import bisect
    from minilite.debug.compare import compare
    from minilite.debug.event import Event
    from minilite.debug.recording import Recording
    from minilite.debug.sides import own_side, record_side, saved_side
    from minilite.debug.statistics import Statistics
    from minilite.debug.trace import Trace, record

_LAZY = {
    "Event": "minilite.debug.event",
    "Recording": "minilite.debug.recording",
    "Statistics": "minilite.debug.statistics",
    "Trace": "minilite.debug.trace",
    "bisect": "minilite.debug.bisect",
    "compare": "minilite.debug.compare",
    "own_side": "minilite.debug.sides",
    "record": "minilite.debug.trace",
    "record_side": "minilite.debug.sides",
    "saved_side": "minilite.debug.sides",
}

__all__ = [
    "Event",
    "Recording",
    "Statistics",
    "Trace",
    "bisect",
    "compare",
    "own_side",
    "record",
    "record_side",
    "saved_side",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
