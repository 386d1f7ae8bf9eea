"""Rectifiers, which are straight lines: RELU, RELU6, RELU_N1_TO_1, RELU_0_TO_1, LEAKY_RELU, PRELU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Int8, Lowering, Mask, Op, operator, refuse
from minilite.ops.binary import centred
from minilite.ops.checks import check_arity, check_quantized, check_types
from minilite.ops.element_map import ElementMap, map_step
from minilite.ops.fields import field_of_broadcast
from minilite.ops.lowering import grain, shifts_fit
from minilite.quantization import (
    integer_range,
    is_quantized,
    multiply_by_quantized_multiplier_double_rounding,
    quantize_multiplier,
    requantize,
    round_half_away,
    saturate,
)
from minilite.shapes import broadcast

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16


def _scale_ratio(node: Node) -> np.float32:
    source, target = node.input(0).quantization, node.output.quantization
    assert source is not None
    assert target is not None
    return source.scale / target.scale


class _Clamp(ElementMap):
    """A clamp that lets NaN through (TFLite's ``kernels/activations.cc``).

    Quantized values come to the output's scale first; the bounds are rounded to its steps.
    """

    types: ClassVar[tuple[TensorType, ...]] = (_F32, _U8, _I8)
    limits: ClassVar[tuple[float, float]]

    tells_elements = True

    def map_numbers(self, node: Node, x: Array) -> Array:
        return np.clip(x, *self.limits)

    def map_quantized(self, node: Node, x: Array) -> Array:
        quantization = node.output.quantization
        assert quantization is not None
        smallest, largest = integer_range(x.dtype)

        def steps(bound: float) -> int:
            # Of scales next to zero no integer holds the steps, but the type's range ends before.
            with np.errstate(over="ignore"):
                whole = round_half_away(np.float32(bound) / quantization.scale)
            return quantization.zero_point + int(np.clip(whole, -(1 << 30), 1 << 30))

        low, high = self.limits
        limits = max(smallest, steps(low)), largest if high == inf else min(largest, steps(high))
        factor = quantize_multiplier(np.float64(_scale_ratio(node)))
        # With a zero point outside the clamp its ends may cross: then the upper one counts.
        return requantize(centred(node, 0, x), *factor, node.output, limits)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        low, high = self.limits
        return map_step(lowering, node, unary.clamp, 16, low=low, high=high)


@operator("RELU")
class Relu(_Clamp):
    """``max(x, 0)``."""

    int8 = Int8()
    types = (_F32, _U8, _I8, _I16)
    limits = (0.0, inf)


@operator("RELU6")
class Relu6(_Clamp):
    """``min(max(x, 0), 6)``."""

    int8 = Int8()
    types = (_F32, _U8, _I8, _I16)
    limits = (0.0, 6.0)


@operator("RELU_N1_TO_1")
class ReluN1To1(_Clamp):
    """``min(max(x, -1), 1)``."""

    limits = (-1.0, 1.0)


@operator("RELU_0_TO_1")
class Relu0To1(_Clamp):
    """``min(max(x, 0), 1)``."""

    limits = (0.0, 1.0)


@dataclass(frozen=True)
class LeakyReluOptions:
    """Schema table ``LeakyReluOptions``."""

    alpha: float = 0.0


@operator("LEAKY_RELU")
class LeakyRelu(ElementMap):
    """x where it is positive, ``alpha * x`` elsewhere (TFLite's ``reference/leaky_relu.h``).

    Quantized values have a multiplier for each half; ``alpha`` may be negative.
    """

    options = LeakyReluOptions
    int8 = Int8()
    types = (_F32, _U8, _I8, _I16)

    def map_numbers(self, node: Node, x: Array) -> Array:
        return np.where(x > 0, x, x * np.float32(node.options.alpha))

    def map_quantized(self, node: Node, x: Array) -> Array:
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        value = centred(node, 0, x)
        multiply = multiply_by_quantized_multiplier_double_rounding
        positive = multiply(value, *quantize_multiplier(np.float64(_scale_ratio(node))))
        slope = np.float64(source.scale * np.float32(node.options.alpha) / target.scale)
        negative = multiply(value, *quantize_multiplier(abs(slope)))
        scaled = np.where(value >= 0, positive, -negative if slope < 0 else negative)
        return saturate(scaled + target.zero_point, x.dtype)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.leaky, 16, alpha=node.options.alpha)


@operator("PRELU")
class Prelu(Op):
    """x where it is positive, ``alpha * x`` elsewhere, alpha a tensor (TFLite's ``reference/prelu.h``).

    Inputs: values of any shape; alpha, which broadcasts to that shape. float32; uint8 and int8, with a
    fixed-point multiplier for each half.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, tuple((t, t, t) for t in (_F32, _U8, _I8)))
        x, alpha = node.input(0), node.input(1)
        if is_quantized(x):
            for tensor in (x, alpha, node.output):
                check_quantized(node, tensor)
        if broadcast(x.shape, alpha.shape) != x.shape:
            refuse(
                node,
                f"shape {alpha.shape} does not broadcast to the shape {x.shape} of {x}",
                rule="broadcast",
                tensor=alpha,
            )
        return (x.shape,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, alpha = inputs
        assert x is not None
        assert alpha is not None
        if not is_quantized(node.input(0)):
            return (np.where(x >= 0, x, x * alpha),)
        value = centred(node, 0, x)
        above, below = self._factors(node)
        multiply = multiply_by_quantized_multiplier_double_rounding
        scaled = np.where(
            value >= 0, multiply(value, *above), multiply(value * centred(node, 1, alpha), *below)
        )
        assert node.output.quantization is not None
        limits = integer_range(x.dtype)
        return (np.clip(scaled + node.output.quantization.zero_point, *limits).astype(x.dtype),)

    def _factors(self, node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
        """Multiplier and shift of positive values, and of products with alpha."""
        x, alpha, y = (t.quantization for t in (node.input(0), node.input(1), node.output))
        assert x is not None
        assert alpha is not None
        assert y is not None
        split = [quantize_multiplier(np.float64(s / y.scale)) for s in (x.scale, x.scale * alpha.scale)]
        (a, b), (c, d) = split
        return (int(a), int(b)), (int(c), int(d))

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import prelu
        from minilite_kernels.requantize import Scaling

        x, alpha, y = node.input(0), node.input(1), node.output
        axes = alpha.shape
        while axes and axes[0] == 1:
            axes = axes[1:]
        if axes != x.shape[len(x.shape) - len(axes) :]:
            return False
        # Alpha repeats itself: once for each row of its own size.
        length = prod(axes)
        rows = y.size // length if length else 0
        step: dict[str, Any] = {"extent": rows, "x": x, "alpha": alpha, "out": y, "length": length}
        if x.type is _F32:
            lowering.step(prelu.prelu_float, node, grain=grain(rows, 16 * length), **step)
            return True
        above, below = self._factors(node)
        if not shifts_fit(above[1], below[1]):
            return False
        low, high = integer_range(y.dtype)
        assert x.quantization is not None
        assert alpha.quantization is not None
        assert y.quantization is not None
        lowering.step(
            prelu.prelu_quantized,
            node,
            grain=grain(rows, 64 * length),
            above=Scaling(x.quantization.zero_point, *above),
            below=Scaling(alpha.quantization.zero_point, *below),
            zero=y.quantization.zero_point,
            low=low,
            high=high,
            **step,
        )
        return True
