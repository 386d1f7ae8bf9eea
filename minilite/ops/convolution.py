"""CONV_2D, and what DEPTHWISE_CONV_2D (``depthwise_convolution``) shares with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Activation, Array, Node, Padding, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    Types,
    check_activation,
    check_arity,
    check_bias,
    check_positive,
    check_quantized,
    check_rank,
    check_types,
)
from minilite.ops.convolution_parameters import (
    convolution_geometry,
    has_wide_sums,
    quantized_multipliers,
    real_operand,
    weight_scales,
    zero_points,
)
from minilite.ops.convolution_steps import (
    has_constant_weights,
    has_finite_weights,
    kernels_scale,
    lower_float,
    lower_hybrid,
    lower_quantized,
    takes_bias,
)
from minilite.ops.fields import Terms, field_of_window, nothing, products, some
from minilite.ops.hybrid import is_hybrid
from minilite.quantization import (
    is_quantized,
    output_range,
    quantize_rows_asymmetric,
    quantize_rows_symmetric,
    requantize,
    requantize_wide,
)
from minilite.shapes import Window
from minilite.telling import tell

_F32, _U8, _I8, _I4 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT4
_I16, _I32, _I64 = TensorType.INT16, TensorType.INT32, TensorType.INT64

TYPES = (
    (_F32, _F32, _F32, _F32),
    (_U8, _U8, _I32, _U8),
    (_I8, _I8, _I32, _I8),
    (_I8, _I4, _I32, _I8),
    (_I16, _I8, _I64, _I16),
    (_I16, _I4, _I64, _I16),
    # Hybrid: weights of few bits, the picture is quantized during the run.
    (_F32, _I8, _F32, _F32),
    (_F32, _I4, _F32, _F32),
)
"""What both convolutions take: picture, filter, bias; output."""


@dataclass(frozen=True)
class Conv2DOptions:
    """Schema table ``Conv2DOptions``."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    fused_activation_function: Activation = Activation.NONE
    dilation_w_factor: int = 1
    dilation_h_factor: int = 1
    quantized_bias_type: TensorType = TensorType.FLOAT32


class Convolution(Op):
    """What both convolutions share: checks, bias, activation, requantization."""

    types: tuple[Types, ...] = TYPES
    channel_axis: int
    """The axis of the filter that output channels run along."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 3))
        check_types(node, self.types)
        check_rank(node, node.input(0), 4, "batch, height, width, channels")
        check_activation(node)
        check_positive(node, "stride_w", "stride_h", "dilation_w_factor", "dilation_h_factor")
        self._check_filter(node)
        geometry = convolution_geometry(node)
        check_bias(node, node.optional_input(2), geometry.out_c, "output channel")
        if node.input(1).type is not _F32:
            self._check_quantization(node)
        if min(geometry.out_h, geometry.out_w) < 1:
            refuse(
                node,
                f"the window covers {(geometry.kernel_h - 1) * geometry.dilation_h + 1} x "
                f"{(geometry.kernel_w - 1) * geometry.dilation_w + 1} pixels, more than the "
                f"{geometry.in_h} x {geometry.in_w} of {node.input(0)}: no output is left",
                rule="empty-output",
            )
        return (geometry.output_shape,)

    def _check_filter(self, node: Node) -> None:
        raise NotImplementedError

    def _check_quantization(self, node: Node) -> None:
        x, w, y = node.input(0), node.input(1), node.output
        if not is_hybrid(node):
            check_quantized(node, x)
            check_quantized(node, y)
        per_channel = None if x.type is _U8 else (self.channel_axis, w.shape[self.channel_axis])
        signed = x.type is not _U8
        check_quantized(node, w, channels=per_channel, zero_scales=True, negative_scales=signed)
        for tensor in (x, y):
            if tensor.type is _I16 and tensor.quantization is not None and tensor.quantization.zero_point:
                refuse(
                    node,
                    f"has the zero point {tensor.quantization.zero_point}, but int16 pictures must have 0",
                    rule="quantization-zero-point",
                    tensor=tensor,
                )

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, w, bias = (*inputs, None)[:3]
        assert x is not None
        assert w is not None
        if is_hybrid(node):
            return (self._evaluate_hybrid(node, x, w, bias),)
        if is_quantized(node.input(0)):
            return (self._evaluate_quantized(node, x, w, bias),)
        sums = self._accumulate(x, w, convolution_geometry(node))
        return (add_and_clamp(node, sums, bias),)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        (pixels,) = wanted
        geometry, field = convolution_geometry(node), nothing(inputs)
        field[0] = field_of_window(geometry, pixels)
        filters = field[1]
        assert filters is not None
        for tap in geometry.taps():
            used = some(pixels[tap.outputs], 0, 1, 2)
            filters[:, tap.y, tap.x] = used[:, None] if self.channel_axis == 0 else used
        for position in range(2, len(inputs)):
            field[position] = None if inputs[position] is None else some(pixels, 0, 1, 2)
        return tuple(field)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x, w = inputs[:2]
        assert x is not None
        assert w is not None
        if is_hybrid(node):
            centred, weights, _ = self._hybrid_operands(node, x, w)
            return products("x * w, both as the integers they are quantized to", field, centred, weights)
        if is_quantized(node.input(0)):
            zero_x, zero_w = zero_points(node)
            meaning = f"(x - {zero_x}) * (w - {zero_w})"
            return products(meaning, field, *centred_operands(node, x, w))
        return products("x * w", field, x, w)

    def real_input(self, node: Node, position: int) -> Array | None:
        return real_operand(node, position, self.channel_axis)

    def remarks(self, node: Node) -> tuple[str, ...]:
        return (RANGE_OF_PICTURE,) if is_hybrid(node) else ()

    def _evaluate_quantized(self, node: Node, x: Array, w: Array, bias: Array | None) -> Array:
        sums = self._accumulate(*centred_operands(node, x, w), convolution_geometry(node)).astype(np.int64)
        tell("sum of products", sums)
        if bias is not None:
            sums += bias
            tell("+ bias {bias}", sums, bias=bias)
        scale = requantize_wide if has_wide_sums(node) else requantize
        limits = output_range(node.options.fused_activation_function, node.output)
        return scale(sums, *quantized_multipliers(node), node.output, limits)

    def _evaluate_hybrid(self, node: Node, x: Array, w: Array, bias: Array | None) -> Array:
        centred, weights, scales = self._hybrid_operands(node, x, w)
        sums = self._accumulate(centred, weights, convolution_geometry(node)).astype(np.float32)
        tell("sum of products of integers", sums)
        scaled = self._scale_hybrid(node, sums, scales)
        tell("* scale of the input {of_input} * scale of the weights {of_weights}", scaled,
             of_input=scales, of_weights=weight_scales(node))  # fmt: skip
        added = scaled if bias is None else scaled + bias
        if bias is not None:
            tell("+ bias {bias}", added, bias=bias)
        limits = output_range(node.options.fused_activation_function, node.output)
        clamped: Array = np.clip(added, *limits)
        tell("clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
        return clamped

    def _hybrid_operands(self, node: Node, x: Array, w: Array) -> tuple[Array, Array, Array]:
        """Picture and weights as the integers that are multiplied, float64; the scale of each picture."""
        rows = x.reshape(len(x), x[:1].size)
        if self.quantizes_symmetrically(node):
            values, scales = quantize_rows_symmetric(rows)
            centred = values.astype(np.float64)
        else:
            values, scales, zeros = quantize_rows_asymmetric(rows)
            centred = values.astype(np.float64) - zeros[:, None]
        return centred.reshape(x.shape), w.view(np.int8).astype(np.float64), scales.reshape(-1, 1, 1, 1)

    def quantizes_symmetrically(self, node: Node) -> bool:
        """Whether a hybrid node quantizes its picture without a zero point."""
        raise NotImplementedError

    def _scale_hybrid(self, node: Node, sums: Array, scales: Array) -> Array:
        """Sums times their weights' scale and their picture's, multiplied in TFLite's order."""
        scaled: Array = sums * (weight_scales(node) * scales)
        return scaled

    def _accumulate(self, x: Array, w: Array, geometry: Window) -> Array:
        """Sums of products [batch, out_h, out_w, out_c], in the type of ``x``."""
        raise NotImplementedError

    def multiply_adds(self, node: Node) -> int:
        geometry = convolution_geometry(node)
        return node.output.size * geometry.kernel_h * geometry.kernel_w * (geometry.in_c // geometry.groups)

    def tolerance(self, node: Node) -> Tolerance:
        if node.input(1).type is not _F32:
            return EXACT
        geometry = convolution_geometry(node)
        length = geometry.kernel_h * geometry.kernel_w * (geometry.in_c // geometry.groups)
        return rounding(length, 0, 1, addend=2)


RANGE_OF_PICTURE = (
    "the input is quantized during the run, in the range of all its elements: those outside the receptive "
    "field can move the result by a step, too"
)


def centred_operands(node: Node, x: Array, w: Array) -> tuple[Array, Array]:
    """Picture and weights of a quantized convolution less their zero points, float64.

    Products of a 16-bit and an 8-bit difference stay below 2**23: float64 adds 2**30 of them without
    rounding, more than a filter can hold, and its matrix products are many times faster than integers'.
    """
    zero_x, zero_w = zero_points(node)
    return x.astype(np.float64) - zero_x, w.astype(np.float64) - zero_w


def add_and_clamp(node: Node, sums: Array, bias: Array | None) -> Array:
    """Float sums with a bias and the fused activation."""
    tell("sum of products", sums)
    added = sums if bias is None else sums + bias
    if bias is not None:
        tell("+ bias {bias}", added, bias=bias)
    limits = output_range(node.options.fused_activation_function, node.output)
    clamped: Array = np.clip(added, *limits)
    tell("clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
    return clamped


@operator("CONV_2D")
class Conv2D(Convolution):
    """Convolution of an NHWC picture with OHWI filters (TFLite's ``kernels/conv.cc``).

    Inputs: picture [batch, height, width, channels]; filter [out channels, height, width, channels of
    a group]; bias [out channels], optional. Grouped where the filter has fewer channels than the
    picture. Types float32; uint8 (``reference/conv.h``); int8 and int16 with weights of 8 or 4 bits, per
    tensor or per channel (``reference/integer_ops/conv.h``); hybrid: float32 with weights of 8 or 4 bits
    (``HybridConv``, ``HybridConvPerChannel``), whose bits uint8 weights are taken for int8.
    """

    options = Conv2DOptions
    int8 = Int8(filter=1, bias=2, version=3)
    channel_axis = 0
    types = (*TYPES, (_I16, _I8, _I32, _I16), (_I16, _I4, _I32, _I16), (_F32, _U8, _F32, _F32))

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        shapes = super().output_shapes(node)
        bias, promised = node.optional_input(2), node.options.quantized_bias_type
        if node.input(0).type is _I16 and bias is not None and promised not in (_F32, bias.type):
            refuse(
                node,
                f"has another type than the quantized_bias_type {promised.name} of the options",
                rule="bias-type",
                tensor=bias,
            )
        return shapes

    def quantizes_symmetrically(self, node: Node) -> bool:
        scales = weight_scales(node)
        return convolution_geometry(node).groups == 1 and bool(np.all(scales == scales[0]))

    def _scale_hybrid(self, node: Node, sums: Array, scales: Array) -> Array:
        if self.quantizes_symmetrically(node):
            return super()._scale_hybrid(node, sums, scales)
        scaled: Array = (sums * weight_scales(node)) * scales
        return scaled

    def _check_filter(self, node: Node) -> None:
        x, w = node.input(0), node.input(1)
        check_rank(node, w, 4, "out channels, height, width, in channels")
        if 0 in w.shape:
            refuse(node, "is empty", rule="empty-filter", tensor=w)
        channels, group_channels, filters = x.shape[3], w.shape[3], w.shape[0]
        if channels == 0 or channels % group_channels:
            refuse(
                node,
                f"has {group_channels} channels, which must divide the {channels} of {x}",
                rule="filter-channels",
                tensor=w,
            )
        groups = channels // group_channels
        if filters % groups:
            refuse(
                node,
                f"has {filters} filters, which must be a multiple of the {groups} groups",
                rule="filter-groups",
                tensor=w,
            )

    def _accumulate(self, x: Array, w: Array, geometry: Window) -> Array:
        g = geometry
        # [group, pixel, channel] x [group, channel, filter], summed over the taps.
        filters = w.reshape(g.groups, g.multiplier, g.kernel_h, g.kernel_w, -1).transpose(2, 3, 0, 4, 1)
        sums = np.zeros((g.groups, g.batch, g.out_h, g.out_w, g.multiplier), x.dtype)
        for tap in g.taps():
            patch = x[tap.inputs]
            pixels = patch.reshape(-1, g.groups, g.in_c // g.groups).transpose(1, 0, 2)
            products = pixels @ filters[tap.y, tap.x]
            sums[(slice(None), *tap.outputs)] += products.reshape(g.groups, *patch.shape[:3], g.multiplier)
        return np.moveaxis(sums, 0, 3).reshape(g.output_shape)

    def writes_parts(self, node: Node) -> bool:
        floats = not is_quantized(node.input(0)) and not is_hybrid(node)
        return floats and has_finite_weights(node) and takes_bias(node, convolution_geometry(node))

    def lower(self, node: Node, lowering: Lowering) -> bool:
        geometry = convolution_geometry(node)
        if not is_quantized(node.input(0)) and not is_hybrid(node):
            if not self.writes_parts(node):
                return False
            lower_float(node, lowering, geometry)
            return True
        if not has_constant_weights(node):
            return False
        if is_hybrid(node):
            symmetric = self.quantizes_symmetrically(node)
            lower_hybrid(node, lowering, geometry, symmetric=symmetric, together=symmetric)
        elif kernels_scale(node, self.channel_axis):
            lower_quantized(node, lowering, geometry)
        else:
            return False
        return True
