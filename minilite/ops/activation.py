"""Activations that are operators of their own: RELU, RELU6, RELU_N1_TO_1."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Op, operator
from minilite.ops.checks import check_arity, check_types


class _Clamp(Op):
    """A clamp of float32 that lets NaN through (TFLite's ``kernels/activations.cc``)."""

    limits: ClassVar[tuple[float, float]]

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((TensorType.FLOAT32, TensorType.FLOAT32),))
        return (node.input(0).shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        return (np.clip(x, *self.limits),)


@operator("RELU")
class Relu(_Clamp):
    """``max(x, 0)``."""

    limits = (0.0, inf)


@operator("RELU6")
class Relu6(_Clamp):
    """``min(max(x, 0), 6)``."""

    limits = (0.0, 6.0)


@operator("RELU_N1_TO_1")
class ReluN1To1(_Clamp):
    """``min(max(x, -1), 1)``."""

    limits = (-1.0, 1.0)
