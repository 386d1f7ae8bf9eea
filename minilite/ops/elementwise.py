"""Arithmetic on two tensors that broadcast: ADD, SUB, MUL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import Lowering, Op, operator, refuse
from minilite.ops.checks import check_activation, check_arity, check_quantized, check_types
from minilite.ops.lowering import grain, shifts_fit
from minilite.quantization import (
    Int64Array,
    is_quantized,
    multiply_by_quantized_multiplier_double_rounding,
    output_range,
    quantize_multiplier,
    requantize,
)
from minilite.shapes import broadcast

_TYPES = tuple(
    (t, t, t)
    for t in (TensorType.FLOAT32, TensorType.INT32, TensorType.INT64, TensorType.UINT8, TensorType.INT8)
)

LEFT_SHIFT = 20
"""Guard bits that ADD and SUB give 8-bit values before they are brought to a common scale."""


@dataclass(frozen=True)
class AddOptions:
    """Schema table ``AddOptions``."""

    fused_activation_function: Activation = Activation.NONE
    pot_scale_int16: bool = True


@dataclass(frozen=True)
class SubOptions:
    """Schema table ``SubOptions``."""

    fused_activation_function: Activation = Activation.NONE
    pot_scale_int16: bool = True


@dataclass(frozen=True)
class MulOptions:
    """Schema table ``MulOptions``."""

    fused_activation_function: Activation = Activation.NONE


@dataclass(frozen=True)
class SumScaling:
    """How 8-bit addends reach the output's scale: a multiplier and a shift for each of them, and the sum."""

    left: tuple[int, int]
    right: tuple[int, int]
    output: tuple[int, int]


def sum_scaling(node: Node) -> SumScaling:
    """Multipliers of a quantized ADD or SUB (``Prepare`` of TFLite's ``kernels/add.cc``, ``sub.cc``)."""
    a, b, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert a is not None
    assert b is not None
    assert y is not None
    twice_largest = 2.0 * float(max(a.scale, b.scale))

    def split(real: float) -> tuple[int, int]:
        multiplier, shift = quantize_multiplier(real)
        return int(multiplier), int(shift)

    return SumScaling(
        left=split(float(a.scale) / twice_largest),
        right=split(float(b.scale) / twice_largest),
        output=split(twice_largest / ((1 << LEFT_SHIFT) * float(y.scale))),
    )


def product_scaling(node: Node) -> tuple[int, int]:
    """Multiplier and shift of a quantized MUL: scales in float32, as in TFLite's ``kernels/mul.cc``."""
    a, b, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert a is not None
    assert b is not None
    assert y is not None
    multiplier, shift = quantize_multiplier(np.float64(a.scale * b.scale / y.scale))
    return int(multiplier), int(shift)


class _Binary(Op):
    """What the three share: shapes that broadcast, a fused clamp, integers that wrap as in C."""

    ufunc: Callable[[Array, Array], Array]

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, _TYPES)
        check_activation(node)
        a, b = node.input(0), node.input(1)
        if is_quantized(a):
            for tensor in (a, b, node.output):
                check_quantized(node, tensor)
        shape = broadcast(a.shape, b.shape)
        if shape is None:
            refuse(
                node,
                f"shapes {a.shape} and {b.shape} do not broadcast: aligned at the last axis, "
                "sizes must be equal or 1",
                rule="broadcast",
            )
        return (shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        a, b = inputs
        assert a is not None
        assert b is not None
        limits = output_range(node.options.fused_activation_function, node.output)
        if is_quantized(node.input(0)):
            return (self._quantized(node, _centred(node, 0, a), _centred(node, 1, b), limits),)
        return (np.clip(type(self).ufunc(a, b), *limits),)

    def _quantized(self, node: Node, a: Int64Array, b: Int64Array, limits: tuple[int, int]) -> Array:
        """The result from values without their zero points."""
        scaling = sum_scaling(node)
        left = multiply_by_quantized_multiplier_double_rounding(a << LEFT_SHIFT, *scaling.left)
        right = multiply_by_quantized_multiplier_double_rounding(b << LEFT_SHIFT, *scaling.right)
        return requantize(type(self).ufunc(left, right), *scaling.output, node.output, limits)


def _centred(node: Node, position: int, values: Array) -> Int64Array:
    quantization = node.input(position).quantization
    assert quantization is not None
    return values.astype(np.int64) - quantization.zero_point


@operator("ADD")
class Add(_Binary):
    """Sum (TFLite's ``kernels/add.cc``, ``reference/add.h``, ``reference/integer_ops/add.h``)."""

    options = AddOptions
    ufunc = np.add

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import elementwise

        a, b, y = node.input(0), node.input(1), node.output
        if a.shape != b.shape or not (a.type is TensorType.FLOAT32 or is_quantized(a)):
            return False
        if is_quantized(a):
            scaling = sum_scaling(node)
            if not shifts_fit(scaling.left[1], scaling.right[1], scaling.output[1]):
                return False
        low, high = output_range(node.options.fused_activation_function, y)
        shared = {"a": a, "b": b, "out": y, "low": low, "high": high}
        if a.type is TensorType.FLOAT32:
            # Moving the values takes as long as some 16 multiply-adds each.
            chunk = grain(y.size, 16)
            lowering.step(elementwise.add_float, node, extent=y.size, grain=chunk, **shared)
        else:
            chunk = grain(y.size, 64)
            shared |= _scalings(node)
            lowering.step(elementwise.add_quantized, node, extent=y.size, grain=chunk, **shared)
        return True


def _scalings(node: Node) -> dict[str, Any]:
    """``sum_scaling`` as ``add_quantized`` takes it."""
    from minilite_kernels.requantize import Scaling

    scaling = sum_scaling(node)
    a, b, y = (t.quantization for t in (node.input(0), node.input(1), node.output))
    assert a is not None
    assert b is not None
    assert y is not None
    return {
        "a_scaling": Scaling(a.zero_point, *scaling.left),
        "b_scaling": Scaling(b.zero_point, *scaling.right),
        "out_scaling": Scaling(y.zero_point, *scaling.output),
        "left_shift": LEFT_SHIFT,
    }


@operator("SUB")
class Sub(_Binary):
    """Difference (TFLite's ``kernels/sub.cc``, ``reference/sub.h``)."""

    options = SubOptions
    ufunc = np.subtract


@operator("MUL")
class Mul(_Binary):
    """Product (TFLite's ``kernels/mul.cc``, ``reference/mul.h``, ``reference/integer_ops/mul.h``)."""

    options = MulOptions
    ufunc = np.multiply

    def _quantized(self, node: Node, a: Int64Array, b: Int64Array, limits: tuple[int, int]) -> Array:
        return requantize(a * b, *product_scaling(node), node.output, limits)
