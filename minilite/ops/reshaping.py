"""The same elements in another shape: RESHAPE, SQUEEZE, EXPAND_DIMS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Int8, Lowering, Mask, Op, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_axis,
    check_elements,
    check_integers,
    check_same_type,
    integers,
)
from minilite.ops.fields import nothing


@dataclass(frozen=True)
class ReshapeOptions:
    """Schema table ``ReshapeOptions``."""

    new_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class SqueezeOptions:
    """Schema table ``SqueezeOptions``."""

    squeeze_dims: tuple[int, ...] = ()


class _Reshaping(Op):
    """What all share: output and input are one memory, as far as somebody outside does not hold either."""

    def new_shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape | None:
        """The output's shape; None if it is computed by an input that is None."""
        raise NotImplementedError

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        x = node.input(0)
        check_elements(node, x)
        check_same_type(node, x, node.output)
        return (self.new_shape(node, [None if t is None else t.data for t in node.inputs]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, shape = inputs[0], self.new_shape(node, inputs)
        assert x is not None
        assert shape is not None
        return (x.reshape(shape).copy(),)

    where = (1,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        x = inputs[0]
        assert x is not None
        return (wanted[0].reshape(x.shape), *nothing(inputs[1:]))

    def lower(self, node: Node, lowering: Lowering) -> bool:
        if node.output.type is TensorType.STRING or self.output_shapes(node) == (None,):
            return False
        lowering.alias(node.output, node.input(0))
        return True


@operator("RESHAPE")
class Reshape(_Reshaping):
    """The same elements in another shape (TFLite's ``kernels/reshape.cc``).

    The shape is the second input, int32 [rank], or where there is none the option ``new_shape``, whose
    old form (0) stands for a scalar. One size may be -1: what is left.
    """

    options = ReshapeOptions
    int8 = Int8(same_scale=True, version=1)

    def new_shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape | None:
        check_arity(node, (1, 2))
        wanted: Sequence[int] = node.options.new_shape
        if _is_shape(node.optional_input(1)):
            if inputs[1] is None:
                return None
            wanted = integers(inputs[1])
        elif wanted == (0,):
            wanted = ()
        return self._resolve(node, wanted)

    def _resolve(self, node: Node, wanted: Sequence[int]) -> Shape:
        x = node.input(0)
        free = [i for i, size in enumerate(wanted) if size == -1]
        if len(free) > 1 or any(size < -1 for size in wanted):
            refuse(
                node,
                f"new shape {tuple(wanted)}: at most one size may be -1, none may be less",
                rule="reshape-shape",
            )
        shape = list(wanted)
        if free:
            shape[free[0]] = _left(x.shape, [size for size in wanted if size != -1])
        if prod(shape) != x.size:
            refuse(
                node,
                f"has {x.size} elements, which do not fill the new shape {tuple(wanted)}",
                rule="reshape-size",
                tensor=x,
            )
        return tuple(shape)


def _left(shape: Sequence[int], known: Sequence[int]) -> int:
    """What -1 stands for, beside the known sizes. Where both are empty, axes of size 0 answer each other."""
    if 0 in shape and 0 not in known:
        return 0
    return prod(n for n in shape if n) // prod(n for n in known if n)


def _is_shape(tensor: Tensor | None) -> bool:
    """Whether RESHAPE's second input is taken for a shape; TFLite falls back to the option otherwise."""
    return tensor is not None and tensor.type is TensorType.INT32 and len(tensor.shape) == 1


@operator("SQUEEZE")
class Squeeze(_Reshaping):
    """Without axes of size 1: those of the option, or all (TFLite's ``kernels/squeeze.cc``)."""

    options = SqueezeOptions
    int8 = Int8(same_scale=True, version=1)

    def new_shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape | None:
        check_arity(node, (1, 1))
        x = node.input(0)
        gone = {check_axis(node, x, axis) for axis in node.options.squeeze_dims}
        for axis in gone:
            if x.shape[axis] != 1:
                refuse(node, f"axis {axis} has size {x.shape[axis]}, not 1", rule="squeeze-size", tensor=x)
        if not node.options.squeeze_dims:
            gone = {axis for axis, size in enumerate(x.shape) if size == 1}
        return tuple(size for axis, size in enumerate(x.shape) if axis not in gone)


@operator("EXPAND_DIMS")
class ExpandDims(_Reshaping):
    """With one more axis, of size 1, at the second input (TFLite's ``kernels/expand_dims.cc``)."""

    int8 = Int8(same_scale=True, version=1)

    def new_shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape | None:
        check_arity(node, (2, 2))
        check_integers(node, node.input(1), (1,) * len(node.input(1).shape))
        if inputs[1] is None:
            return None
        x = node.input(0)
        axis = check_axis(node, x, integers(inputs[1])[0], rank=len(x.shape) + 1)
        shape = x.shape
        return (*shape[:axis], 1, *shape[axis:])
