"""Placing buffers in one block of memory by their lifetimes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


@dataclass(frozen=True)
class Lifetime:
    """Bytes that are needed from stage ``first`` to stage ``last``, both included."""

    nbytes: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed at the same time."""
        return self.first <= other.last and other.first <= self.last


def align(nbytes: int) -> int:
    """The next multiple of ``ALIGNMENT``."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def place(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Offsets for each buffer, and the size of the block.

    Greedy by size, as TFLite's ``simple_memory_arena``: the largest buffer first, each at the lowest
    offset where it overlaps no buffer that lives at the same time. Not optimal; the peak of what is
    alive is a lower bound that it often meets.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []  # by offset
    total = 0
    for buffer in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].nbytes, lifetimes[i].first)):
        mine = lifetimes[buffer]
        offset = 0
        for other in placed:
            if not lifetimes[other].meets(mine):
                continue
            if offset + mine.nbytes <= offsets[other]:
                break
            offset = max(offset, offsets[other] + align(lifetimes[other].nbytes))
        offsets[buffer] = offset
        bisect.insort(placed, buffer, key=lambda i: offsets[i])
        total = max(total, offset + align(mine.nbytes))
    return offsets, total


def peak(lifetimes: Sequence[Lifetime]) -> int:
    """The largest number of bytes alive in one stage: no placement can need less."""
    stages = {moment for life in lifetimes for moment in (life.first, life.last)}
    return max(
        (sum(align(x.nbytes) for x in lifetimes if x.first <= stage <= x.last) for stage in stages), default=0
    )
