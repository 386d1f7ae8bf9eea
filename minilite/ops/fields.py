"""Receptive fields, and elements as sums: what ``Op.receptive_field`` and ``Op.terms`` are written with.

A set of a tensor's elements is an array of booleans of its shape (``Mask``), so that sets are exact
however they lie: a dilated window's taps, every second row, one channel of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Node, Shape
from minilite.ops.base import Mask, Op
from minilite.shapes import Window

Places = npt.NDArray[np.int64]
"""Indices of elements, int64 [elements, rank]."""


@dataclass(frozen=True, eq=False)
class Terms:
    """An element of an output as a sum over elements of an input.

    Attributes
    ----------
    meaning:
        What is added up, in words: ``"(x - 128) * (w - 3)"``.
    input:
        Position of the input.
    places, values:
        The elements, in the order of memory, and their values as they are multiplied: integers without
        their zero points.
    factors:
        What each is multiplied by; None where elements are compared or mapped instead.
    factor_input, factor_places:
        Where the factors stand, if they are elements of an input.
    smallest_first:
        Whether, of elements that are compared, the smallest counts.
    """

    meaning: str
    input: int
    places: Places
    values: Array
    factors: Array | None = None
    factor_input: int | None = None
    factor_places: Places | None = None
    smallest_first: bool = False

    @property
    def products(self) -> Array:
        """What is added up, float64."""
        values = self.values.astype(np.float64)
        return values if self.factors is None else values * self.factors


def nothing(inputs: Sequence[Array | None]) -> list[Mask | None]:
    """The empty set of each input's elements."""
    return [None if x is None else np.zeros(x.shape, np.bool_) for x in inputs]


def some(mask: Mask, *axes: int) -> Mask:
    """Whether any element along these axes belongs to the set; the axes go."""
    return np.asarray(np.logical_or.reduce(mask, axis=axes))


def stretched(wanted: Mask, shape: Shape) -> Mask:
    """The elements of a tensor that broadcasts to the shape of ``wanted``, which those come from."""
    if prod(shape) == wanted.size:
        return wanted.reshape(shape)
    repeated = [axis for axis, size in enumerate(shape, wanted.ndim - len(shape)) if size == 1]
    return some(wanted, *range(wanted.ndim - len(shape)), *repeated).reshape(shape)


def field_of_broadcast(inputs: Sequence[Array | None], wanted: Mask) -> tuple[Mask | None, ...]:
    """The field of an operator that combines tensors element by element, as they broadcast."""
    return tuple(None if x is None else stretched(wanted, x.shape) for x in inputs)


def field_of_rows(inputs: Sequence[Array | None], wanted: Mask) -> tuple[Mask | None, ...]:
    """The field of an operator whose elements depend on all of their row of the first input."""
    field = nothing(inputs)
    field[0] = np.broadcast_to(wanted.any(axis=-1, keepdims=True), wanted.shape).copy()
    return tuple(field)


def field_of_window(geometry: Window, wanted: Mask) -> Mask:
    """The pixels, and channels of the groups, of the picture that a window sees for these outputs."""
    g = geometry
    groups = some(wanted.reshape(g.batch, g.out_h, g.out_w, g.groups, g.multiplier), -1)
    seen = np.zeros((g.batch, g.in_h, g.in_w, g.groups), np.bool_)
    for tap in g.taps():
        seen[tap.inputs] |= groups[tap.outputs]
    return seen.repeat(g.in_c // g.groups, axis=3)


def field_of_move(
    op: Op, node: Node, inputs: Sequence[Array | None], wanted: Mask, position: int = 0
) -> tuple[Mask | None, ...]:
    """The field of an operator that moves elements of one input: it is given their numbers to move.

    0 stands for what comes from nowhere.
    """
    x = inputs[position]
    assert x is not None
    numbered = list(inputs)
    numbered[position] = np.arange(1, x.size + 1).reshape(x.shape)
    (moved,) = op.evaluate(node, numbered)
    came_from = moved[wanted]
    field = nothing(inputs)
    chosen = np.zeros(x.size, np.bool_)
    chosen[came_from[came_from > 0] - 1] = True
    field[position] = chosen.reshape(x.shape)
    return tuple(field)


def places(mask: Mask | None) -> Places:
    """The elements of a set, in the order of memory."""
    assert mask is not None
    return np.argwhere(mask)


def taken(values: Array, at: Places) -> Array:
    """The values of elements, one-dimensional."""
    return np.atleast_1d(values[tuple(at.T)])


def products(
    meaning: str, field: Sequence[Mask | None], x: Array, factors: Array, positions: tuple[int, int] = (0, 1)
) -> Terms:
    """The terms of a sum of products of two inputs whose fields lie in the same order.

    Parameters
    ----------
    x, factors:
        The two inputs as they are multiplied, in the shapes of their fields.
    """
    first, second = places(field[positions[0]]), places(field[positions[1]])
    return Terms(
        meaning,
        positions[0],
        first,
        taken(x, first),
        taken(factors, second),
        positions[1],
        second,
    )
