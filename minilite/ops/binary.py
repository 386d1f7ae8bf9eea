"""What operators on two tensors that broadcast share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Lowering, Mask, Op
from minilite.ops.broadcasting import lower_binary
from minilite.ops.checks import (
    Types,
    check_arity,
    check_broadcast,
    check_quantized,
    check_symmetric,
    check_types,
)
from minilite.ops.fields import field_of_broadcast
from minilite.quantization import Int64Array, is_quantized
from minilite.telling import tell

if TYPE_CHECKING:
    from minilite_kernels.kernel import Kernel


def same_types(*types: TensorType) -> tuple[Types, ...]:
    """Rows for ``check_types``: two inputs and an output of one of these types."""
    return tuple((kind, kind, kind) for kind in types)


class Binary(Op):
    """Two tensors of one type, which broadcast at the last axis."""

    rows: ClassVar[tuple[Types, ...]]
    """The types of the inputs and the output."""

    compiled: ClassVar[tuple[TensorType, ...]] = (TensorType.FLOAT32, TensorType.INT32)
    """The types that are computed by a kernel, where ``work`` has one: those that networks use. NumPy is
    as fast on large tensors, and each type is a kernel to be compiled."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, self.rows)
        self.check(node)
        return (check_broadcast(node),)

    def check(self, node: Node) -> None:
        """Refuse what is particular to the operator."""

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        a, b = inputs
        assert a is not None
        assert b is not None
        return (self.combine(node, a, b),)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        """The output's values, before they take its type."""
        raise NotImplementedError

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def lower(self, node: Node, lowering: Lowering) -> bool:
        if node.input(0).type not in self.compiled or node.output.size == 0:
            return False
        work = self.work(node)
        if work is None:
            return False
        operands = [node.input(position) for position in work.order]
        lower_binary(node, lowering, work.kernel, operands, work.parameters, cost=work.cost)
        return True

    def work(self, node: Node) -> Work | None:
        """The kernel for this node; None: there is none, ``evaluate`` is called."""
        return None


@dataclass(frozen=True)
class Work:
    """What a kernel of ``minilite_kernels.elementwise`` is called with.

    Attributes
    ----------
    parameters:
        As the kernel takes them.
    order:
        Positions of the inputs that are its first and its second operand.
    cost:
        Of one element, in multiply-adds: moving it takes as long as some 16.
    """

    kernel: Kernel
    parameters: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    order: tuple[int, int] = (0, 1)
    cost: float = 16


def computes_fixed_point(node: Node) -> bool:
    """Whether the node is quantized: always if its type is of 8 bits, and int16 where the file says so."""
    tensor = node.input(0)
    return is_quantized(tensor) and (tensor.type is not TensorType.INT16 or tensor.quantization is not None)


def check_fixed_point(node: Node) -> None:
    """Refuse useless quantization of any tensor of a quantized node; int16 is symmetric."""
    for tensor in (*node.inputs, *node.outputs):
        assert tensor is not None
        if not is_quantized(tensor):
            continue
        check_quantized(node, tensor)
        if tensor.type is TensorType.INT16:
            check_symmetric(node, tensor)


def centred(node: Node, position: int, values: Array) -> Int64Array:
    """The values of an input without its zero point."""
    quantization = node.input(position).quantization
    assert quantization is not None
    centred: Int64Array = values.astype(np.int64) - quantization.zero_point
    tell(f"input {position} - zero point {{zero_point}}", centred, zero_point=quantization.zero_point)
    return centred
