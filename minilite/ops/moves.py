"""Operators that move elements and compute none: one meaning for the NumPy reference and the kernels.

Such an operator says which part of an output takes its elements from which part of an input, as pairs of
NumPy views. Assigning one to the other is the reference; the strides of the same views, taken of arrays
that nobody reads, are the kernel steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd, prod
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Lowering, Mask, Op
from minilite.ops.fields import nothing, stretched
from minilite.ops.lowering import MAX_WORD, as_words, grain

Move: TypeAlias = tuple[Array, Array]
"""Part of an output, and what goes there: a view of an input that has its shape or broadcasts to it, or a
constant of one element (``scalar``)."""

WORD_COST = 4
"""Multiply-adds that take as long as moving a word whose neighbours move with it."""

LONE_WORD_COST = 16
"""The same for a word that moves alone."""


LONG_RUN = 128
"""Bytes that are moved at the speed of memory in words of any width."""

SHORT_ROW = 16
"""Words of a row that is over before a loop over it is worth its while."""


class Rearrangement(Op):
    """An operator whose outputs hold elements of its inputs. Subclasses check, size and say the moves."""

    elements: ClassVar[int] = 0
    """Position of an input that has the outputs' type."""

    def check(self, node: Node) -> None:
        """Refuse what is wrong whatever the values of the inputs ``where`` are."""
        raise NotImplementedError

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        """The outputs' shapes, once the values of the inputs ``where`` are known and found right.

        ``inputs`` holds those values; what else it holds does not matter.
        """
        raise NotImplementedError

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        """What goes where; each element of the outputs belongs to exactly one move.

        Inputs and outputs that are elements may be indexed, transposed and reshaped (where that makes a
        view), but not read: plans call this with arrays of no content.
        """
        raise NotImplementedError

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        self.check(node)
        if not self.knows_where(node):
            return (None,) * len(node.outputs)
        return self.sizes(node, [None if t is None else t.data for t in node.inputs])

    def knows_where(self, node: Node) -> bool:
        """Whether the inputs ``where`` are constants."""
        given = (node.optional_input(position) for position in self.where)
        return all(tensor is None or tensor.is_constant for tensor in given)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        elements = inputs[self.elements]
        assert elements is not None
        outputs = tuple(np.empty(shape, elements.dtype) for shape in self.sizes(node, inputs))
        for target, source in self.moves(node, inputs, outputs):
            target[...] = source
        return outputs

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        field = nothing(inputs)
        given = [inputs[i] if i in self.where else mask for i, mask in enumerate(field)]
        for target, source in self.moves(node, given, wanted):
            # Of a constant nobody looks at what is written to it.
            np.logical_or(source, stretched(target, source.shape), out=source, casting="unsafe")
        return tuple(field)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        if node.output.type is TensorType.STRING or not self.knows_where(node):
            return False
        places = _Places()
        inputs = [
            None if t is None else t.data if i in self.where else places.of(t)
            for i, t in enumerate(node.inputs)
        ]
        outputs = [places.of(tensor) for tensor in node.outputs]
        for target, source in self.moves(node, inputs, outputs):
            if target.size and not _is_there(lowering, places, source):
                _lower_move(node, lowering, places, target, source)
        for tensor in node.outputs:
            if not tensor.size:
                lower_copy(node, lowering, tensor, node.input(self.elements))
        return True


def _is_there(lowering: Lowering, places: _Places, source: Array) -> bool:
    """Whether what would be moved is written where it goes."""
    found = places.find(source)
    return found is not None and lowering.place(found[0]).whole is not found[0]


def scalar(node: Node, value: float) -> Array:
    """A constant element of an output's type, for a move."""
    return np.array(value, node.output.dtype)


def part(array: Any, index: Sequence[Any]) -> Array:
    """``array[index]`` for a basic index: a view, even of a single element."""
    view: Array = array[(*index, ...)]
    return view


def around(whole: Array, box: Sequence[slice]) -> Iterator[Array]:
    """The parts of an array that lie outside a box, as slabs that do not overlap; some may be empty.

    The box has a slice with a start and a stop for each of the first axes.
    """
    for axis, inside in enumerate(box):
        yield part(whole, [*box[:axis], slice(None, inside.start)])
        yield part(whole, [*box[:axis], slice(inside.stop, None)])


def lower_copy(node: Node, lowering: Lowering, out: Tensor, x: Tensor) -> None:
    """The elements of ``x`` that ``out`` has place for, as they are."""
    from minilite_kernels.arrangement import copy

    words = as_words(lowering, out)
    lowering.step(
        copy,
        node,
        extent=words.size,
        grain=grain(words.size, WORD_COST),
        x=as_words(lowering, x),
        out=words,
        source=0,
        target=0,
    )


class _Places:
    """Arrays of bytes in the shapes of tensors, never read: a view of one tells where its elements are."""

    def __init__(self) -> None:
        self._arrays: list[tuple[Tensor, Array]] = []

    def of(self, tensor: Tensor) -> Array:
        array = np.empty(max(tensor.size, 1), np.uint8)
        self._arrays.append((tensor, array))
        return array[: tensor.size].reshape(tensor.shape)

    def find(self, view: Array) -> tuple[Tensor, int] | None:
        """The tensor, and how many of its elements lie before the view's first one."""
        address = _address(view)
        for tensor, array in self._arrays:
            if 0 <= address - _address(array) < array.size:
                return tensor, address - _address(array)
        return None


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


class Axis(NamedTuple):
    """One axis of a move: its size, and how far one step goes in the source and in the target."""

    size: int
    source: int
    target: int


def merged(axes: Sequence[Axis]) -> list[Axis]:
    """The same elements in the order of the target, with as few axes as possible, outer ones first."""
    made: list[Axis] = []
    for axis in sorted((a for a in axes if a.size > 1), key=lambda a: -a.target):
        outer = made[-1] if made else None
        if (
            outer is not None
            and outer.source == axis.size * axis.source
            and outer.target == axis.size * axis.target
        ):
            made[-1] = Axis(outer.size * axis.size, axis.source, axis.target)
        else:
            made.append(axis)
    return made or [Axis(1, 1, 1)]


def in_words(axes: Sequence[Axis], size: int, *offsets: int) -> tuple[int, list[Axis]]:
    """A move of elements of ``size`` bytes as one of words: their width in bytes, and the merged axes.

    Words are as wide as all that lies side by side allows, where that is so little that it matters: a
    row of a long run takes the same time in any words, and fewer widths are fewer kernels to compile.
    """
    in_bytes = merged([*(Axis(n, size * s, size * t) for n, s, t in axes), Axis(size, 1, 1)])
    *outer, run = in_bytes
    if run[1:] != (1, 1):
        return 1, in_bytes
    width = min(size, MAX_WORD)
    if run.size < LONG_RUN:
        width = gcd(MAX_WORD, run.size, *(n * size for n in offsets), *(n for a in outer for n in a[1:]))
    return width, merged(
        [*(Axis(n, s // width, t // width) for n, s, t in outer), Axis(run.size // width, 1, 1)]
    )


def rows_chosen(axes: Sequence[Axis]) -> list[Axis]:
    """The axes of a move as the kernel takes them: at least two, the last one a row, the one before chosen.

    Where rows are gathered from afar, the rows of a square should be what lies side by side in the source;
    where rows are short, there should be many of them in a row.
    """
    *outer, row = axes
    if row.source not in (0, 1):
        outer.sort(key=lambda axis: axis.source == 1)
    elif len(outer) > 1 and row.size <= SHORT_ROW and outer[-1].size < outer[-2].size:
        outer[-2:] = outer[-1], outer[-2]
    return [*outer, row] if outer else [Axis(1, 0, 0), row]


def _lower_move(node: Node, lowering: Lowering, places: _Places, target: Array, source: Array) -> None:
    found = places.find(target)
    assert found is not None, f"{node.operator}: a move's target is no part of an output"
    out, target_offset = found
    found = places.find(source)
    assert found is not None or source.size == 1, f"{node.operator}: a move's source is no part of an input"
    x, source_offset = found or (source, 0)
    stretched = np.broadcast_to(source, target.shape)
    axes = [Axis(*axis) for axis in zip(target.shape, stretched.strides, target.strides, strict=True)]
    size = out.dtype.itemsize
    width, axes = in_words(axes, size, source_offset, target_offset)
    _step(
        node,
        lowering,
        axes,
        x=as_words(lowering, x, width),
        out=as_words(lowering, out, width),
        source=source_offset * size // width,
        target=target_offset * size // width,
    )


def _step(node: Node, lowering: Lowering, axes: list[Axis], **arguments: Any) -> None:
    """The kernel step of a move over these axes."""
    from minilite_kernels.arrangement import TILE, copy, move

    if len(axes) == 1 and axes[0][1:] == (1, 1):
        extent = axes[0].size
        lowering.step(copy, node, extent=extent, grain=grain(extent, WORD_COST), **arguments)
        return
    axes = rows_chosen(axes)
    *outer, row = axes
    extent = prod(axis.size for axis in outer)
    cost = row.size * (WORD_COST if row.source in (0, 1) and row.target == 1 else LONE_WORD_COST)
    lowering.step(
        move,
        node,
        extent=extent,
        grain=grain(extent, cost, TILE // arguments["out"].dtype.itemsize),
        axes=np.array(axes, np.int64).reshape(-1),
        counts=lowering.scratch(np.int64, len(axes)),
        **arguments,
    )
