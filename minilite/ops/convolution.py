"""CONV_2D, and what DEPTHWISE_CONV_2D (``depthwise_convolution``) shares with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Activation, Array, Node, Padding, Shape, TensorType
from minilite.ops.base import EXACT, Lowering, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    check_activation,
    check_arity,
    check_positive,
    check_quantized,
    check_rank,
    check_types,
)
from minilite.ops.lowering import grain, kernel_window, shifts_fit
from minilite.quantization import Int32Array, is_quantized, output_range, quantize_multiplier, requantize
from minilite.shapes import Window, padded_size

_TYPES = (
    (TensorType.FLOAT32,) * 4,
    (TensorType.UINT8, TensorType.UINT8, TensorType.INT32, TensorType.UINT8),
    (TensorType.INT8, TensorType.INT8, TensorType.INT32, TensorType.INT8),
)


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


def convolution_geometry(node: Node) -> Window:
    """Sizes, strides and padding of either convolution, from an accepted node."""
    batch, in_h, in_w, in_c = node.input(0).shape
    filters, kernel_h, kernel_w, last = node.input(1).shape
    depthwise = node.operator.name == "DEPTHWISE_CONV_2D"
    options = node.options
    out_h, pad_top = padded_size(options.padding, in_h, kernel_h, options.stride_h, options.dilation_h_factor)
    out_w, pad_left = padded_size(
        options.padding, in_w, kernel_w, options.stride_w, options.dilation_w_factor
    )
    return Window(
        batch=batch,
        in_h=in_h,
        in_w=in_w,
        in_c=in_c,
        out_h=out_h,
        out_w=out_w,
        out_c=last if depthwise else filters,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=options.stride_h,
        stride_w=options.stride_w,
        dilation_h=options.dilation_h_factor,
        dilation_w=options.dilation_w_factor,
        pad_top=pad_top,
        pad_left=pad_left,
        groups=in_c if depthwise else in_c // last,
    )


def quantized_multipliers(node: Node) -> tuple[Int32Array, Int32Array]:
    """Multiplier and shift for each output channel of a quantized convolution.

    int8 multiplies the scales in float64 (``PopulateConvolutionQuantizationParams`` of TFLite's
    ``kernels/kernel_util.cc``), the older uint8 in float32 (``GetQuantizedConvolutionMultipler``).
    """
    x, w, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert x is not None
    assert w is not None
    assert y is not None
    single: Array = w.scales * x.scale
    double: Array = w.scales.astype(np.float64) * np.float64(x.scale)
    products = single if node.input(0).type is TensorType.UINT8 else double
    real = products.astype(np.float64) / np.float64(y.scale)
    return quantize_multiplier(np.broadcast_to(real, node.output.shape[-1:]))


def zero_points(node: Node) -> tuple[int, int]:
    """Zero points of input and weights; int8 weights are symmetric whatever the file says."""
    x, w = node.input(0).quantization, node.input(1).quantization
    assert x is not None
    assert w is not None
    return x.zero_point, w.zero_point if node.input(1).type is TensorType.UINT8 else 0


class Convolution(Op):
    """What both convolutions share: checks, bias, activation, requantization."""

    channel_axis: int
    """The axis of the filter that output channels run along."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 3))
        check_types(node, _TYPES)
        check_rank(node, node.input(0), 4, "batch, height, width, channels")
        check_activation(node)
        check_positive(node, "stride_w", "stride_h", "dilation_w_factor", "dilation_h_factor")
        self._check_filter(node)
        geometry = convolution_geometry(node)
        _check_bias(node, geometry)
        if is_quantized(node.input(0)):
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
        check_quantized(node, node.input(0))
        check_quantized(node, node.output)
        w = node.input(1)
        channels = (self.channel_axis, w.shape[self.channel_axis])
        check_quantized(node, w, channels=channels if w.type is TensorType.INT8 else None, zero_scales=True)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, w, bias = (*inputs, None)[:3]
        assert x is not None
        assert w is not None
        geometry = convolution_geometry(node)
        limits = output_range(node.options.fused_activation_function, node.output)
        if not is_quantized(node.input(0)):
            sums = self._accumulate(x, w, geometry)
            return (np.clip(sums if bias is None else sums + bias, *limits),)
        # Products of 8-bit differences stay below 2**16: float64 adds 2**37 of them without rounding,
        # more than a filter can hold, and matrix products of it are many times faster than of integers.
        zero_x, zero_w = zero_points(node)
        sums = self._accumulate(
            x.astype(np.float64) - zero_x, w.astype(np.float64) - zero_w, geometry
        ).astype(np.int64)
        if bias is not None:
            sums += bias
        return (requantize(sums, *quantized_multipliers(node), node.output, limits),)

    def _accumulate(self, x: Array, w: Array, geometry: Window) -> Array:
        """Sums of products [batch, out_h, out_w, out_c], in the type of ``x``."""
        raise NotImplementedError

    def multiply_adds(self, node: Node) -> int:
        geometry = convolution_geometry(node)
        return node.output.size * geometry.kernel_h * geometry.kernel_w * (geometry.in_c // geometry.groups)

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        geometry = convolution_geometry(node)
        length = geometry.kernel_h * geometry.kernel_w * (geometry.in_c // geometry.groups)
        return rounding(length, 0, 1, addend=2)


def has_constant_weights(node: Node) -> bool:
    """Whether weights and bias are constants, so that they can be packed once."""
    bias = node.optional_input(2)
    return node.input(1).is_constant and (bias is None or bias.is_constant)


def bias_or_zeros(node: Node, geometry: Window) -> Array:
    """The bias [out_c], zeros where there is none."""
    bias = node.optional_input(2)
    if bias is not None and bias.data is not None:
        # Kernels read it in place, wherever the file has put it.
        return np.require(bias.data.reshape(-1), requirements=["C", "A"])
    return np.zeros(geometry.out_c, np.int32 if is_quantized(node.input(0)) else np.float32)


def scaling_tables(node: Node, pack: Callable[[Array], Array]) -> dict[str, Any]:
    """Multipliers and shifts of each output channel as the kernels take them."""
    multipliers, shifts = quantized_multipliers(node)
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    return {"multipliers": pack(multipliers), "lefts": pack(left), "rights": pack(right)}


def _check_bias(node: Node, geometry: Window) -> None:
    bias = node.optional_input(2)
    if bias is not None and bias.size != geometry.out_c:
        refuse(
            node,
            f"must have {geometry.out_c} elements, one for each output channel",
            rule="bias-size",
            tensor=bias,
        )


@operator("CONV_2D")
class Conv2D(Convolution):
    """Convolution of an NHWC picture with OHWI filters (TFLite's ``kernels/conv.cc``).

    Inputs: picture [batch, height, width, channels]; filter [out channels, height, width, channels of
    a group]; bias [out channels], optional. Grouped where the filter has fewer channels than the
    picture. Types float32; uint8 (``reference/conv.h``); int8 with weights per tensor or per channel
    (``reference/integer_ops/conv.h``).
    """

    options = Conv2DOptions
    channel_axis = 0

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

    def lower(self, node: Node, lowering: Lowering) -> bool:
        geometry = convolution_geometry(node)
        if geometry.groups != 1 or not has_constant_weights(node):
            return False
        if is_quantized(node.input(0)) and not shifts_fit(quantized_multipliers(node)[1]):
            return False
        lower = self._lower_quantized if is_quantized(node.input(0)) else self._lower_float
        lower(node, lowering, geometry)
        return True

    def _lower_float(self, node: Node, lowering: Lowering, g: Window) -> None:
        from minilite_kernels import convolution, matmul

        depth = g.kernel_h * g.kernel_w * g.in_c
        low, high = output_range(node.options.fused_activation_function, node.output)
        pixels = g.batch * g.out_h * g.out_w
        chunk = grain(pixels, depth * g.out_c, matmul.ROWS)
        shared = {
            "x": node.input(0),
            "weights": lowering.constant(node.input(1), _pack_float),
            "bias": matmul.pack_columns(bias_or_zeros(node, g)),
            "out": node.output,
            "low": low,
            "high": high,
        }
        if (g.kernel_h, g.kernel_w, g.stride_h, g.stride_w) == (1, 1, 1, 1):
            # The picture is the matrix: nothing to gather.
            lowering.step(
                matmul.matmul_float, node, extent=pixels, grain=chunk, depth=depth, columns=g.out_c, **shared
            )
            return
        chunk = min(chunk, max(1, _PATCH_BYTES // (4 * depth * matmul.ROWS)) * matmul.ROWS)
        lowering.step(
            convolution.convolve_float,
            node,
            extent=pixels,
            grain=chunk,
            patches=lowering.scratch(np.float32, chunk * depth),
            w=kernel_window(g),
            out_c=g.out_c,
            **shared,
        )

    def _lower_quantized(self, node: Node, lowering: Lowering, g: Window) -> None:
        from minilite_kernels import matmul, quantized

        depth = g.kernel_h * g.kernel_w * g.in_c
        x_zero, weight_zero = zero_points(node)
        # The kernel multiplies unsigned by signed bytes: int8 pictures and uint8 filters move by 128.
        signed = node.input(0).type is TensorType.INT8
        moved_x, moved_w = (x_zero + 128, weight_zero) if signed else (x_zero, weight_zero - 128)
        weights = lowering.constant(node.input(1), _signed_filters)
        totals = weights.reshape(g.out_c, depth).sum(axis=1, dtype=np.int64)
        bias = bias_or_zeros(node, g) - moved_x * totals + depth * moved_x * moved_w
        pixels = g.batch * g.out_h * g.out_w
        chunk = grain(pixels, depth * g.out_c / 2, matmul.ROWS)
        chunk = min(chunk, max(1, _PATCH_BYTES // (depth * matmul.ROWS)) * matmul.ROWS)
        low, high = output_range(node.options.fused_activation_function, node.output)
        assert node.output.quantization is not None
        lowering.step(
            quantized.convolve_quantized,
            node,
            extent=pixels,
            grain=chunk,
            x=node.input(0),
            weights=lowering.constant(node.input(1), _pack_quantized),
            bias=matmul.pack_columns(bias.astype(np.int32)),
            **scaling_tables(node, matmul.pack_columns),
            out=node.output,
            patches=lowering.scratch(node.input(0).dtype, chunk * quantized.pad_depth(depth)),
            sums=lowering.scratch(np.int32, chunk),
            w=kernel_window(g),
            out_c=g.out_c,
            x_zero=x_zero,
            flip=-128 if signed else 0,
            weight_zero=moved_w,
            zero=node.output.quantization.zero_point,
            low=low,
            high=high,
        )


_PATCH_BYTES = 1 << 18
"""Scratch for gathered patches: they stay in the second-level cache while all filters pass over them."""


def _pack_float(filters: Array) -> Array:
    from minilite_kernels import matmul

    return matmul.pack_panels(filters.reshape(len(filters), -1))


def _signed_filters(filters: Array) -> Array:
    """uint8 filters less 128, int8 filters as they are."""
    return filters if filters.dtype == np.int8 else (filters ^ 0x80).view(np.int8)


def _pack_quantized(filters: Array) -> Array:
    from minilite_kernels import quantized

    return quantized.pack_groups(_signed_filters(filters).reshape(len(filters), -1))
