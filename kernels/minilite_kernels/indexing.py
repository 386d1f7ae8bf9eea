"""By position. Positions come from data: one that points outside is noted, and zeros stand for it."""

from __future__ import annotations

from typing import NamedTuple

from minilite_kernels.kernel import Fault, Input, Output, kernel, note_fault


class GatherLayout(NamedTuple):
    """A GATHER of [batch, outer, axis, inner] at [batch, taken]."""

    outer: int
    axis: int
    inner: int
    taken: int


@kernel
def gather(
    x: Input, positions: Input, out: Output, fault: Fault, w: GatherLayout, start: int, stop: int
) -> None:
    """GATHER: for rows ``start..stop`` of [batch, outer] all ``taken`` slices of ``inner`` elements."""
    for row in range(start, stop):
        first = row // w.outer * w.taken
        for i in range(w.taken):
            position = positions[first + i]
            if w.inner == 1 and 0 <= position < w.axis:
                out[row * w.taken + i] = x[row * w.axis + position]
                continue
            target = out[(row * w.taken + i) * w.inner :][: w.inner]
            if position < 0 or position >= w.axis:
                note_fault(fault, first + i, position, w.axis)
                target[:] = 0
                continue
            source = x[(row * w.axis + position) * w.inner :][: w.inner]
            for j in range(w.inner):
                target[j] = source[j]


@kernel
def gather_nd(
    x: Input,
    coordinates: Input,
    limits: Input,
    out: Output,
    fault: Fault,
    inner: int,
    start: int,
    stop: int,
) -> None:
    """GATHER_ND: slices of ``inner`` elements at coordinates [start..stop, axes]; ``limits`` int64 [axes]."""
    depth = limits.size
    for item in range(start, stop):
        source, inside = 0, True
        for axis in range(depth):
            position = coordinates[item * depth + axis]
            if position < 0 or position >= limits[axis]:
                note_fault(fault, item * depth + axis, position, limits[axis])
                inside = False
            source = source * limits[axis] + position
        target = out[item * inner :][:inner]
        if not inside:
            target[:] = 0
            continue
        values = x[source * inner :][:inner]
        for i in range(inner):
            target[i] = values[i]


@kernel
def scatter_nd(
    coordinates: Input,
    slices: Input,
    limits: Input,
    out: Output,
    fault: Fault,
    inner: int,
    start: int,
    stop: int,
) -> None:
    """SCATTER_ND in one piece: slices of ``inner`` elements added where their coordinates point."""
    depth = limits.size
    for _ in range(start, stop):
        out[:] = 0
        for item in range(coordinates.size // depth):
            target, inside = 0, True
            for axis in range(depth):
                position = coordinates[item * depth + axis]
                if position < 0 or position >= limits[axis]:
                    note_fault(fault, item * depth + axis, position, limits[axis])
                    inside = False
                target = target * limits[axis] + position
            if inside:
                for i in range(inner):
                    out[target * inner + i] += slices[item * inner + i]


@kernel
def one_hot(
    indices: Input, on: Input, off: Input, out: Output, depth: int, inner: int, start: int, stop: int
) -> None:
    """ONE_HOT: for ``outer`` in ``start..stop``, [depth, inner] elements from [inner] indices."""
    for outer in range(start, stop):
        block = out[outer * depth * inner :][: depth * inner]
        block[:] = off[0]
        for i in range(inner):
            place = indices[outer * inner + i]
            if 0 <= place < depth:
                block[place * inner + i] = on[0]
