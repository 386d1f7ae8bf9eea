"""Operators on quantized values as tables: how TFLite makes them, and how kernels use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Node, Tensor
from minilite.ops.base import Lowering, Op
from minilite.ops.lowering import grain
from minilite.quantization import integer_range, round_half_away, saturate
from minilite.telling import tell

FloatFunction = Callable[[Array], Array]


def apply(function: FloatFunction, values: Array, source: Tensor, target: Tensor) -> Array:
    """A function of real numbers on quantized ones, rounded as TFLite's ``LUTPopulate`` does.

    int8 and uint8: ``round(function(scale * (q - zero)) * (1 / target scale)) + zero``, in float32.
    int16: straight lines between 513 points of the function (``apply_interpolated``).
    """
    x, y = source.quantization, target.quantization
    assert x is not None
    assert y is not None
    if values.dtype == np.int16:
        table = interpolation_table(
            function, (x.scale, x.zero_point), (y.scale, y.zero_point), dtype=np.float32
        )
        return apply_interpolated(table, values)
    low, high = integer_range(target.dtype)
    real = x.scale * (values.astype(np.int32) - x.zero_point).astype(np.float32)
    tell("(q - {zero_point}) * scale {scale}: the real number", real, zero_point=x.zero_point, scale=x.scale)
    with np.errstate(all="ignore"):
        image = function(real)
        exact = image * (np.float32(1) / y.scale)
        steps = round_half_away(exact) + np.float32(y.zero_point)
    tell("the function of it", image)
    tell(
        "/ scale {scale}, ties away from zero, + zero point {zero_point}",
        steps,
        scale=y.scale,
        zero_point=y.zero_point,
        unrounded=lambda: exact,
    )
    # A value that no 32-bit integer holds is undefined in C.
    codes = np.clip(np.nan_to_num(steps, nan=low), low, high).astype(target.dtype)
    tell("clamp to {low} ... {high}", codes, low=low, high=high)
    return codes


def in_float64(function: FloatFunction) -> FloatFunction:
    """The function computed in float64 and rounded once: what tables are made of.

    C's float32 functions give the same but for a few arguments; NumPy's lie some units in the last place
    away.
    """
    return lambda x: function(x.astype(np.float64)).astype(x.dtype)


def interpolation_table(
    function: FloatFunction,
    source: tuple[float | np.floating[Any], int],
    target: tuple[float | np.floating[Any], int],
    *,
    dtype: npt.DTypeLike,
) -> npt.NDArray[np.int16]:
    """A function at 513 points of int16's range (``LUTPopulateInt16`` of ``internal/common.h``).

    Each point is moved by half the error that a straight line to the next has in the middle.

    Parameters
    ----------
    source, target:
        Scale and zero point of the function's argument and value.
    dtype:
        The floating-point type to compute in.
    """
    real: Any = np.dtype(dtype).type
    low, high = integer_range(np.int16)
    scale, zero = real(source[0]), source[1]
    first, last = scale * real(low - zero), scale * real(high - zero)
    step = (last - first) / real(512)
    inverse = real(high - low + 1) / (
        real(target[0]) * real(high - target[1]) - real(target[0]) * real(low - target[1])
    )
    starts = first + np.arange(513).astype(real) * step
    with np.errstate(all="ignore"):
        values = function(starts).astype(real)
        samples = round_half_away(values * inverse)
        middles = round_half_away(function(starts[:-1] + step / real(2)).astype(real) * inverse)
        lines = round_half_away((values[1:] * inverse + samples[:-1]) / real(2))
        biases = round_half_away((lines - middles) / real(2))
        end = round_half_away(function(np.array([last])).astype(real) * inverse)
        points = samples[:-1] - biases
        # What overflows has no error to speak of; in C infinity less infinity becomes anything.
        points = np.where(np.isnan(points), samples[:-1], points)
    table: npt.NDArray[np.int16] = saturate(np.append(points, end), np.int16)
    return table


def apply_interpolated(table: npt.NDArray[np.int16], values: Array) -> Array:
    """int16 values through a table of 513 points (``LUTLookup`` of ``internal/common.h``)."""
    wide = values.astype(np.int32)
    place, offset = 256 + (wide >> 7), wide & 0x7F
    points = table.astype(np.int32)
    # A slope is of 16 bits in C.
    slope = (points[place + 1] - points[place]).astype(np.int16).astype(np.int32)
    result: Array = (points[place] + ((slope * offset + 64) >> 7)).astype(np.int16)
    return result


def lower_as_table(op: Op, node: Node, lowering: Lowering) -> bool:
    """Write an operator that maps each 8- or 16-bit integer by itself as a lookup of all its results."""
    from minilite_kernels.lookup import lookup, lookup_bytes

    x, y = node.input(0), node.output
    bits = x.dtype.itemsize * 8
    if x.dtype.kind not in "iu" or bits > 16:
        return False
    every = np.arange(1 << bits, dtype=np.uint32).astype(f"u{bits // 8}").view(x.dtype)
    with np.errstate(all="ignore"):
        (table,) = op.evaluate(node, (every,))
    shared: dict[str, Any] = {"x": x, "table": np.ascontiguousarray(table.astype(y.dtype)), "out": y}
    if x.dtype.itemsize == y.dtype.itemsize == 1:
        lowering.step(lookup_bytes, node, extent=y.size, grain=grain(y.size, 8, 64), **shared)
    else:
        mask = (1 << bits) - 1
        lowering.step(lookup, node, extent=y.size, grain=grain(y.size, 16), mask=mask, **shared)
    return True
