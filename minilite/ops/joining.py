"""Tensors put together and taken apart: CONCATENATION, PACK, UNPACK, SPLIT, SPLIT_V."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Int8, Lowering, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_axis,
    check_elements,
    check_integers,
    check_quantized,
    check_same_quantization,
    check_same_type,
    integers,
)
from minilite.ops.lowering import grain
from minilite.ops.moves import LONE_WORD_COST, Move, Rearrangement, part
from minilite.quantization import integer_range, round_half_away


@dataclass(frozen=True)
class ConcatenationOptions:
    """Schema table ``ConcatenationOptions``."""

    axis: int = 0
    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class PackOptions:
    """Schema table ``PackOptions``."""

    values_count: int = 0
    axis: int = 0


@dataclass(frozen=True)
class UnpackOptions:
    """Schema table ``UnpackOptions``."""

    num: int = 0
    axis: int = 0


@dataclass(frozen=True)
class SplitOptions:
    """Schema table ``SplitOptions``."""

    num_splits: int = 0


@dataclass(frozen=True)
class SplitVOptions:
    """Schema table ``SplitVOptions``."""

    num_splits: int = 0


def along(axis: int, index: slice | int) -> list[slice | int]:
    """Index of a part of an array: ``index`` on one axis, everything before and behind."""
    return [*(slice(None),) * axis, index]


def without(shape: Shape, axis: int) -> Shape:
    """The sizes of all other axes."""
    return (*shape[:axis], *shape[axis + 1 :])


def needs_rescaling(tensor: Tensor, output: Tensor) -> bool:
    """Whether a part of a uint8 concatenation has other units than the whole."""
    a, b = tensor.quantization, output.quantization
    if tensor.type is not TensorType.UINT8 or a is None or b is None:
        return False
    return bool(a.scale != b.scale or a.zero_point != b.zero_point)


@operator("CONCATENATION")
class Concatenation(Rearrangement):
    """Tensors of one type side by side along an axis (TFLite's ``kernels/concatenation.cc``).

    Scalars count as vectors of one element. uint8 parts are brought to the output's scale in float32
    (``ConcatenationWithScaling`` of ``reference/concatenation.h``); int8 parts must already have it.
    """

    options = ConcatenationOptions
    int8 = Int8(same_scale=True)

    def check(self, node: Node) -> None:
        if not node.inputs or len(node.outputs) != 1:
            check_arity(node, (1, max(1, len(node.inputs))))
        if node.options.fused_activation_function is not Activation.NONE:
            refuse(node, "no activation can be fused with it", rule="fused-activation")
        axis, first = _concatenated_axis(node), node.input(0)
        for position in range(len(node.inputs)):
            tensor = node.input(position)
            check_elements(node, tensor)
            check_same_type(node, node.output, tensor)
            if without(_at_least_1d(tensor.shape), axis) != without(_at_least_1d(first.shape), axis) or len(
                tensor.shape
            ) != len(first.shape):
                refuse(
                    node,
                    f"must have the sizes of {first}, except along axis {axis}",
                    rule="concatenation-shape",
                    tensor=tensor,
                )
            self._check_units(node, tensor)

    def _check_units(self, node: Node, tensor: Tensor) -> None:
        if tensor.type is TensorType.INT8:
            check_same_quantization(node, tensor, node.output)
        elif tensor.type is TensorType.UINT8 and node.output.quantization is not None:
            check_quantized(node, node.output)
            check_quantized(node, tensor)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        axis = _concatenated_axis(node)
        shapes = [_at_least_1d(node.input(i).shape) for i in range(len(node.inputs))]
        total = sum(shape[axis] for shape in shapes)
        return ((*shapes[0][:axis], total, *shapes[0][axis + 1 :]),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        axis = _concatenated_axis(node)
        tensors = [np.atleast_1d(values) for values in inputs]
        ends = accumulate((values.shape[axis] for values in tensors), initial=0)
        for values, (start, stop) in zip(tensors, pairwise(ends), strict=True):
            yield part(outputs[0], along(axis, slice(start, stop))), values

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        rescaled = list(inputs)
        for i, values in enumerate(inputs):
            if values is not None and needs_rescaling(node.input(i), node.output):
                rescaled[i] = _rescaling_table(node.input(i), node.output)[values]
        return super().evaluate(node, rescaled)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        if not any(needs_rescaling(node.input(i), node.output) for i in range(len(node.inputs))):
            return super().lower(node, lowering)
        from minilite_kernels.arrangement import translate

        shape, axis, offset = node.output.shape, _concatenated_axis(node), 0
        outer, stride = prod(shape[:axis]), prod(shape[axis:])
        for position in range(len(node.inputs)):
            tensor = node.input(position)
            block = tensor.size // max(outer, 1)
            lowering.step(
                translate,
                node,
                extent=outer,
                grain=grain(outer, LONE_WORD_COST * block),
                x=tensor,
                out=node.output,
                table=_rescaling_table(tensor, node.output),
                block=block,
                stride=stride,
                offset=offset,
            )
            offset += block
        return True


def _at_least_1d(shape: Shape) -> Shape:
    return shape or (1,)


def _concatenated_axis(node: Node) -> int:
    first = node.input(0)
    return check_axis(node, first, node.options.axis, rank=len(_at_least_1d(first.shape)))


def _rescaling_table(tensor: Tensor, output: Tensor) -> Array:
    """What each uint8 becomes in the units of ``output``, by the float32 products of TFLite."""
    a, b = tensor.quantization, output.quantization
    assert a is not None
    assert b is not None
    scale = a.scale * (np.float32(1) / b.scale)
    bias = np.float32(-a.zero_point) * scale
    values = np.arange(256, dtype=np.float32)
    rescaled = round_half_away(values * scale + bias) + b.zero_point
    limited: Array = np.clip(rescaled, *integer_range(np.uint8))
    return limited.astype(np.uint8)


@operator("PACK")
class Pack(Rearrangement):
    """Tensors of one shape along a new axis (TFLite's ``kernels/pack.cc``)."""

    options = PackOptions

    def check(self, node: Node) -> None:
        check_arity(node, (1, max(1, len(node.inputs))))
        if node.options.values_count != len(node.inputs):
            refuse(
                node,
                f"values_count is {node.options.values_count}, but it has {len(node.inputs)} inputs",
                rule="values-count",
            )
        first = node.input(0)
        check_axis(node, first, node.options.axis, rank=len(first.shape) + 1)
        for position in range(len(node.inputs)):
            tensor = node.input(position)
            check_elements(node, tensor)
            check_same_type(node, node.output, tensor)
            check_same_quantization(node, tensor, node.output)
            if tensor.shape != first.shape:
                refuse(node, f"must have the shape of {first}", rule="pack-shape", tensor=tensor)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape = node.input(0).shape
        axis = node.options.axis % (len(shape) + 1)
        return ((*shape[:axis], len(node.inputs), *shape[axis:]),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        axis = node.options.axis % outputs[0].ndim
        for i, values in enumerate(inputs):
            yield part(outputs[0], along(axis, i)), values


@operator("UNPACK")
class Unpack(Rearrangement):
    """The slices of a tensor along an axis, which goes (TFLite's ``kernels/unpack.cc``)."""

    options = UnpackOptions

    def check(self, node: Node) -> None:
        check_arity(node, (1, 1), len(node.outputs))
        x = node.input(0)
        check_elements(node, x)
        axis = check_axis(node, x, node.options.axis)
        if node.options.num != len(node.outputs) or x.shape[axis] != len(node.outputs):
            refuse(
                node,
                f"num is {node.options.num} and it has {len(node.outputs)} outputs: both must be the size of "
                f"axis {axis}, {x.shape[axis]}",
                rule="unpack-count",
                tensor=x,
            )
        for output in node.outputs:
            check_same_type(node, x, output)
            check_same_quantization(node, output, x)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape = node.input(0).shape
        return (without(shape, node.options.axis % len(shape)),) * len(node.outputs)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        (x,) = inputs
        axis = node.options.axis % x.ndim
        for i, output in enumerate(outputs):
            yield output, part(x, along(axis, i))


class _Split(Rearrangement):
    """What both share: consecutive parts along an axis."""

    x: int
    """Position of the tensor."""
    axis: int
    """Position of the axis, int32 or int64, of one element."""

    def check(self, node: Node) -> None:
        check_arity(node, (len(self.where) + 1,) * 2, len(node.outputs))
        x, axis = node.input(self.x), node.input(self.axis)
        check_elements(node, x)
        check_integers(node, axis, (1,) * len(axis.shape))
        for output in node.outputs:
            check_same_type(node, x, output)
        if node.options.num_splits != len(node.outputs):
            refuse(
                node,
                f"num_splits is {node.options.num_splits}, but it has {len(node.outputs)} outputs",
                rule="num-splits",
            )

    def parts(self, node: Node, inputs: Sequence[Any]) -> tuple[int, tuple[int, ...]]:
        """The axis, and the size of each part along it."""
        raise NotImplementedError

    def _axis(self, node: Node, inputs: Sequence[Any]) -> int:
        return check_axis(node, node.input(self.x), integers(inputs[self.axis])[0])

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape = node.input(self.x).shape
        axis, parts = self.parts(node, inputs)
        return tuple((*shape[:axis], size, *shape[axis + 1 :]) for size in parts)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        axis, parts = self.parts(node, inputs)
        for output, (start, stop) in zip(outputs, pairwise(accumulate(parts, initial=0)), strict=True):
            yield output, part(inputs[self.x], along(axis, slice(start, stop)))


@operator("SPLIT")
class Split(_Split):
    """Equal parts of a tensor along an axis, which is the first input (TFLite's ``kernels/split.cc``)."""

    options = SplitOptions
    axis, x = 0, 1
    where, elements = (0,), 1

    def parts(self, node: Node, inputs: Sequence[Any]) -> tuple[int, tuple[int, ...]]:
        axis, x, count = self._axis(node, inputs), node.input(self.x), len(node.outputs)
        if x.shape[axis] % count:
            refuse(
                node,
                f"axis {axis} of size {x.shape[axis]} has no {count} equal parts",
                rule="split-size",
                tensor=x,
            )
        return axis, (x.shape[axis] // count,) * count


@operator("SPLIT_V")
class SplitV(_Split):
    """Parts of given sizes along an axis (TFLite's ``kernels/split_v.cc``).

    The sizes are int32 or int64 [outputs]; one may be -1: what is left.
    """

    options = SplitVOptions
    x, axis = 0, 2
    where, elements = (1, 2), 0

    def check(self, node: Node) -> None:
        super().check(node)
        check_integers(node, node.input(1), (len(node.outputs),))

    def parts(self, node: Node, inputs: Sequence[Any]) -> tuple[int, tuple[int, ...]]:
        axis, x, wanted = self._axis(node, inputs), node.input(self.x), integers(inputs[1])
        size, known = x.shape[axis], sum(given for given in wanted if given != -1)
        free = wanted.count(-1)
        if min(wanted) < -1 or free > 1 or known > size or (known < size and not free):
            refuse(
                node,
                f"sizes {wanted} are no parts of axis {axis} of size {size}: at most one may be -1, and "
                "together they must fill it",
                rule="split-size",
                tensor=x,
            )
        return axis, tuple(size - known if given == -1 else given for given in wanted)
