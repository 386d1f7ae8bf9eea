"""Between real and quantized values: QUANTIZE, DEQUANTIZE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Lowering, Op, operator
from minilite.ops.checks import check_arity, check_quantized, check_types
from minilite.ops.lowering import grain, shifts_fit
from minilite.quantization import (
    integer_range,
    is_quantized,
    quantize_multiplier,
    requantize,
    round_half_away,
)

_BYTES = (TensorType.UINT8, TensorType.INT8)


def requantize_multiplier(node: Node) -> tuple[int, int]:
    """Multiplier and shift of a QUANTIZE from integers, from scales in float64."""
    x, y = node.input(0).quantization, node.output.quantization
    assert x is not None
    assert y is not None
    multiplier, shift = quantize_multiplier(np.float64(x.scale) / np.float64(y.scale))
    return int(multiplier), int(shift)


def _along(values: Array, tensor: Tensor) -> Array:
    """Scales or zero points, shaped to broadcast against the tensor."""
    assert tensor.quantization is not None
    shape = [1] * len(tensor.shape)
    if tensor.quantization.per_channel:
        shape[tensor.quantization.dimension] = -1
    return values.reshape(shape)


def _channels(tensor: Tensor, shape: Shape) -> tuple[int, int] | None:
    """The axis that the tensor's own parameters run along and its size, if ``shape`` has such an axis."""
    q = tensor.quantization
    return (q.dimension, shape[q.dimension]) if q is not None and 0 <= q.dimension < len(shape) else None


@operator("QUANTIZE")
class Quantize(Op):
    """Real values to quantized ones, or quantized values to another scale and zero point.

    From float32, per tensor or per channel: divided by the scale in float32, rounded half away from
    zero, clamped (TFLite's ``reference/quantize.h``). A NaN becomes the smallest value, and what no
    32-bit integer holds is clamped as well: both are undefined in TFLite. From integers, per tensor:
    in fixed point with double rounding (``reference/requantize.h``).
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, [(x, y) for x in (TensorType.FLOAT32, *_BYTES) for y in _BYTES])
        x, y = node.input(0), node.output
        if is_quantized(x):
            check_quantized(node, x)
            check_quantized(node, y)
        else:
            check_quantized(node, y, channels=_channels(y, x.shape))
        return (x.shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        output = node.output
        assert x is not None
        assert output.quantization is not None
        limits = integer_range(output.dtype)
        if is_quantized(node.input(0)):
            given = node.input(0).quantization
            assert given is not None
            centred = x.astype(np.int64) - given.zero_point
            return (requantize(centred, *requantize_multiplier(node), output, limits),)
        steps = round_half_away(x / _along(output.quantization.scales, output))
        values = np.clip(steps + _along(output.quantization.zero_points, output), *limits)
        return (np.nan_to_num(values, nan=limits[0]).astype(output.dtype),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import requantize

        x, y = node.input(0), node.output
        assert y.quantization is not None
        if y.quantization.per_channel:
            return False
        low, high = integer_range(y.dtype)
        step: dict[str, Any] = {
            "extent": y.size,
            "grain": grain(y.size, 32),
            "x": x,
            "out": y,
            "low": low,
            "high": high,
        }
        zero = y.quantization.zero_point
        if not is_quantized(x):
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
    """Quantized or float16 values to float32.

    ``scale * (value - zero point)``, the product in float64, per tensor or per channel (TFLite's
    ``reference/dequantize.h``, ``kernels/dequantize.h``).
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, [(x, TensorType.FLOAT32) for x in (*_BYTES, TensorType.INT16, TensorType.FLOAT16)])
        x = node.input(0)
        if is_quantized(x):
            check_quantized(node, x, channels=_channels(x, x.shape))
        return (x.shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        tensor = node.input(0)
        assert x is not None
        if not is_quantized(tensor):
            return (x.astype(np.float32),)
        assert tensor.quantization is not None
        scales = tensor.quantization.scales.astype(np.float64)
        # float64 products of these are exact; whoever stores them rounds once, to the type kept.
        values = x.astype(np.int64) - _along(tensor.quantization.zero_points, tensor)
        return (_along(scales, tensor) * values,)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.requantize import dequantize

        x, y = node.input(0), node.output
        if not is_quantized(x) or x.quantization is None or x.quantization.per_channel:
            return False
        scale, zero = float(x.quantization.scale), x.quantization.zero_point
        lowering.step(
            dequantize, node, extent=y.size, grain=grain(y.size, 16), x=x, out=y, scale=scale, zero=zero
        )
        return True
