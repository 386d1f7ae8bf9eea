"""Arithmetic on each element, from ABS to ZEROS_LIKE."""

from __future__ import annotations

import numpy as np

from minilite.errors import InvokeError
from minilite.fixed_point import inverse_sqrt
from minilite.graph import Array, Node, TensorType
from minilite.ops.base import EXACT, Lowering, Tolerance, operator, ulps
from minilite.ops.binary import centred
from minilite.ops.checks import check_quantized
from minilite.ops.element_map import SMALL_FLOATS, ElementMap, map_step
from minilite.ops.lookup import apply, in_float64
from minilite.quantization import (
    integer_range,
    multiply_by_quantized_multiplier_double_rounding,
    quantize_multiplier,
    requantize,
    round_half_away,
    saturate,
)

_F32, _F64, _I8, _I16, _I32, _I64, _U8 = (
    TensorType.FLOAT32,
    TensorType.FLOAT64,
    TensorType.INT8,
    TensorType.INT16,
    TensorType.INT32,
    TensorType.INT64,
    TensorType.UINT8,
)


@operator("ABS")
class Abs(ElementMap):
    """Magnitude (TFLite's ``kernels/elementwise.cc``); int16 without a scale is a number.

    The smallest integer stays what it is. int8 and int16 come to the output's scale in fixed point.
    """

    types = (_F32, _I32, _I8, _I16)

    def is_quantized(self, node: Node) -> bool:
        plain = node.input(0).type is _I16 and node.input(0).quantization is None
        return super().is_quantized(node) and not plain

    def map_numbers(self, node: Node, x: Array) -> Array:
        magnitude: Array = np.abs(x)
        return magnitude

    def map_quantized(self, node: Node, x: Array) -> Array:
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        magnitude = np.abs(centred(node, 0, x))
        limits = integer_range(x.dtype)
        if source.scale == target.scale:
            return saturate(magnitude + target.zero_point, x.dtype)
        factor = quantize_multiplier(np.float64(source.scale / target.scale))
        return requantize(magnitude, *factor, node.output, limits)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.absolute, 16)


@operator("NEG")
class Neg(ElementMap):
    """The number with its sign turned (TFLite's ``kernels/neg.cc``); integers as they are, scale or not."""

    types = (_F32, _I64, _I32, _I8, _I16, *SMALL_FLOATS)

    def is_quantized(self, node: Node) -> bool:
        return False

    def map_numbers(self, node: Node, x: Array) -> Array:
        return -x

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.negate, 16)


@operator("SQUARE")
class Square(ElementMap):
    """``x * x`` (TFLite's ``kernels/elementwise.cc``)."""

    types = (_F32,)

    def map_numbers(self, node: Node, x: Array) -> Array:
        return x * x

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.square, 16)


def _refuse_negative(node: Node, x: Array) -> None:
    """The roots of negative quantized values do not exist, and nothing stands for NaN."""
    negative = centred(node, 0, x) < 0
    if negative.any():
        place = tuple(int(i) for i in np.argwhere(negative)[0])
        raise InvokeError(
            f"{node.operator}: {node.input(0)} is negative at {place}, where the root does not exist",
            op_index=node.operator.index,
            op_name=node.operator.name,
            tensor=node.input(0).index,
            rule="negative-root",
        )


@operator("SQRT")
class Sqrt(ElementMap):
    """Square root (TFLite's ``kernels/elementwise.cc``).

    int8 and int16: in float32, rounded towards zero; negative values are refused when it runs.
    """

    types = (_F32, _I8, _I16)

    def map_numbers(self, node: Node, x: Array) -> Array:
        root: Array = np.sqrt(x)
        return root

    def map_quantized(self, node: Node, x: Array) -> Array:
        _refuse_negative(node, x)
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        root = np.sqrt(source.scale * centred(node, 0, x).astype(np.float32))
        steps = np.trunc(root / target.scale).astype(np.int64) + target.zero_point
        return saturate(steps, x.dtype)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        # Quantized ones may have to be refused while they run.
        return node.input(0).type is _F32 and self.lower_float(node, lowering)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.square_root, 32)


@operator("RSQRT")
class Rsqrt(ElementMap):
    """``1 / sqrt(x)`` (TFLite's ``kernels/elementwise.cc``).

    int8: Newton's method in fixed point. int16: lines between 513 points. Of 0 the largest value;
    negative values are refused when it runs.
    """

    types = (_F32, _I8, _I16)

    def map_numbers(self, node: Node, x: Array) -> Array:
        inverse: Array = x.dtype.type(1) / np.sqrt(x)
        return inverse

    def map_quantized(self, node: Node, x: Array) -> Array:
        _refuse_negative(node, x)
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        if x.dtype == np.int16:
            largest = np.float32(np.iinfo(np.int16).max) * target.scale

            def inverse(real: Array) -> Array:
                return np.where(real <= 0, largest, np.float32(1) / np.sqrt(real))

            return apply(inverse, x, node.input(0), node.output)
        low, high = integer_range(x.dtype)
        value = centred(node, 0, x)
        multiply = multiply_by_quantized_multiplier_double_rounding
        multiplier, shift = inverse_sqrt(np.maximum(value, 1))
        root = multiply(1, multiplier, shift + _GUARD_BITS)
        real = 1.0 / np.float64(np.sqrt(source.scale) * target.scale)
        factor, exponent = quantize_multiplier(real)
        steps = multiply(root, factor, exponent.astype(np.int64) - _GUARD_BITS) + target.zero_point
        return np.where(value == 0, high, np.clip(steps, low, high)).astype(x.dtype)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        return node.input(0).type is _F32 and self.lower_float(node, lowering)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.inverse_square_root, 32)


_GUARD_BITS = 20
"""Bits that RSQRT of int8 gives the root of a whole number."""


@operator("EXP")
class Exp(ElementMap):
    """``exp(x)`` (TFLite's ``kernels/exp.cc``); int8 and int16 by tables."""

    types = (_F32, _I8, _I16)

    tells_elements = True

    def check_quantization(self, node: Node) -> None:
        check_quantized(node, node.input(0))
        check_quantized(node, node.output)

    def map_numbers(self, node: Node, x: Array) -> Array:
        power: Array = np.exp(x)
        return power

    def map_quantized(self, node: Node, x: Array) -> Array:
        return apply(in_float64(np.exp), x, node.input(0), node.output)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.exponential, 64)

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(4) if node.input(0).type is _F32 else EXACT


@operator("LOG")
class Log(ElementMap):
    """Natural logarithm (TFLite's ``kernels/elementwise.cc``).

    int8 and int16 by tables, in which the logarithm of what is not positive is the smallest value.
    """

    types = (_F32, _I8, _I16)

    def map_numbers(self, node: Node, x: Array) -> Array:
        logarithm: Array = np.log(x)
        return logarithm

    def map_quantized(self, node: Node, x: Array) -> Array:
        target = node.output.quantization
        assert target is not None
        low, _ = integer_range(x.dtype)
        smallest = np.float32(low - target.zero_point) * target.scale

        def logarithm(real: Array) -> Array:
            return np.where(real <= 0, smallest, in_float64(np.log)(real))

        return apply(logarithm, x, node.input(0), node.output)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.logarithm, 64)

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(4) if node.input(0).type is _F32 else EXACT


@operator("SIN")
class Sin(ElementMap):
    """Sine (TFLite's ``kernels/elementwise.cc``)."""

    types = (_F32,)

    def map_numbers(self, node: Node, x: Array) -> Array:
        sine: Array = np.sin(x)
        return sine

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(4)


@operator("COS")
class Cos(ElementMap):
    """Cosine (TFLite's ``kernels/elementwise.cc``)."""

    types = (_F32,)

    def map_numbers(self, node: Node, x: Array) -> Array:
        cosine: Array = np.cos(x)
        return cosine

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(4)


@operator("FLOOR")
class Floor(ElementMap):
    """The whole number at or below (TFLite's ``kernels/floor.cc``)."""

    types = (_F32, *SMALL_FLOATS)

    def map_numbers(self, node: Node, x: Array) -> Array:
        whole: Array = np.floor(x)
        return whole

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.floor, 16)


@operator("CEIL")
class Ceil(ElementMap):
    """The whole number at or above (TFLite's ``kernels/ceil.cc``).

    int8 and int16 with a scale: in float32, then to the output's scale. Integers without one are whole.
    """

    types = (_F32, *SMALL_FLOATS, _I32, _I16, _I8)

    def is_quantized(self, node: Node) -> bool:
        return super().is_quantized(node) and node.output.quantization is not None

    def map_numbers(self, node: Node, x: Array) -> Array:
        whole: Array = x if x.dtype.kind == "i" else np.ceil(x)
        return whole

    def map_quantized(self, node: Node, x: Array) -> Array:
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        whole = np.ceil(centred(node, 0, x).astype(np.float32) * source.scale)
        steps = round_half_away(whole / target.scale).astype(np.int64) + target.zero_point
        return saturate(steps, x.dtype)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.ceil, 16)


@operator("ROUND")
class Round(ElementMap):
    """The nearest whole number, ties to even (TFLite's ``kernels/round.cc``)."""

    types = (_F32,)

    def map_numbers(self, node: Node, x: Array) -> Array:
        whole: Array = np.rint(x)
        return whole

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.round_half_even, 16)


@operator("SIGN")
class Sign(ElementMap):
    """-1, 0 or 1; of NaN NaN (TFLite's ``kernels/sign.cc``)."""

    types = (_F32, _F64, _I32)

    def map_numbers(self, node: Node, x: Array) -> Array:
        sign: Array = np.sign(x)
        return sign


@operator("ZEROS_LIKE")
class ZerosLike(ElementMap):
    """Zeros in the input's shape and type (TFLite's ``kernels/zeros_like.cc``)."""

    types = (_F32, _I32, _I64)

    def map_numbers(self, node: Node, x: Array) -> Array:
        return np.zeros_like(x)

    def known_outputs(self, node: Node) -> tuple[Array, ...] | None:
        return (np.zeros(node.output.shape, node.output.dtype),)
