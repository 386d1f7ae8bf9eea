"""Functions of two floats: POW, ATAN2."""

from __future__ import annotations

import numpy as np

from minilite.graph import Array, Node, TensorType
from minilite.ops.base import Tolerance, operator, refuse, ulps
from minilite.ops.binary import Binary, Work, same_types
from minilite.ops.checks import check_values

FLOAT32, INT32 = TensorType.FLOAT32, TensorType.INT32


@operator("POW")
class Pow(Binary):
    """``a ** b`` (TFLite's ``kernels/pow.cc``). Integers wrap, and refuse negative exponents."""

    rows = same_types(FLOAT32, INT32)
    compiled = (FLOAT32,)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        if node.output.type is INT32:
            check_values(node, 1, b < 0, "an integer cannot have a negative exponent", rule="exponent")
        powers: Array = np.power(a, b)
        if node.output.type is INT32:
            return powers
        # For one exponent of 0.5 NumPy takes the square root, which is NaN where C's pow is infinite.
        return np.where((a == -np.inf) & (b == 0.5), np.asarray(np.inf, powers.dtype), powers)

    def work(self, node: Node) -> Work | None:
        from minilite_kernels.elementwise import power

        # NumPy takes a microsecond for each result that is infinite.
        return Work(power, cost=64)

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(4)


@operator("ATAN2")
class Atan2(Binary):
    """The angle of ``(x, y)``, of which ``y`` is the first input (TFLite's ``kernels/atan2.cc``).

    Shapes must be equal: TFLite checks ranks alone, and reads past the end of the smaller tensor.
    """

    rows = same_types(FLOAT32, TensorType.FLOAT16, TensorType.FLOAT64)

    def check(self, node: Node) -> None:
        if node.input(0).shape != node.input(1).shape:
            refuse(node, f"must have the shape of {node.input(0)}", rule="equal-shapes", tensor=node.input(1))

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        angle: Array = np.arctan2(a, b)
        return angle

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(2)
