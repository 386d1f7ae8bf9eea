"""Elements in another order, or repeated: TRANSPOSE, REVERSE_V2, REVERSE_SEQUENCE, TILE, BROADCAST_TO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Array, Node, Shape
from minilite.ops.base import Int8, Mask, Op, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_axis,
    check_elements,
    check_integers,
    check_same_type,
    integers,
)
from minilite.ops.fields import field_of_move
from minilite.ops.moves import Move, Rearrangement
from minilite.shapes import broadcast


@dataclass(frozen=True)
class ReverseSequenceOptions:
    """Schema table ``ReverseSequenceOptions``."""

    seq_dim: int = 0
    batch_dim: int = 0


def _check_moved(node: Node) -> None:
    """Two inputs, and an output of the first one's type."""
    check_arity(node, (2, 2))
    check_elements(node, node.input(0))
    check_same_type(node, node.input(0), node.output)


@operator("TRANSPOSE")
class Transpose(Rearrangement):
    """Axes in another order, int32 or int64 [rank] (TFLite's ``kernels/transpose.cc``)."""

    int8 = Int8(same_scale=True)
    where = (1,)

    def check(self, node: Node) -> None:
        _check_moved(node)
        check_integers(node, node.input(1), (len(node.input(0).shape),))

    def _order(self, node: Node, inputs: Sequence[Any]) -> tuple[int, ...]:
        wanted, x = integers(inputs[1]), node.input(0)
        order = tuple(check_axis(node, x, axis) for axis in wanted)
        if len(set(order)) != len(order):
            refuse(node, f"{wanted} names an axis twice", rule="permutation", tensor=node.input(1))
        return order

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape = node.input(0).shape
        return (tuple(shape[axis] for axis in self._order(node, inputs)),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield outputs[0], inputs[0].transpose(self._order(node, inputs))


@operator("REVERSE_V2")
class ReverseV2(Rearrangement):
    """Some axes back to front: int32 or int64 [axes] (TFLite's ``kernels/reverse.cc``).

    TFLite wants them to be neighbours; here they may be any.
    """

    where = (1,)

    def check(self, node: Node) -> None:
        _check_moved(node)
        check_integers(node, node.input(1), (None,))

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        super().output_shapes(node)
        return (node.input(0).shape,)

    def _axes(self, node: Node, inputs: Sequence[Any]) -> tuple[int, ...]:
        wanted, x = integers(inputs[1]), node.input(0)
        axes = tuple(check_axis(node, x, axis) for axis in wanted)
        if len(set(axes)) != len(axes):
            refuse(node, f"{wanted} names an axis twice", rule="reverse-axes", tensor=node.input(1))
        return axes

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        self._axes(node, inputs)
        return (node.input(0).shape,)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield outputs[0], np.flip(inputs[0], self._axes(node, inputs))


@operator("REVERSE_SEQUENCE")
class ReverseSequence(Op):
    """The beginning of each sequence back to front (TFLite's ``kernels/reverse_sequence.cc``).

    The second input, int32 or int64 [size of ``batch_dim``], says how many elements along ``seq_dim``
    change places; those behind them stay.
    """

    options = ReverseSequenceOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        _check_moved(node)
        x, lengths = node.input(0), node.input(1)
        sequence, batch = self._axes(node)
        if sequence == batch:
            refuse(node, f"seq_dim and batch_dim are both axis {batch}", rule="sequence-axes")
        check_integers(node, lengths, (x.shape[batch],))
        if lengths.data is not None:
            self._lengths(node, lengths.data)
        return (x.shape,)

    def _axes(self, node: Node) -> tuple[int, int]:
        x, options = node.input(0), node.options
        return (
            check_axis(node, x, options.seq_dim, what="seq_dim"),
            check_axis(node, x, options.batch_dim, what="batch_dim"),
        )

    def _lengths(self, node: Node, values: Array) -> Array:
        size = node.input(0).shape[self._axes(node)[0]]
        wrong = np.flatnonzero((values < 0) | (values > size))
        if wrong.size:
            refuse(
                node,
                f"length {values[wrong[0]]} at {wrong[0]} is not between 0 and {size}",
                rule="sequence-length",
                tensor=node.input(1),
            )
        return values.astype(np.int64)

    where = (1,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_move(self, node, inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, lengths = inputs
        assert x is not None
        assert lengths is not None
        sequence, batch = self._axes(node)
        lengths = np.expand_dims(self._lengths(node, lengths), _all_but(x.ndim, batch))
        places = np.expand_dims(np.arange(x.shape[sequence]), _all_but(x.ndim, sequence))
        places = np.where(places < lengths, lengths - 1 - places, places)
        return (np.take_along_axis(x, places, sequence),)


def _all_but(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(rank) if other != axis)


@operator("TILE")
class Tile(Rearrangement):
    """A tensor side by side with itself, int32 or int64 [rank] times (TFLite's ``kernels/tile.cc``)."""

    where = (1,)

    def check(self, node: Node) -> None:
        _check_moved(node)
        check_integers(node, node.input(1), (len(node.input(0).shape),))

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        times = integers(inputs[1])
        if any(count < 0 for count in times):
            refuse(node, f"{times} has a negative count", rule="tile-count", tensor=node.input(1))
        return (tuple(n * count for n, count in zip(node.input(0).shape, times, strict=True)),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        x, times = inputs[0], integers(inputs[1])
        tiles = [n for pair in zip(times, x.shape, strict=True) for n in pair]
        once = [n for size in x.shape for n in (1, size)]
        yield outputs[0].reshape(tiles), x.reshape(once)


@operator("BROADCAST_TO")
class BroadcastTo(Rearrangement):
    """Axes of size 1, and ones in front that are not there, repeated (TFLite's ``kernels/broadcast_to.cc``).

    The shape is int32 or int64 [rank].
    """

    where = (1,)

    def check(self, node: Node) -> None:
        _check_moved(node)
        check_integers(node, node.input(1), (None,))

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape, x = integers(inputs[1]), node.input(0)
        if any(size < 0 for size in shape) or broadcast(x.shape, shape) != shape:
            refuse(
                node,
                f"does not broadcast to {shape}: aligned at the last axis, its sizes must be equal or 1",
                rule="broadcast",
                tensor=x,
            )
        return (shape,)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield outputs[0], inputs[0]
