"""What people are told on standard error: that kernels are being compiled, and how much else they want."""

from __future__ import annotations

import os
import sys
from time import perf_counter

PATIENCE = 1.0
"""Seconds of silence: kernels that come from the cache on disk are ready before."""

DEBUG_VARIABLE = "MINILITE_DEBUG"
"""Environment variable: 1 to 4 tell, in rising detail, what runs (see ``debug.verbose``)."""


def debug_level() -> int:
    """What ``MINILITE_DEBUG`` asks for, 0 to 4; a word that is no number asks for 1."""
    text = os.environ.get(DEBUG_VARIABLE, "").strip()
    return min(int(text), 4) if text.isdecimal() else int(bool(text))


class TerminalProgress:
    """A line on standard error that counts kernels, if that is a terminal and it takes a while.

    See ``executor.Progress``.
    """

    def __init__(self) -> None:
        self._start = perf_counter()
        self._shown = False

    def __call__(self, done: int, total: int, name: str) -> None:
        """Show that ``done`` of ``total`` kernels are ready, and the next one's name."""
        if not sys.stderr.isatty() or (not self._shown and perf_counter() - self._start < PATIENCE):
            return
        self._shown = True
        end = "\n" if done == total else ""
        text = f"minilite compiles kernels, once on this machine: {done}/{total} {name.partition('[')[0]}"
        # \x1b[K clears what a longer line before left behind.
        print(f"\r{text}\x1b[K", end=end, file=sys.stderr, flush=True)
