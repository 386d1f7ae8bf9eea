"""Quotients and remainders of two tensors that broadcast: DIV, FLOOR_DIV, FLOOR_MOD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minilite.fixed_point import scaled_quotient, truncated_quotient
from minilite.graph import Activation, Array, Node, TensorType
from minilite.ops.base import operator
from minilite.ops.binary import Binary, Work, same_types
from minilite.ops.checks import check_values
from minilite.ops.elementwise import Arithmetic, split
from minilite.quantization import Int64Array, output_range

FLOAT32, INT8, UINT8, INT16 = TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT16
INT32, INT64 = TensorType.INT32, TensorType.INT64


@dataclass(frozen=True)
class DivOptions:
    """Schema table ``DivOptions``."""

    fused_activation_function: Activation = Activation.NONE


def quotient_scaling(node: Node) -> tuple[int, int]:
    """Multiplier and shift of a quantized DIV: scales in float32, as in TFLite's ``kernels/div.cc``."""
    a, b, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert a is not None
    assert b is not None
    assert y is not None
    return split(np.float64(a.scale / (b.scale * y.scale)))


def refuse_zeros(node: Node, divisors: Array, zero: int = 0) -> None:
    """Refuse, while running, to divide by 0; ``zero`` is what stands for it."""
    check_values(node, 1, divisors == zero, "division by zero", rule="division-by-zero")


@operator("DIV")
class Div(Arithmetic):
    """Quotient (TFLite's ``kernels/div.cc``, ``reference/div.h``).

    Integers are truncated towards zero, and refuse to be divided by 0. A float divided by 0 gives the
    largest float, as any infinite result does.
    """

    options = DivOptions
    rows = same_types(FLOAT32, INT32, INT16, UINT8, INT8)
    ufunc = np.divide

    tells_elements = False

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        if node.output.type is not INT32:
            return super().combine(node, a, b)
        refuse_zeros(node, b)
        limits = output_range(node.options.fused_activation_function, node.output)
        # The quotient of the smallest integer and -1 needs one bit more, before it is clamped.
        return np.clip(truncated_quotient(a.astype(np.int64), b.astype(np.int64)), *limits)

    def fixed_point(self, node: Node, a: Int64Array, b: Int64Array) -> Array:
        refuse_zeros(node, b)
        quotient = scaled_quotient(a, b, *quotient_scaling(node))
        assert node.output.quantization is not None
        limits = output_range(node.options.fused_activation_function, node.output)
        return np.clip(quotient + node.output.quantization.zero_point, *limits)

    def work(self, node: Node) -> Work | None:
        # Integers have to be looked at before they are divided by.
        return super().work(node) if node.output.type is FLOAT32 else None


@operator("FLOOR_DIV")
class FloorDiv(Binary):
    """``floor(a / b)`` (TFLite's ``kernels/floor_div.cc``).

    Quotients are in float64, of floats as well: 1 / 0.1 is a little less than 10 there. No type may
    be divided by 0. Quantized values are divided as they stand.
    """

    rows = same_types(FLOAT32, INT32, INT16, INT8)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        refuse_zeros(node, b)
        quotient: Array = np.floor(np.divide(a, b, dtype=np.float64))
        # The smallest integer divided by -1 wraps.
        return quotient.astype(np.int64 if a.dtype.kind == "i" else a.dtype)


@operator("FLOOR_MOD")
class FloorMod(Binary):
    """What ``floor(a / b) * b`` lacks to ``a``; it has the sign of ``b`` (TFLite's ``kernels/floor_mod.cc``).

    Quantized values are divided as they stand.
    """

    rows = same_types(FLOAT32, INT32, INT64, INT16, INT8)
    compiled = (INT32, INT64)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        if node.output.type is not FLOAT32:
            refuse_zeros(node, b)
        remainder = np.fmod(a, b)
        wrong_sign = (remainder != 0) & ((b < 0) != (remainder < 0))
        return np.where(wrong_sign, remainder + b, remainder)

    def work(self, node: Node) -> Work | None:
        from minilite_kernels.elementwise import remainder

        divisors = node.input(1).data
        return Work(remainder) if divisors is not None and divisors.all() else None
