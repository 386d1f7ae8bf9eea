"""Windows over arrays of any rank: REDUCE_WINDOW; and its opposite, room between elements: DILATE."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Op, operator, refuse
from minilite.ops.checks import check_arity, check_numbers, check_types, constant_integers

_TYPES = (
    *(TensorType.FLOAT32, TensorType.FLOAT64, TensorType.BOOL, TensorType.UINT8),
    *(TensorType.INT8, TensorType.INT16, TensorType.INT32, TensorType.INT64),
)


class ReduceWindowFunction(enum.IntEnum):
    """What a window is reduced to (schema ``ReduceWindowFunction``)."""

    UNSUPPORTED = 0
    ADD = 1
    MUL = 2
    MINIMUM = 3
    MAXIMUM = 4
    ALL = 5
    ANY = 6


@dataclass(frozen=True)
class ReduceWindowOptions:
    """Schema table ``ReduceWindowOptions``."""

    reduce_function: ReduceWindowFunction = ReduceWindowFunction.UNSUPPORTED


_FUNCTIONS: dict[ReduceWindowFunction, Callable[[Array, Array], Array]] = {
    ReduceWindowFunction.ADD: np.add,
    ReduceWindowFunction.MUL: np.multiply,
    # Beside NaN the second is taken, as in TFLite.
    ReduceWindowFunction.MINIMUM: lambda a, b: np.where(a <= b, a, b),
    ReduceWindowFunction.MAXIMUM: lambda a, b: np.where(a >= b, a, b),
    ReduceWindowFunction.ALL: lambda a, b: np.logical_and(a, b).astype(a.dtype),
    ReduceWindowFunction.ANY: lambda a, b: np.logical_or(a, b).astype(a.dtype),
}


@operator("REDUCE_WINDOW")
class ReduceWindow(Op):
    """Windows reduced from an initial value on, in row order.

    TFLite's ``kernels/stablehlo_reduce_window.cc``. Inputs: array; initial value, one element of its type;
    shape, strides and dilations of the window, int64 [rank], constant. There is no padding: windows that
    lie inside the array count. Integers wrap; scales and zero points are left alone.
    """

    options = ReduceWindowOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (5, 5))
        index = TensorType.INT64
        check_types(node, [(t, t, index, index, index, t) for t in _TYPES])
        if node.options.reduce_function is ReduceWindowFunction.UNSUPPORTED:
            refuse(node, "has no function to reduce with", rule="reduce-function")
        if node.input(1).size != 1:
            refuse(node, "must be one value", rule="initial-value", tensor=node.input(1))
        return (self._shape(node),)

    def _shape(self, node: Node) -> Shape:
        axes = zip(node.input(0).shape, *self._window(node), strict=True)
        return tuple(
            max((size - (window - 1) * dilation - 1) // stride + 1, 0)
            for size, window, stride, dilation in axes
        )

    def _window(self, node: Node) -> list[tuple[int, ...]]:
        """Shape, strides and dilations."""
        rank, values = len(node.input(0).shape), []
        for position, what in enumerate(("window", "strides", "dilations"), start=2):
            tensor = node.input(position)
            given = constant_integers(tensor)
            if given is None:
                refuse(node, f"the {what} must be a constant", rule="constant-window", tensor=tensor)
            if tensor.shape != (rank,) or min(given, default=1) < 1:
                refuse(
                    node,
                    f"the {what} {given} must be {rank} numbers of at least 1",
                    rule="window",
                    tensor=tensor,
                )
            values.append(given)
        return values

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, initial = inputs[:2]
        assert x is not None
        assert initial is not None
        window, strides, dilations = self._window(node)
        result: Array = np.full(self._shape(node), initial.reshape(()), x.dtype)
        function = _FUNCTIONS[node.options.reduce_function]
        for place in np.ndindex(*window) if result.size else ():
            seen = tuple(
                slice(at * dilation, at * dilation + (count - 1) * stride + 1, stride)
                for at, dilation, stride, count in zip(place, dilations, strides, result.shape, strict=True)
            )
            result = function(result, x[seen])
        return (result,)


@dataclass(frozen=True)
class DilateOptions:
    """Schema table ``DilateOptions``."""


@operator("DILATE")
class Dilate(Op):
    """Elements moved apart, a value laid between them (TFLite's ``kernels/dilate.cc``).

    Inputs: array of any type; how far apart along each axis, int32 [rank], at least 1; what comes between,
    one element of the array's type. ``n`` elements take ``(n - 1) * dilation + 1`` places, none take none.
    """

    options = DilateOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        x, dilations, between = node.input(0), node.input(1), node.input(2)
        check_numbers(node, x)
        check_types(node, [(x.type, TensorType.INT32, x.type, x.type)])
        if dilations.shape != (len(x.shape),):
            refuse(
                node, f"must be {len(x.shape)} numbers, one for each axis", rule="dilations", tensor=dilations
            )
        if between.size != 1:
            refuse(node, "must be one value", rule="padding-value", tensor=between)
        given = constant_integers(dilations)
        return (None if given is None else self._shape(node, given),)

    def _shape(self, node: Node, dilations: Sequence[int]) -> Shape:
        if min(dilations, default=1) < 1:
            refuse(
                node,
                f"dilations are {tuple(dilations)}, but must be at least 1",
                rule="dilations",
                tensor=node.input(1),
            )
        return tuple(
            (size - 1) * dilation + 1 if size else 0
            for size, dilation in zip(node.input(0).shape, dilations, strict=True)
        )

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, dilations, between = inputs
        assert x is not None
        assert dilations is not None
        assert between is not None
        steps = dilations.tolist()
        result: Array = np.full(self._shape(node, steps), between.reshape(()), x.dtype)
        result[tuple(slice(None, None, step) for step in steps)] = x
        return (result,)
