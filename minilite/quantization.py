"""TFLite's fixed point on NumPy arrays: the one place where accumulators are rounded.

``real = scale * (quantized - zero_point)``. A real factor is held as a 32-bit multiplier and a power
of two. The rounding mode is part of a function's name: kernels differ in it, and a quantized result
has to agree with TFLite's reference kernel in every bit. File names are TFLite's, below
``tensorflow/lite/kernels``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Activation, Array, Tensor, TensorType
from minilite.telling import tell

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

Range = tuple[float, float]
IntegerRange = tuple[int, int]


def is_quantized(tensor: Tensor) -> bool:
    """Whether the type is one that needs a scale and a zero point to mean something."""
    return tensor.type in (TensorType.INT8, TensorType.UINT8, TensorType.INT16)


def along_channels(parameters: Array, tensor: Tensor) -> Array:
    """Scales or zero points of a tensor, shaped to broadcast against it."""
    assert tensor.quantization is not None
    shape = [1] * len(tensor.shape)
    if tensor.quantization.per_channel:
        shape[tensor.quantization.dimension] = -1
    return parameters.reshape(shape)


def real_values(values: Array, tensor: Tensor) -> npt.NDArray[np.float64]:
    """What the codes of a quantized tensor mean: ``scale * (value - zero point)``, exact in float64."""
    assert tensor.quantization is not None
    centred = values.astype(np.int64) - along_channels(tensor.quantization.zero_points, tensor)
    real: npt.NDArray[np.float64] = (
        along_channels(tensor.quantization.scales, tensor).astype(np.float64) * centred
    )
    return real


def real_zero(tensor: Tensor) -> int:
    """What stands for zero in a tensor: its zero point, where it is quantized as a whole."""
    q = tensor.quantization
    return 0 if q is None or q.per_channel or not is_quantized(tensor) else q.zero_point


def quantize_multiplier(real: npt.ArrayLike) -> tuple[Int32Array, Int32Array]:
    """Split real factors into ``multiplier * 2**(shift - 31)``.

    Parameters
    ----------
    real:
        float64 factors, finite, of any shape.

    Returns
    -------
    multiplier, shift:
        int32, of the shape of ``real``; the multiplier is 0 or its magnitude in [2**30, 2**31).

    Notes
    -----
    ``QuantizeMultiplier`` of ``internal/quantization_util.cc``.
    """
    fraction, exponent = np.frexp(np.asarray(real, np.float64))
    multiplier: Int64Array = round_half_away(fraction * 2.0**31).astype(np.int64)
    carried = multiplier == 1 << 31
    multiplier = np.where(carried, 1 << 30, multiplier)
    shift = exponent + carried
    vanishes = shift < -31
    return (
        np.where(vanishes, 0, multiplier).astype(np.int32),
        np.where(vanishes, 0, shift).astype(np.int32),
    )


def saturating_rounding_doubling_high_mul(a: npt.ArrayLike, b: npt.ArrayLike, bits: int = 32) -> Int64Array:
    """``a * b / 2**(bits - 1)`` rounded to nearest, ties towards +infinity; int32 values held in int64.

    ``SaturatingRoundingDoublingHighMul`` of gemmlowp's ``fixedpoint.h``, which truncates after adding
    a nudge that depends on the sign; both signs come to the same floor. Only the product of two
    smallest integers saturates.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    rounded: Int64Array = np.minimum((product + (1 << (bits - 2))) >> (bits - 1), (1 << (bits - 1)) - 1)
    return rounded


def rounding_divide_by_pot(value: npt.ArrayLike, exponent: npt.ArrayLike) -> Int64Array:
    """``value / 2**exponent`` rounded to nearest, ties away from zero.

    ``RoundingDivideByPOT`` of gemmlowp's ``fixedpoint.h``; ``exponent`` in [0, 31].
    """
    value = np.asarray(value, np.int64)
    half = (np.int64(1) << np.asarray(exponent, np.int64)) >> 1
    # Below zero one less, so that the floor of a shift takes a tie downwards.
    rounded: Int64Array = (value + half - ((value < 0) & (half > 0))) >> exponent
    return rounded


def multiply_by_quantized_multiplier_double_rounding(
    value: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike
) -> Int64Array:
    """``value * multiplier * 2**(shift - 31)``, rounded twice.

    A doubling high multiply (ties towards +infinity), then a division by a power of two (ties away
    from zero): ``MultiplyByQuantizedMultiplier`` of ``internal/common.cc`` as it is built by default.

    Parameters
    ----------
    value:
        Sums of any shape; of what does not fit in 32 bits the low ones count, as in C.
    multiplier, shift:
        As ``quantize_multiplier`` makes them; they broadcast against ``value``.

    Returns
    -------
    int32 values held in int64, so that adding a zero point cannot overflow.
    """
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    # Sums and shifts are of 32 bits in C: what overflows is lost.
    shifted = (np.asarray(value, np.int64) << left).astype(np.int32)
    product = _told_high_mul(shifted, left, multiplier)
    rounded = rounding_divide_by_pot(product, right)
    tell("/ 2**{right}, ties away from zero", rounded, right=right, unrounded=lambda: product / 2.0**right)
    return rounded


def _told_high_mul(shifted: Array, left: Array, multiplier: npt.ArrayLike) -> Int64Array:
    """The doubling high multiply of sums that were shifted left, both told."""
    product = saturating_rounding_doubling_high_mul(shifted, multiplier)
    tell("* 2**{left}", shifted, left=left)
    tell(
        "* {multiplier} / 2**31, ties up",
        product,
        multiplier=multiplier,
        unrounded=lambda: shifted * (np.asarray(multiplier) / 2.0**31),
    )
    return product


def multiply_by_quantized_multiplier_double_rounding_up(
    value: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike
) -> Int64Array:
    """As ``multiply_by_quantized_multiplier_double_rounding``, ties of the division towards +infinity, too.

    What vector instructions do: ``MultiplyByQuantizedMultiplier4Rows`` of
    ``internal/optimized/neon_tensor_utils.cc``, and ruy.
    """
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = (np.asarray(value, np.int64) << left).astype(np.int32)
    half: Int64Array = (np.int64(1) << right) >> 1
    product = _told_high_mul(shifted, left, multiplier)
    rounded: Int64Array = (product + half) >> right
    tell("/ 2**{right}, ties up", rounded, right=right, unrounded=lambda: product / 2.0**right)
    return rounded


def multiply_by_reduced_multiplier_single_rounding(
    value: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike
) -> Int64Array:
    """``value * multiplier * 2**(shift - 31)``, the multiplier rounded to 16 bits; ties towards +infinity.

    What 64-bit sums are scaled with (int16 activations with int64 biases): the overload for int64 of
    ``MultiplyByQuantizedMultiplier`` of ``internal/common.cc``.

    Parameters
    ----------
    value:
        Sums of at most 48 bits, of any shape.
    multiplier, shift:
        As ``quantize_multiplier`` makes them; they broadcast against ``value``.
    """
    total_shift = 15 - np.asarray(shift, np.int64)
    left, right = np.maximum(-total_shift, 0), np.maximum(total_shift, 0)
    reduced = reduced_multiplier(multiplier)
    product: Int64Array = (np.asarray(value, np.int64) * reduced) << left
    half: Int64Array = (np.int64(1) << right) >> 1
    rounded: Int64Array = (product + half) >> right
    # The result is of 32 bits in C.
    wrapped: Int64Array = rounded.astype(np.int32).astype(np.int64)
    tell("* {multiplier}, the multiplier's upper 16 bits", product, multiplier=reduced)
    tell("/ 2**{right}, ties up", wrapped, right=right, unrounded=lambda: product / 2.0**right)
    return wrapped


def reduced_multiplier(multiplier: npt.ArrayLike) -> Int64Array:
    """A multiplier's upper 16 bits, rounded, at most ``2**15 - 1``."""
    reduced: Int64Array = np.minimum((np.asarray(multiplier, np.int64) + (1 << 15)) >> 16, 0x7FFF)
    return reduced


def leading_sign_bits(value: npt.ArrayLike) -> Int64Array:
    """How often an int32 can be doubled (``CountLeadingSignBits`` of ``internal/common.h``)."""
    value = np.asarray(value, np.int64)
    magnitude = np.where(value < 0, ~value, value).astype(np.float64)
    bits: Int64Array = 31 - np.frexp(magnitude)[1].astype(np.int64)
    return bits


def round_half_away(value: Array | np.floating[Any]) -> Array:
    """Round to an integer, ties away from zero (C's ``round``), in the float type given.

    ``floor(x + 0.5)`` would be wrong for the largest float below one half.
    """
    whole = np.trunc(value)
    rounded: Array = whole + np.copysign(np.abs(value - whole) >= 0.5, value)
    return rounded


def quantize_rows_symmetric(rows: Array) -> tuple[Array, Array]:
    """Float rows as int8 in [-127, 127], each with a scale of its own and zero at 0.

    What operators do to their input when only their weights are quantized ("hybrid"):
    ``PortableSymmetricQuantizeFloats`` of ``internal/reference/portable_tensor_utils.cc``.

    Parameters
    ----------
    rows:
        Floats [rows, length]; computed on in float32.

    Returns
    -------
    values, scales:
        int8 [rows, length] and float32 [rows]; a row of zeros has the scale 1, one with an infinity or NaN
        the scale NaN.
    """
    rows, finite = _finite_rows(rows)
    largest = np.max(np.abs(rows), axis=1, initial=np.float32(0))
    zero = largest == 0
    limit = np.float32(127)
    scales = np.where(zero, np.float32(1), largest / limit)
    inverse = np.where(zero, np.float32(0), limit / np.where(zero, np.float32(1), largest))
    steps = np.clip(round_half_away(rows * inverse[:, None]), -limit, limit)
    return steps.astype(np.int8), np.where(finite, scales, np.float32(np.nan))


def _finite_rows(rows: Array) -> tuple[Array, Array]:
    """Rows in float32, zeros where a value is not finite, and which rows have none such."""
    rows = rows.astype(np.float32, copy=False)
    finite: Array = np.asarray(np.isfinite(rows).all(axis=1))
    return (rows if finite.all() else np.where(finite[:, None], rows, np.float32(0))), finite


def quantize_rows_asymmetric(rows: Array) -> tuple[Array, Array, Int32Array]:
    """Float rows as int8, each with a scale and a zero point that make the most of its range.

    The range is widened to contain 0; the zero point is computed from the end that has less error, in
    float64. ``NeonAsymmetricQuantizeFloats`` of ``internal/optimized/neon_tensor_utils.cc``, which on
    x86 the reference kernels use, too: it takes the range in float32, and rounds before it adds the zero
    point, where ``PortableAsymmetricQuantizeFloats`` does neither.

    Parameters
    ----------
    rows:
        Floats [rows, length]; computed on in float32.

    Returns
    -------
    values, scales, zero_points:
        int8 [rows, length], float32 [rows] and int32 [rows]; a row of zeros has the scale 1, one with an
        infinity or NaN the scale NaN.
    """
    rows, finite = _finite_rows(rows)
    low, high = integer_range(np.int8)
    smallest = np.min(rows, axis=1, initial=np.float32(0))
    largest = np.max(rows, axis=1, initial=np.float32(0))
    zero: Array = np.equal(smallest, largest)
    scale = np.where(zero, 1.0, (largest - smallest).astype(np.float64) / (high - low))
    below, above = smallest / scale, largest / scale
    closer = -low + np.abs(below) < high + np.abs(above)
    nudged = round_half_away(np.clip(np.where(closer, low - below, high - above), low, high))
    zero_points = np.where(zero, 0.0, nudged).astype(np.int32)
    scales = scale.astype(np.float32)
    inverse = (1.0 / scales.astype(np.float64)).astype(np.float32)
    steps = round_half_away(rows * inverse[:, None]) + zero_points[:, None]
    values = np.clip(steps, low, high).astype(np.int8)
    return values, np.where(finite, scales, np.float32(np.nan)), zero_points


def requantize_in_float64(
    accumulator: npt.ArrayLike, scale: npt.ArrayLike, output: Tensor, limits: IntegerRange
) -> Array:
    """Accumulators to values of a quantized tensor: scale in float64, round half away from zero, add its
    zero point, clamp.

    What the reference kernels of FULLY_CONNECTED do instead of fixed point
    (``reference/integer_ops/fully_connected.h``).
    """
    real: Array = np.asarray(accumulator, np.float64) * np.asarray(scale, np.float64)
    steps = round_half_away(real)
    tell("* {scale}, ties away from zero", steps, scale=scale, unrounded=lambda: real)
    return _codes(steps, output, limits)


def _codes(steps: Array, output: Tensor, limits: IntegerRange) -> Array:
    """Steps from a real zero as values of a quantized tensor: its zero point added, clamped."""
    assert output.quantization is not None
    zero_point = output.quantization.zero_point
    moved = steps + zero_point
    tell("+ zero point {zero_point}", moved, zero_point=zero_point)
    clamped: Array = np.clip(moved, *limits)
    tell("clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
    return clamped.astype(output.dtype)


def requantize(
    accumulator: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    output: Tensor,
    limits: IntegerRange,
) -> Array:
    """Accumulators to values of a quantized tensor: scale (double rounding), add its zero point, clamp."""
    scaled = multiply_by_quantized_multiplier_double_rounding(accumulator, multiplier, shift)
    return _codes(scaled, output, limits)


def requantize_wide(
    accumulator: npt.ArrayLike,
    multiplier: npt.ArrayLike,
    shift: npt.ArrayLike,
    output: Tensor,
    limits: IntegerRange,
) -> Array:
    """As ``requantize`` for 64-bit accumulators: a multiplier reduced to 16 bits, single rounding."""
    scaled = multiply_by_reduced_multiplier_single_rounding(accumulator, multiplier, shift)
    return _codes(scaled, output, limits)


def saturate(values: Array, dtype: npt.DTypeLike) -> Array:
    """Whole numbers as an integer type, those past its ends as the nearest end."""
    limited: Array = np.clip(values, *integer_range(dtype)).astype(dtype)
    return limited


def integer_range(dtype: npt.DTypeLike) -> IntegerRange:
    """The smallest and largest value of an integer type."""
    info: Any = np.iinfo(np.dtype(dtype))
    return int(info.min), int(info.max)


_ACTIVATION_RANGES: dict[Activation, tuple[float | None, float | None]] = {
    Activation.NONE: (None, None),
    Activation.RELU: (0.0, None),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.RELU6: (0.0, 6.0),
}
FUSED_ACTIVATIONS = frozenset(_ACTIVATION_RANGES)
"""The activations that are a clamp; the schema's others are fused by no TFLite kernel."""


def activation_range(activation: Activation, dtype: npt.DTypeLike) -> tuple[Any, Any]:
    """The clamp that a fused activation stands for, on numbers that are not quantized.

    Open ends are the type's own limits, for float those of float32 and float16: TFLite turns an infinite
    sum into the largest float (``CalculateActivationRange`` of ``kernels/kernel_util.h``).
    """
    low, high = _ACTIVATION_RANGES[activation]
    if np.issubdtype(dtype, np.integer):
        smallest, largest = integer_range(dtype)
        return smallest if low is None else max(int(low), smallest), largest if high is None else int(high)
    limit = float(np.finfo(np.float16 if dtype == np.float16 else np.float32).max)
    return -limit if low is None else low, limit if high is None else high


def quantized_activation_range(activation: Activation, output: Tensor) -> IntegerRange:
    """The clamp that a fused activation stands for, in the units of a quantized output.

    ``CalculateActivationRangeQuantized`` of ``kernels/kernel_util.cc``: the bound is divided in
    float32, rounded half away from zero, and limited to the type's range.
    """
    assert output.quantization is not None
    smallest, largest = integer_range(output.dtype)
    scale, zero_point = output.quantization.scale, output.quantization.zero_point

    def quantized(bound: float | None, otherwise: int) -> int:
        if bound is None:
            return otherwise
        with np.errstate(over="ignore", invalid="ignore"):
            steps = round_half_away(np.float32(bound) / scale)
        # A scale next to zero gives steps that no integer holds.
        steps = np.clip(steps, smallest - largest, largest - smallest)
        return min(max(zero_point + int(steps), smallest), largest)

    low, high = _ACTIVATION_RANGES[activation]
    return quantized(low, smallest), quantized(high, largest)


def output_range(activation: Activation, output: Tensor) -> tuple[Any, Any]:
    """The clamp of a fused activation for this output: in its own units if it is quantized.

    Integers of 32 bits and more are not, even where the file gives them a scale (``EvalAdd`` of
    ``kernels/add.cc``).
    """
    if output.quantization is not None and is_quantized(output):
        return quantized_activation_range(activation, output)
    return activation_range(activation, output.dtype)
