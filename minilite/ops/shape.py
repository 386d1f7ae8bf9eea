"""Shapes as values, and tensors made from little: SHAPE, RANK, BROADCAST_ARGS, FILL, RANGE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Int8, Op, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_elements,
    check_integers,
    check_same_quantization,
    check_same_type,
    check_types,
    integers,
)
from minilite.ops.moves import Move, Rearrangement
from minilite.shapes import broadcast


@dataclass(frozen=True)
class ShapeOptions:
    """Schema table ``ShapeOptions``."""

    out_type: TensorType = TensorType.FLOAT32


class _OfShape(Op):
    """An operator that looks at its input's shape only: its output is a constant once that is known."""

    def known_outputs(self, node: Node) -> tuple[Array, ...] | None:
        return (self.of(node, node.input(0).shape),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        assert inputs[0] is not None
        return (self.of(node, inputs[0].shape),)

    def of(self, node: Node, shape: Shape) -> Array:
        """The output for an input of that shape."""
        raise NotImplementedError


@operator("SHAPE")
class ShapeOf(_OfShape):
    """The sizes of a tensor's axes, int32 or int64 [rank] (TFLite's ``kernels/shape.cc``)."""

    options = ShapeOptions
    int8 = Int8(version=1)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        rank = len(node.input(0).shape)
        if node.output.type is not node.options.out_type:
            refuse(
                node,
                f"option out_type is {node.options.out_type.name}, which is not its type",
                rule="output-type",
                tensor=node.output,
            )
        if node.output.type not in (TensorType.INT32, TensorType.INT64):
            refuse(node, "must be INT32 or INT64", rule="types", tensor=node.output)
        return ((rank,),)

    def of(self, node: Node, shape: Shape) -> Array:
        return np.array(shape, node.output.dtype)


@operator("RANK")
class Rank(_OfShape):
    """How many axes a tensor has, an int32 scalar (TFLite's ``kernels/rank.cc``)."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        if node.output.type is not TensorType.INT32:
            refuse(node, "must be INT32", rule="types", tensor=node.output)
        return ((),)

    def of(self, node: Node, shape: Shape) -> Array:
        return np.array(len(shape), node.output.dtype)


@operator("BROADCAST_ARGS")
class BroadcastArgs(Op):
    """The shape that two shapes broadcast to, int32 or int64 (TFLite's ``kernels/broadcast_args.cc``)."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_same_type(node, node.input(0), node.input(1), node.output)
        for position in range(2):
            check_integers(node, node.input(position), (None,))
        return ((max(node.input(0).size, node.input(1).size),),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        a, b = (integers(values) for values in inputs)
        shape = broadcast(a, b)
        if shape is None:
            refuse(
                node,
                f"shapes {a} and {b} do not broadcast: aligned at the last axis, sizes must be equal or 1",
                rule="broadcast",
            )
        return (np.array(shape, node.output.dtype),)


@operator("FILL")
class Fill(Rearrangement):
    """One value everywhere (TFLite's ``kernels/fill.cc``). The shape is int32 or int64 [rank]."""

    where, elements = (0,), 1

    def check(self, node: Node) -> None:
        check_arity(node, (2, 2))
        value = node.input(1)
        check_integers(node, node.input(0), (None,))
        check_elements(node, value)
        check_same_type(node, value, node.output)
        check_same_quantization(node, value, node.output)
        if value.shape:
            refuse(node, "must be a scalar", rule="fill-value", tensor=value)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape = integers(inputs[0])
        if any(size < 0 for size in shape):
            refuse(node, f"the shape {shape} has a negative size", rule="fill-shape", tensor=node.input(0))
        return (shape,)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield outputs[0], inputs[1]


_RANGES = tuple(TensorType[name] for name in ("FLOAT32", "FLOAT16", "INT32", "INT64", "INT16", "INT8"))


@operator("RANGE")
class Range(Op):
    """Numbers evenly apart, from the first input up to but not including the second (``kernels/range.cc``).

    The third is the step, added again and again in the tensor's type.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        check_types(node, [(kind,) * 4 for kind in _RANGES])
        scalars = [node.input(position) for position in range(3)]
        for tensor in scalars:
            if tensor.shape:
                refuse(node, "must be a scalar", rule="range-scalar", tensor=tensor)
            if tensor.type in (TensorType.INT8, TensorType.INT16) and tensor.quantization is not None:
                refuse(node, "must not be quantized", rule="range-quantized", tensor=tensor)
        values = [tensor.data for tensor in scalars]
        return (None if any(value is None for value in values) else (self._count(node, values),),)

    def _count(self, node: Node, inputs: Sequence[Any]) -> int:
        start, limit, step = (value.reshape(()) for value in inputs)
        with np.errstate(all="ignore"):
            ahead = (start <= limit and step > 0) or (start >= limit and step < 0)
            if not ahead:
                refuse(
                    node,
                    f"from {start.item()} to {limit.item()} no step of {step.item()} leads",
                    rule="range-step",
                )
            if start.dtype.kind == "f":
                count = np.ceil(np.abs((limit - start) / step))
                if not np.isfinite(count):
                    refuse(node, f"from {start.item()} to {limit.item()} has no end", rule="range-step")
                return int(count)
        return -(-abs(int(limit) - int(start)) // abs(int(step)))

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        start, _, step = inputs
        assert start is not None
        assert step is not None
        steps = np.full(self._count(node, inputs), step, start.dtype)
        steps[:1] = start
        return (np.add.accumulate(steps, dtype=start.dtype),)
