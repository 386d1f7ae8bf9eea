"""What operators share that map each element by itself: one tensor in, one of its shape out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minilite.floats import bfloat16_from_float32, float32_from_bfloat16
from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Lowering, Mask, Op
from minilite.ops.checks import Types, check_arity, check_quantized, check_types, check_zero_point
from minilite.ops.fields import field_of_broadcast
from minilite.ops.lookup import lower_as_table
from minilite.ops.lowering import grain
from minilite.quantization import is_quantized

SMALL_FLOATS = (TensorType.FLOAT16, TensorType.BFLOAT16)
"""Types that are computed on in float32, and rounded once."""


class ElementMap(Op):
    """One tensor in, one of the same shape out; of each type the operator says what it does.

    Numbers go to ``map_numbers``, quantized values to ``map_quantized``. Kernels: for 8- and 16-bit
    integers a table of all results, made by ``evaluate`` itself; for float32 what ``lower_float`` writes.
    """

    types: ClassVar[tuple[TensorType, ...]]
    """The types of the input, which are the output's."""

    def type_rows(self) -> tuple[Types, ...]:
        """Types of input and output that go together."""
        return tuple((t, t) for t in self.types)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, self.type_rows())
        if self.is_quantized(node):
            self.check_quantization(node)
        return (node.input(0).shape,)

    def is_quantized(self, node: Node) -> bool:
        """Whether the values mean something by their scale and zero point only."""
        return is_quantized(node.input(0))

    def check_quantization(self, node: Node) -> None:
        """Refuse quantization that the operator cannot use."""
        for tensor in (node.input(0), node.output):
            check_quantized(node, tensor)
            if tensor.type is TensorType.INT16:
                check_zero_point(node, tensor, 0)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        if self.is_quantized(node):
            return (self.map_quantized(node, x),)
        kind = node.input(0).type
        if kind in SMALL_FLOATS:
            return (narrowed(self.map_numbers(node, widened(x, kind)), kind),)
        return (self.map_numbers(node, x),)

    def map_numbers(self, node: Node, x: Array) -> Array:
        """What becomes of numbers, in their own type."""
        raise NotImplementedError

    def map_quantized(self, node: Node, x: Array) -> Array:
        """What becomes of quantized values."""
        raise NotImplementedError

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def lower(self, node: Node, lowering: Lowering) -> bool:
        x = node.input(0)
        if x.type is TensorType.FLOAT32:
            return self.lower_float(node, lowering)
        return x.dtype.kind in "iu" and x.dtype.itemsize <= 2 and lower_as_table(self, node, lowering)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        """Write the map of float32 as a kernel step, if there is one."""
        return False


def map_step(lowering: Lowering, node: Node, kernel: Any, cost: float, **arguments: Any) -> bool:
    """Write one step of a kernel that takes ``x`` and ``out``; ``cost`` in multiply-adds an element."""
    size = node.output.size
    lowering.step(
        kernel, node, extent=size, grain=grain(size, cost), x=node.input(0), out=node.output, **arguments
    )
    return True


def widened(values: Array, kind: TensorType) -> Array:
    """float16 or bfloat16 as float32."""
    return float32_from_bfloat16(values) if kind is TensorType.BFLOAT16 else values.astype(np.float32)


def narrowed(values: Array, kind: TensorType) -> Array:
    """float32 rounded to float16 or bfloat16, ties to even."""
    return bfloat16_from_float32(values) if kind is TensorType.BFLOAT16 else values.astype(np.float16)
