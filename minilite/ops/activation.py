"""Activations that are curves: LOGISTIC, TANH, HARD_SWISH, ELU, GELU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.fixed_point import multiply, saturate_to_bits, truncated_quotient
from minilite.graph import Array, Node, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Tolerance, operator, refuse, rounding, ulps
from minilite.ops.checks import check_scale
from minilite.ops.element_map import SMALL_FLOATS, ElementMap, map_step
from minilite.ops.lookup import apply, in_float64
from minilite.quantization import (
    Int64Array,
    quantize_multiplier,
    reduced_multiplier,
    rounding_divide_by_pot,
    saturate,
)
from minilite.telling import tell

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16


@cache
def _sigmoid_table() -> Int64Array:
    """``65536 / (1 + exp(-i / 24))``: what LOGISTIC and TANH of int16 interpolate in.

    Each point is moved by half of what a straight line to the next lacks in the middle, and the last is
    the largest of 16 bits (``sigmoid_table_uint16`` of ``internal/common.h``).
    """

    def sigmoid(i: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 65536.0 / (1.0 + np.exp(-i / 24.0))

    i = np.arange(256.0)
    lacking = sigmoid(i + 0.5) - (sigmoid(i) + sigmoid(i + 1)) / 2
    table = np.floor(sigmoid(i) + lacking / 2 + 0.5).astype(np.int64)
    table[-1] = 65535
    return table


def _sigmoid_argument(node: Node, x: Array) -> Int64Array:
    """int16 values in units of ``1 / (3 * 4096)`` (``SigmoidPrepare`` and ``TanhPrepare``)."""
    quantization = node.input(0).quantization
    assert quantization is not None
    exponent, is_power = _nearest_power_of_two(quantization.scale)
    shift = 12 + exponent
    if is_power and 0 <= shift <= (1 if node.operator.name == "TANH" else 0):
        return x.astype(np.int64) * (3 << shift)
    multiplier = np.float64(quantization.scale) * 4096.0 * 3.0
    shift = 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        shift += 1
        multiplier *= 2.0
    half = (1 << shift) >> 1
    return (x.astype(np.int64) * int(multiplier) + half) >> shift


def _nearest_power_of_two(scale: np.float32) -> tuple[int, bool]:
    """The exponent, and whether it is it (``CheckedLog2`` of ``internal/quantization_util.cc``)."""
    exponent = np.float32(np.log(np.float64(scale))) * (np.float32(1) / np.float32(np.log(2.0)))
    nearest = math.floor(exponent + np.float32(0.5))
    return nearest, bool(abs(exponent - np.float32(nearest)) < np.float32(1e-3))


class _Sigmoid(ElementMap):
    """What both have in common: int16 goes from values without a zero point to 1/32768."""

    types = (_F32, _U8, _I8, _I16, *SMALL_FLOATS)

    tells_elements = True

    def check_quantization(self, node: Node) -> None:
        super().check_quantization(node)
        if node.output.type is _I16:
            check_scale(node, node.output, 2.0**-15, relative=1e-3)


@operator("LOGISTIC")
class Logistic(_Sigmoid):
    """``1 / (1 + exp(-x))`` (TFLite's ``kernels/activations.cc``).

    uint8 and int8 by a table, with the output scale 1/256; int16 by lines between 256 points
    (``reference/integer_ops/logistic.h``), with 1/32768.
    """

    int8 = Int8(output=(1 / 256, -128))

    def check_quantization(self, node: Node) -> None:
        super().check_quantization(node)
        if node.output.type is not _I16:
            check_scale(node, node.output, 2.0**-8)

    def map_numbers(self, node: Node, x: Array) -> Array:
        small = np.exp(-np.abs(x))
        logistic: Array = np.where(x < 0, small, x.dtype.type(1)) / (x.dtype.type(1) + small)
        return logistic

    def map_quantized(self, node: Node, x: Array) -> Array:
        if x.dtype != np.int16:
            exp, one = in_float64(np.exp), np.float32(1)
            return apply(lambda real: one / (one + exp(-real)), x, node.input(0), node.output)
        argument = _sigmoid_argument(node, x)
        magnitude = np.abs(argument)
        place, table = np.minimum(magnitude >> 9, 254), _sigmoid_table()
        line = (table[place] << 9) + (magnitude & 0x1FF) * (table[place + 1] - table[place])
        result = np.where(magnitude >> 9 >= 255, 0x7FFF << 10, line)
        both = np.where(argument >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1)
        return (both >> 10).astype(np.int16)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.logistic, 64)

    def tolerance(self, node: Node) -> Tolerance:
        # Absolute, of a result up to 1: TFLite's kernel leaves out the ``1 +`` below -9, an error of
        # 1.5e-8. Ours stays within 3 units of the last place (NumPy 3.2).
        return rounding(0.5) if node.input(0).type is _F32 else EXACT


@operator("TANH")
class Tanh(_Sigmoid):
    """Hyperbolic tangent (TFLite's ``kernels/activations.cc``).

    uint8 and int8 by a table; int16 by lines between 256 points of the logistic function
    (``reference/integer_ops/tanh.h``), with the output scale 1/32768.
    """

    int8 = Int8(output=(1 / 128, 0))

    def map_numbers(self, node: Node, x: Array) -> Array:
        tangent: Array = np.tanh(x)
        return tangent

    def map_quantized(self, node: Node, x: Array) -> Array:
        if x.dtype != np.int16:
            return apply(in_float64(np.tanh), x, node.input(0), node.output)
        argument = _sigmoid_argument(node, x)
        magnitude = np.abs(argument)
        place, table = np.minimum(magnitude >> 8, 254), _sigmoid_table()
        line = (table[place] << 8) + (magnitude & 0xFF) * (table[place + 1] - table[place])
        result = np.where(magnitude >> 8 >= 255, 0xFFFF << 8, line)
        one, half = 1 << 23, 1 << 7
        both = np.where(argument >= 0, result - one + half, -result + one + half - 1)
        return (both >> 8).astype(np.int16)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.hyperbolic_tangent, 64)

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(8) if node.input(0).type is _F32 else EXACT


@operator("HARD_SWISH")
class HardSwish(ElementMap):
    """``x * min(max(x + 3, 0), 6) / 6`` (TFLite's ``reference/hard_swish.h``).

    uint8 and int8 in fixed point of 16 bits.
    """

    int8 = Int8(version=1)
    types = (_F32, _U8, _I8)

    tells_elements = True

    def check_quantization(self, node: Node) -> None:
        super().check_quantization(node)
        _, exponent = self._output_factor(node)
        if exponent > 0:
            refuse(
                node,
                f"has a scale more than 128 times as large as that of {node.output}, which its 16 bits "
                "cannot hold",
                rule="quantization-scale",
                tensor=node.input(0),
            )

    def map_numbers(self, node: Node, x: Array) -> Array:
        swish: Array = x * np.clip(x + x.dtype.type(3), 0, 6) / x.dtype.type(6)
        return swish

    def map_quantized(self, node: Node, x: Array) -> Array:
        source, target = node.input(0).quantization, node.output.quantization
        assert source is not None
        assert target is not None
        fine = (x.astype(np.int64) - source.zero_point) << 7
        tell("(q - {zero_point}) * 2**7", fine, zero_point=source.zero_point)
        factor, exponent = self._output_factor(node)
        output = multiply(fine, factor, 16)
        tell("x in the output's units: * {factor} / 2**15, ties up", output, factor=factor)
        # x in units of 3 / 32768, where everything past 3 is one.
        factor, left = self._gate_factor(node)
        gate = fine
        if left > 0:
            # The last bit after the product, so that only it decides whether the value is past the end.
            gate = saturate_to_bits(gate << min(left - 1, 32), 16)
        gate = multiply(gate, factor, 16)
        if left > 0:
            gate = saturate_to_bits(gate << 1, 16)
        elif left < 0:
            gate = rounding_divide_by_pot(gate, min(-left, 31))
        gate = (gate + (1 << 15)) >> 1
        tell("relu6(x + 3) / 6 in 2**15ths", gate)
        product = truncated_quotient(gate * output, 1 << 15)
        tell("x * relu6(x + 3) / 6, cut off", product, unrounded=lambda: gate * output / 2.0**15)
        scaled, shift = rounding_divide_by_pot(product, min(-exponent, 31)), min(-exponent, 31)
        tell("/ 2**{shift}, ties away from zero", scaled, shift=shift, unrounded=lambda: product / 2.0**shift)
        codes = saturate(scaled + target.zero_point, x.dtype)
        tell("+ zero point {zero_point}, clamp to the type", codes, zero_point=target.zero_point)
        return codes

    def _output_factor(self, node: Node) -> tuple[int, int]:
        assert node.output.quantization is not None
        return _split_int16(self._fine_scale(node) / node.output.quantization.scale)

    def _gate_factor(self, node: Node) -> tuple[int, int]:
        return _split_int16(self._fine_scale(node) / np.float32(3 / 32768))

    def _fine_scale(self, node: Node) -> np.float32:
        quantization = node.input(0).quantization
        assert quantization is not None
        scale: np.float32 = np.float32(1 / 128) * quantization.scale
        return scale

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.hard_swish, 32)


def _split_int16(real: np.float32) -> tuple[int, int]:
    """A factor as ``multiplier * 2**(shift - 15)``."""
    multiplier, shift = quantize_multiplier(np.float64(real))
    return int(reduced_multiplier(multiplier)), int(shift)


@operator("ELU")
class Elu(ElementMap):
    """x where it is positive, ``exp(x) - 1`` elsewhere (TFLite's ``kernels/activations.cc``)."""

    types = (_F32, _I8)

    tells_elements = True

    def map_numbers(self, node: Node, x: Array) -> Array:
        return np.where(x < 0, np.expm1(x), x)

    def map_quantized(self, node: Node, x: Array) -> Array:
        def elu(real: Array) -> Array:
            return np.where(real < 0, in_float64(np.expm1)(real), real)

        return apply(elu, x, node.input(0), node.output)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        return map_step(lowering, node, unary.elu, 64)

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(4) if node.input(0).type is _F32 else EXACT


@dataclass(frozen=True)
class GeluOptions:
    """Schema table ``GeluOptions``."""

    approximate: bool = False


@operator("GELU")
class Gelu(ElementMap):
    """x times the normal distribution's share below x (TFLite's ``reference/gelu.h``).

    ``x / 2 * erfc(-x / sqrt(2))``, or with ``approximate``
    ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``. uint8 and int8 by a table.
    """

    options = GeluOptions
    types = (_F32, _U8, _I8)

    tells_elements = True

    def map_numbers(self, node: Node, x: Array) -> Array:
        return gelu(x, approximate=node.options.approximate)

    def map_quantized(self, node: Node, x: Array) -> Array:
        approximate = node.options.approximate
        return apply(lambda real: gelu(real, approximate=approximate), x, node.input(0), node.output)

    def lower_float(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import unary

        kernel = unary.gelu_approximate if node.options.approximate else unary.gelu
        return map_step(lowering, node, kernel, 96)

    def tolerance(self, node: Node) -> Tolerance:
        return rounding(1, 0) if node.input(0).type is _F32 else EXACT


def gelu(x: Array, *, approximate: bool) -> Array:
    """GELU of floats, in their type, in the order of operations of ``reference/gelu.h``."""
    number: Any = x.dtype.type
    if approximate:
        curve = number(math.sqrt(2 / math.pi)) * (x + number(0.044715) * x * x * x)
        tanh = in_float64(np.tanh)(curve)
        twice_share = number(1) + tanh
    else:
        twice_share = _erfc(x * number(-math.sqrt(0.5))).astype(x.dtype)
    result: Array = number(0.5) * x * twice_share
    return result


def _erfc(x: Array) -> npt.NDArray[np.float64]:
    """NumPy has no error function."""
    return np.array(_ERFC(x.astype(np.float64)), np.float64)


_ERFC = np.frompyfunc(math.erfc, 1, 1)
