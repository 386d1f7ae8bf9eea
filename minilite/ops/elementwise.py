"""Sums and products of two tensors that broadcast, and of many: ADD, SUB, MUL, SQUARED_DIFFERENCE, ADD_N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.binary import Binary, Work, centred, check_fixed_point, computes_fixed_point, same_types
from minilite.ops.checks import check_activation, check_arity, check_types
from minilite.ops.fields import field_of_broadcast
from minilite.ops.lowering import shifts_fit
from minilite.quantization import (
    Int64Array,
    activation_range,
    integer_range,
    multiply_by_quantized_multiplier_double_rounding,
    output_range,
    quantize_multiplier,
    requantize,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from minilite.telling import tell

if TYPE_CHECKING:
    from minilite_kernels.kernel import Kernel

FLOAT32, FLOAT16, COMPLEX64 = TensorType.FLOAT32, TensorType.FLOAT16, TensorType.COMPLEX64
INT8, UINT8, INT16, INT32 = TensorType.INT8, TensorType.UINT8, TensorType.INT16, TensorType.INT32
INT64, UINT32 = TensorType.INT64, TensorType.UINT32


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


def split(real: float | np.floating[Any]) -> tuple[int, int]:
    """A real factor as a multiplier and a shift."""
    multiplier, shift = quantize_multiplier(real)
    return int(multiplier), int(shift)


@dataclass(frozen=True)
class SumScaling:
    """How quantized addends come to a common scale, and their sum to the output's.

    Attributes
    ----------
    left, right, output:
        A multiplier and a shift for each of the addends, and for the sum.
    left_shift:
        Guard bits that the addends are given before.
    """

    left: tuple[int, int]
    right: tuple[int, int]
    output: tuple[int, int]
    left_shift: int


def sum_scaling(node: Node) -> SumScaling:
    """Multipliers of a quantized ADD or SUB (``Prepare`` of TFLite's ``kernels/add.cc``, ``sub.cc``)."""
    return _common_scaling(node, 15 if node.output.type is INT16 else 20, power=1)


def squared_difference_scaling(node: Node) -> SumScaling:
    """Multipliers of a quantized SQUARED_DIFFERENCE (TFLite's ``kernels/squared_difference.cc``)."""
    return _common_scaling(node, 7, power=2)


def _common_scaling(node: Node, left_shift: int, power: int) -> SumScaling:
    """Both inputs in units of twice the larger scale, and what is made of ``power`` of them."""
    a, b, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert a is not None
    assert b is not None
    assert y is not None
    twice_largest = 2.0 * float(max(a.scale, b.scale))
    return SumScaling(
        left=split(float(a.scale) / twice_largest),
        right=split(float(b.scale) / twice_largest),
        output=split(twice_largest**power / ((1 << left_shift * power) * float(y.scale))),
        left_shift=left_shift,
    )


def product_scaling(node: Node) -> tuple[int, int]:
    """Multiplier and shift of a quantized MUL: scales in float32, as in TFLite's ``kernels/mul.cc``."""
    a, b, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert a is not None
    assert b is not None
    assert y is not None
    return split(np.float64(a.scale * b.scale / y.scale))


def brought_to_common_scale(
    a: Int64Array, b: Int64Array, scaling: SumScaling
) -> tuple[Int64Array, Int64Array]:
    """Both inputs, without their zero points, in the units that they are added in."""
    shift = scaling.left_shift
    common = []
    for position, (values, factor) in enumerate(((a, scaling.left), (b, scaling.right))):
        fine: Int64Array = values << shift
        tell(f"input {position} * 2**{shift}", fine)
        common.append(multiply_by_quantized_multiplier_double_rounding(fine, *factor))
    return common[0], common[1]


class Arithmetic(Binary):
    """A fused clamp; integers that wrap as in C; fixed point."""

    compiled: ClassVar[tuple[TensorType, ...]] = (FLOAT32, INT32, INT64, INT16, UINT8, INT8)
    ufunc: ClassVar[np.ufunc]

    tells_elements = True

    def check(self, node: Node) -> None:
        check_activation(node)
        if computes_fixed_point(node):
            check_fixed_point(node)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        if computes_fixed_point(node):
            return self.fixed_point(node, centred(node, 0, a), centred(node, 1, b))
        limits = output_range(node.options.fused_activation_function, node.output)
        clamped: Array = np.clip(type(self).ufunc(a, b), *limits)
        return clamped

    def fixed_point(self, node: Node, a: Int64Array, b: Int64Array) -> Array:
        """The quantized output from the inputs less their zero points."""
        raise NotImplementedError

    def work(self, node: Node) -> Work | None:
        from minilite_kernels import elementwise

        y = node.output
        if computes_fixed_point(node):
            return self.fixed_point_work(node)
        if y.type is INT16:
            return None
        limits = output_range(node.options.fused_activation_function, y)
        return Work(getattr(elementwise, type(self).ufunc.__name__), np.array(limits, y.dtype))

    def fixed_point_work(self, node: Node) -> Work | None:
        """The kernel for a quantized node, if there is one."""
        return None


class _Sum(Arithmetic):
    """ADD and SUB on fixed point: both inputs are brought to a common scale.

    int16 has another, older form for scales that are powers of two (``pot_scale_int16``): one input has
    the output's scale already, and the other is shifted to it.
    """

    sign: ClassVar[int]

    def check(self, node: Node) -> None:
        super().check(node)
        if not computes_fixed_point(node) or not _has_pot_scales(node):
            return
        a, b = pot_shifts(node)
        if min(a, b) != 0 or max(a, b) < 0:
            refuse(
                node,
                "with pot_scale_int16 one input must have the scale of the output, "
                "and the other's must not be larger",
                rule="pot-scale-int16",
            )

    def fixed_point(self, node: Node, a: Int64Array, b: Int64Array) -> Array:
        limits = output_range(node.options.fused_activation_function, node.output)
        if _has_pot_scales(node):
            shifts = pot_shifts(node)
            total = type(self).ufunc(*map(rounding_divide_by_pot, (a, b), shifts))
            tell(f"both shifted right, by {shifts[0]} and {shifts[1]}, and combined", total)
            clamped: Array = np.clip(total, *limits)
            tell("clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
            return clamped
        scaling = sum_scaling(node)
        total = type(self).ufunc(*brought_to_common_scale(a, b, scaling))
        tell(f"input 0 {'+' if self.sign > 0 else '-'} input 1, both in common units", total)
        return requantize(total, *scaling.output, node.output, limits)

    def fixed_point_work(self, node: Node) -> Work | None:
        from minilite_kernels.elementwise import add_fixed_point

        if _has_pot_scales(node):
            return None
        limits = output_range(node.options.fused_activation_function, node.output)
        return sum_work(node, add_fixed_point, sum_scaling(node), limits, type(self).sign)


def sum_work(
    node: Node, kernel: Kernel, scaling: SumScaling, limits: tuple[int, int], sign: int
) -> Work | None:
    """The kernel that adds ``sign`` times the second input to the first, in fixed point.

    The kernel's first operand is the input of the larger scale, which is multiplied by a half.
    """
    a, b, y = (t.quantization for t in (node.input(0), node.input(1), node.output))
    assert a is not None
    assert b is not None
    assert y is not None
    inputs = [(a.zero_point, scaling.left, 0), (b.zero_point, scaling.right, 0 if sign > 0 else -1)]
    order = (0, 1) if a.scale >= b.scale else (1, 0)
    (exact_zero, exact, exact_sign), (other_zero, other, other_sign) = (inputs[i] for i in order)
    if exact != (1 << 30, 0) or other[1] > 0 or not -30 <= scaling.output[1] <= 0:
        return None  # scales that no converter writes
    numbers = (exact_zero, scaling.left_shift - 1, exact_sign, other_zero, *other, other_sign)
    parameters = np.array([*numbers, *scaling.output, y.zero_point, *limits], np.int64)
    return Work(kernel, parameters, order, cost=64)


def _has_pot_scales(node: Node) -> bool:
    """Whether an int16 ADD or SUB is computed in the form for powers of two."""
    if node.output.type is not INT16 or not node.options.pot_scale_int16:
        return False
    exponents = _scale_exponents(node)
    # CheckedLog2 of TFLite's kernels/internal/quantization_util.cc takes what is near enough.
    return bool(np.all(np.abs(exponents - np.rint(exponents)) < 1e-3))


def pot_shifts(node: Node) -> tuple[int, int]:
    """How far each input of an int16 ADD or SUB is shifted right, where scales are powers of two."""
    a, b, y = map(int, np.rint(_scale_exponents(node)))
    return y - a, y - b


def _scale_exponents(node: Node) -> Array:
    quantizations = (t.quantization for t in (node.input(0), node.input(1), node.output))
    return np.log2(np.array([q.scale for q in quantizations if q is not None], np.float64))


@operator("ADD")
class Add(_Sum):
    """Sum (TFLite's ``kernels/add.cc``, ``reference/add.h``, ``reference/integer_ops/add.h``)."""

    options = AddOptions
    int8 = Int8()
    rows = same_types(FLOAT32, FLOAT16, INT32, INT64, INT16, UINT8, INT8)
    ufunc = np.add
    sign = 1


@operator("SUB")
class Sub(_Sum):
    """Difference (TFLite's ``kernels/sub.cc``, ``reference/sub.h``). int16 is quantized."""

    options = SubOptions
    int8 = Int8()
    rows = same_types(FLOAT32, INT32, INT64, INT16, UINT8, INT8)
    ufunc = np.subtract
    sign = -1


@operator("MUL")
class Mul(Arithmetic):
    """Product (TFLite's ``kernels/mul.cc``, ``reference/mul.h``, ``reference/integer_ops/mul.h``).

    Two int16 tensors may also give an int8 or uint8 one: the product of two numbers below one, with 15
    fractional bits each and 7 in the output, whatever the scales say.
    """

    options = MulOptions
    int8 = Int8()
    rows = (
        *same_types(FLOAT32, FLOAT16, COMPLEX64, INT32, INT64, UINT32, INT16, UINT8, INT8),
        (INT16, INT16, INT8),
        (INT16, INT16, UINT8),
    )
    ufunc = np.multiply

    def check(self, node: Node) -> None:
        super().check(node)
        if node.output.type is COMPLEX64 and node.options.fused_activation_function is not Activation.NONE:
            refuse(node, "no activation can be fused with complex numbers", rule="fused-activation")

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        return a * b if node.output.type is COMPLEX64 else super().combine(node, a, b)

    def tolerance(self, node: Node) -> Tolerance:
        # The parts of a complex product are sums of two products.
        return rounding(2, 0, 1) if node.output.type is COMPLEX64 else EXACT

    def fixed_point(self, node: Node, a: Int64Array, b: Int64Array) -> Array:
        limits = output_range(node.options.fused_activation_function, node.output)
        if node.output.type is node.input(0).type:
            tell("input 0 * input 1", a * b)
            return requantize(a * b, *product_scaling(node), node.output, limits)
        product = rounding_divide_by_pot(saturating_rounding_doubling_high_mul(a, b, bits=16), 8)
        tell("input 0 * input 1 / 2**15, ties up, / 2**8, ties away from zero", product)
        assert node.output.quantization is not None
        clamped: Array = np.clip(product + node.output.quantization.zero_point, *limits)
        tell("+ the output's zero point, clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
        return clamped

    def fixed_point_work(self, node: Node) -> Work | None:
        from minilite_kernels.elementwise import multiply_fixed_point

        a, b, y = (t.quantization for t in (node.input(0), node.input(1), node.output))
        assert a is not None
        assert b is not None
        assert y is not None
        multiplier, shift = product_scaling(node)
        if node.output.type is not node.input(0).type or shift < -30 or not shifts_fit(shift):
            return None
        limits = output_range(node.options.fused_activation_function, node.output)
        numbers = (a.zero_point, b.zero_point, multiplier, shift, y.zero_point, *limits)
        return Work(multiply_fixed_point, np.array(numbers, np.int64), cost=32)


@operator("SQUARED_DIFFERENCE")
class SquaredDifference(Arithmetic):
    """``(a - b) ** 2`` (TFLite's ``kernels/squared_difference.cc``)."""

    rows = same_types(FLOAT32, INT32, INT8)
    compiled = (FLOAT32, INT8)

    def check(self, node: Node) -> None:
        if computes_fixed_point(node):
            check_fixed_point(node)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        if computes_fixed_point(node):
            return self.fixed_point(node, centred(node, 0, a), centred(node, 1, b))
        squared: Array = np.square(a - b)
        return squared

    def fixed_point(self, node: Node, a: Int64Array, b: Int64Array) -> Array:
        scaling = squared_difference_scaling(node)
        left, right = brought_to_common_scale(a, b, scaling)
        limits = integer_range(node.output.dtype)
        tell("the square of input 0 - input 1, both in common units", np.square(left - right))
        return requantize(np.square(left - right), *scaling.output, node.output, limits)

    def work(self, node: Node) -> Work | None:
        from minilite_kernels import elementwise

        if not computes_fixed_point(node):
            return Work(elementwise.squared_difference)
        kernel, scaling = elementwise.squared_difference_fixed_point, squared_difference_scaling(node)
        return sum_work(node, kernel, scaling, integer_range(node.output.dtype), sign=-1)


@operator("ADD_N")
class AddN(Op):
    """Sum of two or more tensors of one shape (TFLite's ``kernels/add_n.cc``).

    Added from the first to the last; an infinite sum becomes the largest float each time, as in ADD.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        count = max(len(node.inputs), 2)
        check_arity(node, (count, count))
        check_types(node, [(kind,) * (count + 1) for kind in (FLOAT32, INT32)])
        first = node.input(0)
        for position in range(1, count):
            if node.input(position).shape != first.shape:
                refuse(
                    node, f"must have the shape of {first}", rule="equal-shapes", tensor=node.input(position)
                )
        return (first.shape,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        limits = activation_range(Activation.NONE, node.output.dtype)

        def add(total: Array, x: Array) -> Array:
            clamped: Array = np.clip(total + x, *limits)
            return clamped

        return (reduce(add, [x for x in inputs if x is not None]),)
