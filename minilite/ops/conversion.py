"""Between real and quantized values: QUANTIZE, DEQUANTIZE, FAKE_QUANT, DENSIFY."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Lowering, Mask, Op, operator, refuse
from minilite.ops.checks import check_arity, check_quantized, check_types, check_zero_point
from minilite.ops.element_map import ElementMap
from minilite.ops.fields import field_of_broadcast
from minilite.ops.lookup import lower_as_table
from minilite.ops.lowering import grain, shifts_fit
from minilite.quantization import (
    along_channels,
    integer_range,
    quantize_multiplier,
    requantize,
    round_half_away,
)
from minilite.sparsity import densify
from minilite.telling import tell

_F32, _F16, _U8, _I8, _I4 = (
    TensorType.FLOAT32,
    TensorType.FLOAT16,
    TensorType.UINT8,
    TensorType.INT8,
    TensorType.INT4,
)
_I16, _I32 = TensorType.INT16, TensorType.INT32

_REQUANTIZE = (
    *((x, y) for x in (_U8, _I8) for y in (_U8, _I8)),
    *((_I16, y) for y in (_I8, _I16, _I32)),
    *((_I32, y) for y in (_I8, _I16)),
)
"""From integers to integers."""


def _value_range(tensor: Tensor) -> tuple[int, int]:
    return (-8, 7) if tensor.type is _I4 else integer_range(tensor.dtype)


def requantize_multiplier(node: Node) -> tuple[int, int]:
    """Multiplier and shift of a QUANTIZE from integers, from scales in float64."""
    x, y = node.input(0).quantization, node.output.quantization
    assert x is not None
    assert y is not None
    multiplier, shift = quantize_multiplier(np.float64(x.scale) / np.float64(y.scale))
    return int(multiplier), int(shift)


def _channels(tensor: Tensor, shape: Shape) -> tuple[int, int] | None:
    """The axis that the tensor's own parameters run along and its size, if ``shape`` has such an axis."""
    q = tensor.quantization
    return (q.dimension, shape[q.dimension]) if q is not None and 0 <= q.dimension < len(shape) else None


@operator("QUANTIZE")
class Quantize(Op):
    """Real values to quantized ones, or quantized values to another scale and zero point.

    From float32 to uint8, int8, int16 and int4, per tensor or per channel: divided by the scale in
    float32, rounded half away from zero, clamped (TFLite's ``reference/quantize.h``). A NaN becomes the
    smallest value. From integers, per tensor: in fixed point with double rounding
    (``reference/requantize.h``).
    """

    converts = True

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, (*((_F32, y) for y in (_U8, _I8, _I16, _I4)), *_REQUANTIZE))
        x, y = node.input(0), node.output
        if x.type is _F32:
            check_quantized(node, y, channels=_channels(y, x.shape))
            return (x.shape,)
        for tensor in (x, y):
            check_quantized(node, tensor)
            if x.type is y.type is _I16:
                check_zero_point(node, tensor, 0)
        return (x.shape,)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        output = node.output
        assert x is not None
        assert output.quantization is not None
        limits = _value_range(output)
        if node.input(0).type is not _F32:
            given = node.input(0).quantization
            assert given is not None
            centred = x.astype(np.int64) - given.zero_point
            tell("- zero point {zero_point}", centred, zero_point=given.zero_point)
            return (requantize(centred, *requantize_multiplier(node), output, limits),)
        scales = along_channels(output.quantization.scales, output)
        zero_points = along_channels(output.quantization.zero_points, output)
        real = x / scales
        steps = round_half_away(real)
        tell("/ scale {scale}, ties away from zero", steps, scale=scales, unrounded=lambda: real)
        moved = steps + zero_points
        tell("+ zero point {zero_point}", moved, zero_point=zero_points)
        values = np.clip(moved, *limits)
        tell("clamp to {low} ... {high}", values, low=limits[0], high=limits[1])
        return (np.nan_to_num(values, nan=limits[0]).astype(output.dtype),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import requantize

        x, y = node.input(0), node.output
        assert y.quantization is not None
        if y.quantization.per_channel:
            return False
        if x.dtype.itemsize == 1:
            return lower_as_table(self, node, lowering)
        low, high = _value_range(y)
        step: dict[str, Any] = {
            "extent": y.size,
            "grain": grain(y.size, 32),
            "x": x,
            "out": y,
            "low": low,
            "high": high,
        }
        zero = y.quantization.zero_point
        if x.type is _F32:
            scale = float(y.quantization.scale)
            lowering.step(requantize.quantize, node, scale=scale, zero=zero, **step)
            return True
        assert x.quantization is not None
        multiplier, shift = requantize_multiplier(node)
        if not shifts_fit(shift):
            return False
        lowering.step(
            requantize.requantize,
            node,
            in_zero=x.quantization.zero_point,
            multiplier=multiplier,
            shift=shift,
            out_zero=zero,
            **step,
        )
        return True


@operator("DEQUANTIZE")
class Dequantize(Op):
    """uint8, int8, int16, int4 or float16 to float32.

    ``scale * (value - zero point)``, the product in float64, per tensor or per channel (TFLite's
    ``reference/dequantize.h``, ``kernels/dequantize.h``).
    """

    converts = True

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, [(x, _F32) for x in (_U8, _I8, _I16, _I4, _F16)])
        x = node.input(0)
        if x.type is not _F16:
            check_quantized(node, x, channels=_channels(x, x.shape))
        return (x.shape,)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        tensor = node.input(0)
        assert x is not None
        if tensor.type is _F16:
            return (x.astype(np.float32),)
        assert tensor.quantization is not None
        scales = tensor.quantization.scales.astype(np.float64)
        # float64 products of these are exact; whoever stores them rounds once, to the type kept.
        zero_points = along_channels(tensor.quantization.zero_points, tensor)
        values = x.astype(np.int64) - zero_points
        tell("- zero point {zero_point}", values, zero_point=zero_points)
        real = along_channels(scales, tensor) * values
        tell("* scale {scale}", real, scale=along_channels(scales, tensor))
        return (real,)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.requantize import dequantize

        x, y = node.input(0), node.output
        if x.type is _F16 or x.quantization is None or x.quantization.per_channel:
            return False
        scale, zero = float(x.quantization.scale), x.quantization.zero_point
        lowering.step(
            dequantize, node, extent=y.size, grain=grain(y.size, 16), x=x, out=y, scale=scale, zero=zero
        )
        return True


@dataclass(frozen=True)
class FakeQuantOptions:
    """Schema table ``FakeQuantOptions``."""

    min: float = 0.0
    max: float = 0.0
    num_bits: int = 0
    narrow_range: bool = False


@operator("FAKE_QUANT")
class FakeQuant(ElementMap):
    """float32 as if it were quantized to ``num_bits`` between ``min`` and ``max``.

    The range is moved so that zero is one of its steps (TFLite's ``reference/fake_quant.h``,
    ``NudgeQuantizationRange`` of ``internal/quantization_util.cc``).
    """

    options = FakeQuantOptions
    types = (_F32,)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        o = node.options
        if o.narrow_range:
            refuse(node, "has narrow_range, which TFLite refuses for activations", rule="narrow-range")
        if not 1 <= o.num_bits <= 16:
            refuse(node, f"num_bits is {o.num_bits}, but must be in [1, 16]", rule="num-bits")
        if not (o.min <= 0 <= o.max and o.min < o.max):
            refuse(node, f"the range {o.min} to {o.max} does not contain 0", rule="range")
        return super().output_shapes(node)

    def map_numbers(self, node: Node, x: Array) -> Array:
        number: Any = np.float32
        low, high = number(node.options.min), number(node.options.max)
        steps = number((1 << node.options.num_bits) - 1)
        scale = (high - low) / steps
        zero = round_half_away(np.clip(-low / scale, 0, steps))
        low, high = -zero * scale, (steps - zero) * scale
        # NaN becomes the smallest value, as by C's maximum.
        clamped = np.minimum(np.fmax(x, low), high) - low
        moved: Array = round_half_away(clamped * (number(1) / scale)) * scale + low
        return moved


@operator("DENSIFY")
class Densify(Op):
    """A sparse constant as a dense tensor (TFLite's ``kernels/densify.cc``)."""

    reads_sparse = True

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, [(t, t) for t in (_F32, _F16, _I8)])
        x = node.input(0)
        if x.data is None or x.sparsity is None:
            refuse(node, "is not a constant that is stored sparse", rule="sparse", tensor=x)
        return (x.shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        return (densify(node.input(0), x),)
