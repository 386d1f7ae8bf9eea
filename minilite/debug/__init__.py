"""The debugger: what a run did, operator by operator.

``record`` runs a model and keeps every value; ``Trace`` steps through a run, stops, patches and goes back.
Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minilite.debug.event import Event
    from minilite.debug.recording import Recording
    from minilite.debug.statistics import Statistics
    from minilite.debug.trace import Trace, record

_LAZY = {
    "Event": "minilite.debug.event",
    "Recording": "minilite.debug.recording",
    "Statistics": "minilite.debug.statistics",
    "Trace": "minilite.debug.trace",
    "record": "minilite.debug.trace",
}

__all__ = ["Event", "Recording", "Statistics", "Trace", "record"]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
