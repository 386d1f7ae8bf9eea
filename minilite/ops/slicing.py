"""Parts of a tensor: SLICE, STRIDED_SLICE, DYNAMIC_UPDATE_SLICE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minilite.graph import Array, Node, Shape
from minilite.ops.base import Int8, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_elements,
    check_integers,
    check_same_type,
    integers,
)
from minilite.ops.moves import Move, Rearrangement, around, part

Index: TypeAlias = tuple[slice | int | None, ...]


@dataclass(frozen=True)
class StridedSliceOptions:
    """Schema table ``StridedSliceOptions``."""

    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False


@operator("SLICE")
class Slice(Rearrangement):
    """A box: where it begins and how large it is, both int32 or int64 [rank] (TFLite's ``kernels/slice.cc``).

    A size of -1 is up to the end.
    """

    int8 = Int8(same_scale=True)
    where = (1, 2)

    def check(self, node: Node) -> None:
        check_arity(node, (3, 3))
        check_elements(node, node.input(0))
        check_same_type(node, node.input(0), node.output)
        for position in self.where:
            check_integers(node, node.input(position), (len(node.input(0).shape),))

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        return (tuple(side.stop - side.start for side in self._box(node, inputs)),)

    def _box(self, node: Node, inputs: Sequence[Any]) -> list[slice]:
        begins, sizes, x = integers(inputs[1]), integers(inputs[2]), node.input(0)
        box = []
        for axis, (begin, wanted, n) in enumerate(zip(begins, sizes, x.shape, strict=True)):
            size = n - begin if wanted == -1 else wanted
            if begin < 0 or size < 0 or begin + size > n:
                refuse(
                    node,
                    f"a slice of {wanted} from {begin} leaves axis {axis}, which has size {n}",
                    rule="slice-bounds",
                    tensor=x,
                )
            box.append(slice(begin, begin + size))
        return box

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield outputs[0], part(inputs[0], self._box(node, inputs))


@operator("STRIDED_SLICE")
class StridedSlice(Rearrangement):
    """What ``x[begin:end:stride, ...]`` gives in Python (TFLite's ``kernels/strided_slice.cc``).

    Begins, ends and strides are int32 or int64 [indices]. Bit i of a mask is about index i:
    ``begin_mask`` and ``end_mask`` leave out a bound, ``ellipsis_mask`` makes it an ellipsis,
    ``new_axis_mask`` a new axis of size 1, ``shrink_axis_mask`` a single position, whose axis goes. With
    ``offset`` ends count from the begins.
    """

    options = StridedSliceOptions
    int8 = Int8(same_scale=True)
    where = (1, 2, 3)

    def check(self, node: Node) -> None:
        check_arity(node, (4, 4))
        check_elements(node, node.input(0))
        check_same_type(node, node.input(0), node.output)
        for position in self.where:
            check_integers(node, node.input(position), (None,))
            check_integers(node, node.input(position), node.input(1).shape)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        begins, ends, strides = (node.input(position).data for position in self.where)
        if node.options.offset and begins is None and ends is not None and strides is not None:
            # Ends count positions, so that it does not matter for the shape where they begin.
            self.check(node)
            return self.sizes(node, [None, np.where(strides > 0, 0, -1), ends, strides])
        return super().output_shapes(node)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape, axis = [], 0
        for entry in self._index(node, inputs):
            if entry is None:
                shape.append(1)
                continue
            if isinstance(entry, slice):
                shape.append(len(range(*entry.indices(node.input(0).shape[axis]))))
            axis += 1
        return (tuple(shape),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield outputs[0], part(inputs[0], self._index(node, inputs))

    def _index(self, node: Node, inputs: Sequence[Any]) -> Index:
        """The basic index that NumPy takes, with one entry for each axis and each new axis."""
        x, options = node.input(0), node.options
        bounds = list(zip(*(integers(inputs[position]) for position in self.where), strict=True))
        ellipses = [i for i in range(len(bounds)) if options.ellipsis_mask >> i & 1]
        new = [i for i in range(len(bounds)) if options.new_axis_mask >> i & 1 and i not in ellipses]
        covered = len(bounds) - len(ellipses) - len(new)
        if len(ellipses) > 1 or covered > len(x.shape):
            refuse(
                node,
                f"{covered} indices and {len(ellipses)} ellipses, but {len(x.shape)} axes and at most one",
                rule="slice-indices",
                tensor=x,
            )
        rest = (slice(None),) * (len(x.shape) - covered)
        index: list[slice | int | None] = []
        axis = 0
        for i, (begin, end, stride) in enumerate(bounds):
            if i in ellipses:
                index += rest
                axis += len(rest)
            elif i in new:
                index.append(None)
            else:
                index.append(self._entry(node, i, axis, begin, end, stride))
                axis += 1
        return tuple(index) if ellipses else (*index, *rest)

    def _entry(self, node: Node, i: int, axis: int, begin: int, end: int, stride: int) -> slice | int:
        options, size = node.options, node.input(0).shape[axis]
        where = f"index {i}, on axis {axis} of size {size}"
        if stride == 0:
            refuse(node, f"{where}: the stride is 0", rule="slice-stride", tensor=node.input(3))
        first = None if options.begin_mask >> i & 1 else begin
        if options.shrink_axis_mask >> i & 1:
            position = (0 if stride > 0 else size - 1) if first is None else begin
            if not -size <= position < size:
                refuse(node, f"{where}: there is no position {position}", rule="slice-bounds",
                       tensor=node.input(0))  # fmt: skip
            return position
        if not options.offset:
            return slice(first, None if options.end_mask >> i & 1 else end, stride)
        start = slice(first, None, stride).indices(size)[0]
        return self._counted(node, where, start, size, -(-end // stride), stride)

    def _counted(self, node: Node, where: str, start: int, size: int, count: int, stride: int) -> slice:
        """``count`` positions from ``start`` on."""
        if count <= 0:
            return slice(0, 0)
        last = start + (count - 1) * stride
        if not (0 <= start < size and 0 <= last < size):
            refuse(node, f"{where}: {count} positions from {start} on leave it", rule="slice-bounds",
                   tensor=node.input(0))  # fmt: skip
        behind = last + stride
        return slice(start, behind if behind >= 0 else None, stride)


@operator("DYNAMIC_UPDATE_SLICE")
class DynamicUpdateSlice(Rearrangement):
    """A tensor with a box of it replaced by the second input (TFLite's ``kernels/dynamic_update_slice.cc``).

    The box begins where the third input says, int32 or int64 [rank], moved as far as it must be to lie
    inside.
    """

    where = (2,)

    def check(self, node: Node) -> None:
        check_arity(node, (3, 3))
        x, update = node.input(0), node.input(1)
        check_elements(node, x)
        check_same_type(node, x, update, node.output)
        check_integers(node, node.input(2), (len(x.shape),))
        if len(update.shape) != len(x.shape) or any(
            size > n for size, n in zip(update.shape, x.shape, strict=True)
        ):
            refuse(node, f"must have the rank of {x} and be no larger", rule="update-shape", tensor=update)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        self.check(node)
        return (node.input(0).shape,)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        return (node.input(0).shape,)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        x, update, starts = inputs
        room = [n - size for n, size in zip(x.shape, update.shape, strict=True)]
        begins = [min(max(start, 0), most) for start, most in zip(integers(starts), room, strict=True)]
        box = tuple(slice(a, a + n) for a, n in zip(begins, update.shape, strict=True))
        yield part(outputs[0], box), update
        yield from zip(around(outputs[0], box), around(x, box), strict=True)
