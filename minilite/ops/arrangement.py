"""Values put in another order or place: CONCATENATION, RESHAPE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Lowering, Op, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_numbers,
    check_quantized,
    check_same_quantization,
    constant_integers,
)
from minilite.ops.lowering import grain, kernels_take
from minilite.quantization import integer_range, round_half_away
from minilite.shapes import normalized_axis


@dataclass(frozen=True)
class ConcatenationOptions:
    """Schema table ``ConcatenationOptions``."""

    axis: int = 0
    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class ReshapeOptions:
    """Schema table ``ReshapeOptions``."""

    new_shape: tuple[int, ...] = ()


def needs_rescaling(tensor: Tensor, output: Tensor) -> bool:
    """Whether a part of a uint8 concatenation has other units than the whole."""
    a, b = tensor.quantization, output.quantization
    if tensor.type is not TensorType.UINT8 or a is None or b is None:
        return False
    return bool(a.scale != b.scale or a.zero_point != b.zero_point)


@operator("CONCATENATION")
class Concatenation(Op):
    """Tensors of one type side by side along an axis (TFLite's ``kernels/concatenation.cc``).

    uint8 parts are brought to the output's scale in float32 (``ConcatenationWithScaling`` of
    ``reference/concatenation.h``); int8 parts must already have it.
    """

    options = ConcatenationOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        if not node.inputs or len(node.outputs) != 1:
            check_arity(node, (1, max(1, len(node.inputs))))
        if node.options.fused_activation_function is not Activation.NONE:
            refuse(node, "no activation can be fused with it", rule="fused-activation")
        tensors = [node.input(i) for i in range(len(node.inputs))]
        first = tensors[0]
        axis = normalized_axis(node.options.axis, len(first.shape))
        if axis is None:
            refuse(
                node, f"axis {node.options.axis} does not exist in {first}", rule="axis-range", tensor=first
            )
        for tensor in tensors:
            self._check(node, tensor, axis)
        total = sum(t.shape[axis] for t in tensors)
        return ((*first.shape[:axis], total, *first.shape[axis + 1 :]),)

    def _check(self, node: Node, tensor: Tensor, axis: int) -> None:
        first, output = node.input(0), node.output
        check_numbers(node, tensor)
        if tensor.type is not output.type:
            refuse(node, f"must have the type of {output}", rule="types", tensor=tensor)
        if not _equal_but(tensor.shape, first.shape, axis):
            refuse(
                node,
                f"must have the sizes of {first}, except along axis {axis}",
                rule="concatenation-shape",
                tensor=tensor,
            )
        if tensor.type in (TensorType.UINT8, TensorType.INT8) and output.quantization is not None:
            check_quantized(node, output)
            check_quantized(node, tensor)
            if tensor.type is TensorType.INT8:
                check_same_quantization(node, tensor, output)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        parts = []
        for i, values in enumerate(inputs):
            assert values is not None
            rescale = needs_rescaling(node.input(i), node.output)
            parts.append(_rescaled(values, node.input(i), node.output) if rescale else values)
        return (np.concatenate(parts, axis=node.options.axis),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.arrangement import copy_blocks

        y = node.output
        tensors = [node.input(i) for i in range(len(node.inputs))]
        if not kernels_take(y) or any(needs_rescaling(t, y) for t in tensors):
            return False
        axis = node.options.axis % len(y.shape)
        outer, stride, offset = prod(y.shape[:axis]), prod(y.shape[axis:]), 0
        for tensor in tensors:
            block = prod(tensor.shape[axis:])
            lowering.step(
                copy_blocks,
                node,
                extent=outer,
                grain=grain(outer, 8 * block),
                x=tensor,
                out=y,
                block=block,
                stride=stride,
                offset=offset,
            )
            offset += block
        return True


def _equal_but(a: Shape, b: Shape, axis: int) -> bool:
    return len(a) == len(b) and a[:axis] == b[:axis] and a[axis + 1 :] == b[axis + 1 :]


def _rescaled(values: Array, tensor: Tensor, output: Tensor) -> Array:
    """uint8 in the units of ``output``, by the float32 products of TFLite."""
    a, b = tensor.quantization, output.quantization
    assert a is not None
    assert b is not None
    scale = a.scale * (np.float32(1) / b.scale)
    bias = np.float32(-a.zero_point) * scale
    rescaled = round_half_away(values.astype(np.float32) * scale + bias) + b.zero_point
    limited: Array = np.clip(rescaled, *integer_range(values.dtype))
    return limited.astype(values.dtype)


@operator("RESHAPE")
class Reshape(Op):
    """The same elements in another shape (TFLite's ``kernels/reshape.cc``).

    The shape is the second input, int32 [rank], or where there is none the option ``new_shape``. One
    size may be -1: what is left.
    """

    options = ReshapeOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 2))
        x = node.input(0)
        check_numbers(node, x)
        if node.output.type is not x.type:
            refuse(node, f"must have the type of {x}", rule="types", tensor=node.output)
        if not _is_shape(node.optional_input(1)):
            return (self._resolve(node, node.options.new_shape),)
        wanted = constant_integers(node.input(1))
        return (None if wanted is None else self._resolve(node, wanted),)

    def _resolve(self, node: Node, wanted: Sequence[int]) -> Shape:
        x = node.input(0)
        free = [i for i, size in enumerate(wanted) if size == -1]
        known = prod(size for size in wanted if size != -1)
        if len(free) > 1 or any(size < -1 for size in wanted):
            refuse(
                node,
                f"new shape {tuple(wanted)}: at most one size may be -1, none may be less",
                rule="reshape-shape",
            )
        if (known == 0 or x.size % known) if free else known != x.size:
            refuse(
                node,
                f"has {x.size} elements, which do not fill the new shape {tuple(wanted)}",
                rule="reshape-size",
                tensor=x,
            )
        return tuple(x.size // known if i in free else size for i, size in enumerate(wanted))

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x = inputs[0]
        assert x is not None
        wanted: Sequence[int] = node.options.new_shape
        if _is_shape(node.optional_input(1)):
            assert inputs[1] is not None
            wanted = inputs[1].tolist()
        return (x.reshape(self._resolve(node, wanted)),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        if not kernels_take(node.output) or self.output_shapes(node) == (None,):
            return False
        lowering.alias(node.output, node.input(0))
        return True


def _is_shape(tensor: Tensor | None) -> bool:
    """Whether RESHAPE's second input is taken for a shape; TFLite falls back to the option otherwise."""
    return tensor is not None and tensor.type is TensorType.INT32 and len(tensor.shape) == 1
