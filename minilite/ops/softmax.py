"""Along the last axis: SOFTMAX, LOG_SOFTMAX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.fixed_point import exp_on_negative_values, log_of_at_least_one, reciprocal
from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding, ulps
from minilite.ops.checks import check_arity, check_quantized, check_scale, check_types, check_zero_point
from minilite.ops.fields import Terms, field_of_rows, places, taken
from minilite.ops.lookup import apply_interpolated, interpolation_table
from minilite.ops.lowering import grain
from minilite.quantization import (
    Int64Array,
    integer_range,
    is_quantized,
    leading_sign_bits,
    multiply_by_quantized_multiplier_double_rounding,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturate,
    saturating_rounding_doubling_high_mul,
)
from minilite.telling import tell

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16

_LARGEST = (1 << 31) - 1

_ROOM = 1 << 26
"""One in Q5.26, in which differences to a row's largest value are held."""


@dataclass(frozen=True)
class ExponentScaling:
    """How differences of 8-bit values become exponents in Q5.26 (``PreprocessSoftmaxScaling``).

    Attributes
    ----------
    multiplier, shift:
        The factor ``multiplier * 2**(shift - 31)``.
    least:
        The smallest difference whose exponential counts.
    """

    multiplier: int
    shift: int
    least: int


def exponent_scaling(node: Node, beta: float) -> ExponentScaling:
    """The scaling of a node's 8-bit input, times ``beta``."""
    quantization = node.input(0).quantization
    assert quantization is not None
    real = min(np.float64(beta) * np.float64(quantization.scale) * _ROOM, 2.0**31 - 1)
    multiplier, shift = quantize_multiplier(real)
    least = -floor(31 * _ROOM / 2 ** int(shift))
    return ExponentScaling(int(multiplier), int(shift), least)


class _AlongRows(Op):
    """What both check: a last axis, a scale that Q5.26 can hold."""

    def _check(self, node: Node, beta: float) -> None:
        x = node.input(0)
        if not x.shape:
            refuse(node, "has no axis to go along", rule="rank", tensor=x)
        if not is_quantized(x):
            return
        check_quantized(node, x)
        check_quantized(node, node.output)
        assert x.quantization is not None
        product = beta * float(x.quantization.scale)
        if x.type is not _I16 and not product * _ROOM > 1:
            refuse(
                node,
                f"has a scale that comes to {product} with beta: its fixed point needs more than {1 / _ROOM}",
                rule="quantization-scale",
                tensor=x,
            )

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_rows(inputs, wanted[0])

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x = inputs[0]
        assert x is not None
        seen = places(field[0])
        return Terms("the row, whose exponentials are added up", 0, seen, taken(x, seen))

    def _differences(self, x: Array) -> Int64Array:
        """To the largest of each row; the rows of x [..., depth]."""
        wide = x.astype(np.int64)
        largest = np.max(wide, axis=-1, keepdims=True)
        differences: Int64Array = wide - largest
        tell("- {largest}, the largest of the row", differences, largest=largest)
        return differences


def _exponents(differences: Int64Array, scaling: ExponentScaling) -> Int64Array:
    """Q5.26; of what does not count, something."""
    counted = np.maximum(differences, scaling.least)
    return multiply_by_quantized_multiplier_double_rounding(counted, scaling.multiplier, scaling.shift)


def _sum_of_exponentials(exponentials: Int64Array) -> Int64Array:
    """Rows of Q0.31 added in Q12.19; at 4096, where TFLite's sums wrap, they stay."""
    sums: Int64Array = rounding_divide_by_pot(exponentials, 12).sum(axis=-1, keepdims=True)
    return np.minimum(sums, _LARGEST)


@dataclass(frozen=True)
class SoftmaxOptions:
    """Schema table ``SoftmaxOptions``."""

    beta: float = 0.0


@operator("SOFTMAX")
class Softmax(_AlongRows):
    """``exp(beta * x) / sum(exp(beta * x))`` along the last axis (TFLite's ``reference/softmax.h``).

    float32; uint8 and int8, to the same type or int16, in gemmlowp's fixed point; int16 by lines between
    513 points of the exponential and the reciprocal. Quantized outputs are in 256ths, or 32768ths, of one.
    """

    options = SoftmaxOptions
    int8 = Int8(output=(1 / 256, -128))

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((_F32, _F32), (_U8, _U8), (_U8, _I16), (_I8, _I8), (_I8, _I16), (_I16, _I16)))
        self._check(node, node.options.beta)
        x, y = node.input(0), node.output
        if y.type in (_I8, _I16) and y.type is x.type:
            check_scale(node, y, 2.0**-8 if y.type is _I8 else 2.0**-15, relative=1e-3)
            check_zero_point(node, y, -128 if y.type is _I8 else 0)
        if x.type is _I16:
            check_zero_point(node, x, 0)
        return (x.shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        if not x.size:
            return (x.astype(node.output.dtype),)
        if x.dtype == np.int16:
            return (self._int16(node, x),)
        if is_quantized(node.input(0)):
            return (self._bytes(node, x),)
        largest, beta = np.max(x, axis=-1, keepdims=True), np.float32(node.options.beta)
        differences = (x - largest) * beta
        tell("(x - {largest}, the largest of the row) * beta {beta}", differences, largest=largest, beta=beta)
        exponentials = np.exp(differences)
        tell("exp", exponentials)
        total = exponentials.sum(axis=-1, keepdims=True)
        shares = exponentials / total
        tell("/ {total}, the sum of the row's", shares, total=total)
        return (shares,)

    def _bytes(self, node: Node, x: Array) -> Array:
        scaling = exponent_scaling(node, node.options.beta)
        differences = self._differences(x)
        counts = differences >= scaling.least
        exponentials = np.where(counts, exp_on_negative_values(_exponents(differences, scaling), 5, 32), 0)
        tell("exp in 2**31sts, 0 below a difference of {least}", exponentials, least=scaling.least)
        total = _sum_of_exponentials(exponentials)
        tell("the sum of the row's, in 2**19ths", total)
        scale, bits = reciprocal(total)
        target = node.output.dtype
        products = saturating_rounding_doubling_high_mul(scale, exponentials)
        tell("exp * {scale} / 2**31, the reciprocal of the sum", products, scale=scale)
        shift = bits - 19 + 31 - 8 * target.itemsize
        steps = rounding_divide_by_pot(products, shift)
        tell("/ 2**{shift}, ties away from zero", steps, shift=shift, unrounded=lambda: products / 2.0**shift)
        low, high = integer_range(target)
        codes = np.where(counts, np.clip(steps + low, low, high), low).astype(target)
        tell("+ {low}, clamp to {low} ... {high}", codes, low=low, high=high)
        return codes

    def _int16(self, node: Node, x: Array) -> Array:
        exponentials = int16_exponentials(node, self._differences(x)).astype(np.int64)
        total = np.minimum(exponentials.sum(axis=-1, keepdims=True), _LARGEST)
        # The sum as 1 + x, x in [0, 1) of 16 bits; the table begins at the smallest int16.
        zeros = leading_sign_bits(total) + 1
        fraction = ((total << (zeros - 1)) + (1 << 13)) >> 14
        place = saturate(fraction - (1 << 15) - (1 << 16), np.int16)
        _, reciprocals = _int16_tables()
        inverse = apply_interpolated(reciprocals, place).astype(np.int64)
        shift = 31 - zeros
        steps = (exponentials * inverse + (np.int64(1) << (shift - 1))) >> shift
        tell("exp in 2**15ths", exponentials)
        tell("* {inverse}, the reciprocal of the row's sum {total}, / 2**{shift}, ties up", steps,
             inverse=inverse, total=total, shift=shift)  # fmt: skip
        codes = saturate(np.maximum(steps, 0), np.int16)
        tell("clamp to 0 ... 32767", codes)
        return codes

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import softmax

        x, y = node.input(0), node.output
        depth = x.shape[-1]
        rows = y.size // depth if depth else 0
        cost = grain(rows, 64 * depth)
        shared: dict[str, Any] = {"extent": rows, "grain": cost, "x": x, "out": y, "depth": depth}
        if x.type is _F32:
            lanes = lowering.scratch(np.float32, softmax.LANES)
            lowering.step(softmax.softmax_float, node, beta=node.options.beta, lanes=lanes, **shared)
            return True
        if x.type is _I16:
            exponentials = int16_exponentials(node, -np.arange(1 << 16, dtype=np.int64))
            _, reciprocals = _int16_tables()
            tables: dict[str, Any] = {"exponentials": exponentials, "reciprocals": reciprocals}
            lowering.step(softmax.softmax_int16, node, **tables, **shared)
            return True
        lowering.step(
            softmax.softmax_bytes,
            node,
            exponentials=exponentials_of_differences(node, node.options.beta),
            low=integer_range(y.dtype)[0],
            high=integer_range(y.dtype)[1],
            bits=8 * y.dtype.itemsize,
            **shared,
        )
        return True

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        # Whoever adds one after the other rounds once for each value, by half a unit.
        return ulps(8 + node.input(0).shape[-1] / 2)


def exponentials_of_differences(node: Node, beta: float) -> npt.NDArray[np.int32]:
    """``exp`` of the differences 0, -1 ... -255 to a row's largest 8-bit value, Q0.31; 0 past the least."""
    scaling = exponent_scaling(node, beta)
    differences = -np.arange(256, dtype=np.int64)
    values = exp_on_negative_values(_exponents(differences, scaling), 5, 32)
    return np.where(differences >= scaling.least, values, 0).astype(np.int32)


def int16_exponentials(node: Node, differences: Int64Array) -> npt.NDArray[np.int16]:
    """``exp`` of differences to a row's largest int16 value, in 32768ths."""
    quantization = node.input(0).quantization
    assert quantization is not None
    # In 65536ths of 10, over which the table goes.
    real = np.float64(quantization.scale * np.float32(node.options.beta)) / (10.0 / 65535.0)
    scaled = multiply_by_quantized_multiplier_double_rounding(differences, *quantize_multiplier(real))
    table, _ = _int16_tables()
    return apply_interpolated(table, saturate(scaled + np.iinfo(np.int16).max, np.int16))


@cache
def _int16_tables() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """``exp`` on [-10, 0] and ``1 / (1 + x)`` on [0, 1], each over all of int16."""
    low, high = integer_range(np.int16)
    target = (2.0 / (high - low), 0)
    span = float(high - low)
    exponentials = interpolation_table(np.exp, (10.0 / span, high), target, dtype=np.float64)
    reciprocals = interpolation_table(lambda x: 1.0 / (1.0 + x), (1.0 / span, low), target, dtype=np.float64)
    return exponentials, reciprocals


@operator("LOG_SOFTMAX")
class LogSoftmax(_AlongRows):
    """``x - log(sum(exp(x)))`` along the last axis (TFLite's ``reference/log_softmax.h``).

    float32; uint8 and int8 in gemmlowp's fixed point, with the output scale 1/16 and the largest value
    as zero point.
    """

    tells_elements = False

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((_F32, _F32), (_U8, _U8), (_I8, _I8)))
        self._check(node, 1.0)
        x, y = node.input(0), node.output
        if is_quantized(x):
            check_scale(node, y, 16 / 256)
            check_zero_point(node, y, integer_range(y.dtype)[1])
        return (x.shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        if not x.size:
            return (x,)
        if is_quantized(node.input(0)):
            return (self._bytes(node, x),)
        differences = x - np.max(x, axis=-1, keepdims=True)
        return (differences - np.log(np.exp(differences).sum(axis=-1, keepdims=True)),)

    def _bytes(self, node: Node, x: Array) -> Array:
        scaling = exponent_scaling(node, 1.0)
        differences = self._differences(x)
        exponents = _exponents(differences, scaling)
        exponentials = np.where(differences >= scaling.least, exp_on_negative_values(exponents, 5, 32), 0)
        logarithm = log_of_at_least_one(_sum_of_exponentials(exponentials))
        # The smallest difference that Q5.26 can hold once the logarithm is taken from it.
        inverse = quantize_multiplier(2.0 ** (31 - scaling.shift) / scaling.multiplier)
        least = multiply_by_quantized_multiplier_double_rounding(logarithm - (1 << 31), *inverse)
        low, high = integer_range(x.dtype)
        steps = rounding_divide_by_pot(exponents - logarithm, 31 - 5 - 4) + high
        counts = differences > np.maximum(least, scaling.least - 1)
        return np.where(counts, np.clip(steps, low, high), low).astype(x.dtype)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import softmax

        x, y = node.input(0), node.output
        if x.type is not _F32:
            return False
        depth = x.shape[-1]
        rows = y.size // depth if depth else 0
        lowering.step(
            softmax.log_softmax_float,
            node,
            extent=rows,
            grain=grain(rows, 96 * depth),
            x=x,
            out=y,
            lanes=lowering.scratch(np.float32, softmax.LANES),
            depth=depth,
        )
        return True

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        # The sum's rounding is an absolute error of its logarithm, beside that of x less the largest.
        return rounding(2 + node.input(0).shape[-1] / 8, addend=0)
