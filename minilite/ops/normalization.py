"""Channels divided by what they come to together: L2_NORMALIZATION, LOCAL_RESPONSE_NORMALIZATION."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.fixed_point import inverse_sqrt
from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Lowering, Mask, Op, Tolerance, operator, refuse, ulps
from minilite.ops.checks import (
    check_arity,
    check_quantized,
    check_rank,
    check_scale,
    check_types,
    check_zero_point,
)
from minilite.ops.fields import field_of_rows
from minilite.ops.lowering import grain
from minilite.quantization import (
    is_quantized,
    multiply_by_quantized_multiplier_double_rounding,
    saturate,
)

_F32, _U8, _I8 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8

_EPSILON = 1e-6
"""The smallest norm that a row is divided by."""


@dataclass(frozen=True)
class L2NormOptions:
    """Schema table ``L2NormOptions``."""

    fused_activation_function: Activation = Activation.NONE


@operator("L2_NORMALIZATION")
class L2Normalization(Op):
    """``x / max(sqrt(sum(x**2)), 1e-6)`` along the last axis (TFLite's ``reference/l2normalization.h``).

    float32; uint8 and int8, whose output is in 128ths of one.
    """

    options = L2NormOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((_F32, _F32), (_U8, _U8), (_I8, _I8)))
        x, y = node.input(0), node.output
        if not x.shape:
            refuse(node, "has no axis to go along", rule="rank", tensor=x)
        if node.options.fused_activation_function is not Activation.NONE:
            refuse(node, "has a fused activation, which no TFLite kernel applies", rule="fused-activation")
        if is_quantized(x):
            check_quantized(node, x)
            check_quantized(node, y)
            check_scale(node, y, 1 / 128)
            check_zero_point(node, y, 128 if y.type is _U8 else 0)
        return (x.shape,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_rows(inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        if is_quantized(node.input(0)):
            return (self._quantized(node, x),)
        norm = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        # A norm that is no number is left alone by C's maximum.
        return (x / np.where(norm < _EPSILON, x.dtype.type(_EPSILON), norm),)

    def _quantized(self, node: Node, x: Array) -> Array:
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        values = x.astype(np.int64) - source.zero_point
        # Sums are of 32 bits in C; past them there is nothing to divide by.
        squares = np.minimum((values * values).sum(axis=-1, keepdims=True), (1 << 31) - 1)
        multiplier, shift = inverse_sqrt(squares)
        multiply = multiply_by_quantized_multiplier_double_rounding
        if x.dtype == np.uint8:
            steps = multiply(128 * values, multiplier, shift)
        else:
            steps = multiply(values, multiplier, shift + 7)
        return saturate(steps + target.zero_point, x.dtype)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.normalization import l2_normalize

        x, y = node.input(0), node.output
        if x.type is not _F32:
            return False
        depth = x.shape[-1]
        rows = y.size // depth if depth else 0
        lowering.step(
            l2_normalize,
            node,
            extent=rows,
            grain=grain(rows, 32 * depth),
            x=x,
            out=y,
            depth=depth,
            epsilon=_EPSILON,
        )
        return True

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        # The sum of squares is positive: its relative error is half a unit for each value, and the
        # root halves it.
        return ulps(4 + node.input(0).shape[-1] / 4)


@dataclass(frozen=True)
class LocalResponseNormalizationOptions:
    """Schema table ``LocalResponseNormalizationOptions``."""

    radius: int = 0
    bias: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0


@operator("LOCAL_RESPONSE_NORMALIZATION")
class LocalResponseNormalization(Op):
    """``x * (bias + alpha * sum(neighbours**2)) ** -beta`` (TFLite's ``kernels/local_response_norm.cc``).

    Input and output: pictures [batch, height, width, channels] of float32. A channel's neighbours are
    those at most ``radius`` away from it.
    """

    options = LocalResponseNormalizationOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((_F32, _F32),))
        check_rank(node, node.input(0), 4, "batch, height, width, channels")
        if node.options.radius < 0:
            refuse(node, f"radius is {node.options.radius}, but must not be negative", rule="radius")
        return (node.input(0).shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        o, number = node.options, x.dtype.type
        squares = x * x
        sums = squares.copy()
        for distance in range(1, min(o.radius, x.shape[3] - 1) + 1):
            sums[..., distance:] += squares[..., :-distance]
            sums[..., :-distance] += squares[..., distance:]
        base = number(np.float32(o.bias)) + number(np.float32(o.alpha)) * sums
        return (x * np.power(base, -number(np.float32(o.beta))),)

    def tolerance(self, node: Node) -> Tolerance:
        # The power of a base with the relative error e has the error beta * e.
        o = node.options
        return ulps(4 + abs(o.beta) * (2 + min(2 * o.radius + 1, node.input(0).shape[3])))
