"""DEPTHWISE_CONV_2D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Activation, Array, Node, Padding
from minilite.ops.base import Lowering, operator, refuse
from minilite.ops.checks import check_rank
from minilite.ops.convolution import Convolution
from minilite.ops.convolution_parameters import (
    convolution_geometry,
    is_hybrid,
    zero_points,
)
from minilite.ops.convolution_steps import (
    bias_or_zeros,
    has_constant_weights,
    kernels_scale,
    quantized_levels,
    scaling_tables,
)
from minilite.ops.lowering import grain, kernel_window
from minilite.quantization import is_quantized, output_range
from minilite.shapes import Window


@dataclass(frozen=True)
class DepthwiseConv2DOptions:
    """Schema table ``DepthwiseConv2DOptions``; ``depth_multiplier`` is not trusted, shapes say it."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    depth_multiplier: int = 0
    fused_activation_function: Activation = Activation.NONE
    dilation_w_factor: int = 1
    dilation_h_factor: int = 1


@operator("DEPTHWISE_CONV_2D")
class DepthwiseConv2D(Convolution):
    """Convolution of each channel with filters of its own (TFLite's ``kernels/depthwise_conv.cc``).

    Inputs: picture [batch, height, width, channels]; filter [1, height, width, channels * multiplier],
    where output channel ``channel * multiplier + m`` sees input channel ``channel``; bias [channels *
    multiplier], optional. Types as CONV_2D, per-channel weights along the last axis
    (``reference/depthwiseconv_float.h``, ``depthwiseconv_uint8.h``, ``integer_ops/depthwise_conv.h``).
    """

    options = DepthwiseConv2DOptions
    channel_axis = 3

    def _check_filter(self, node: Node) -> None:
        x, w = node.input(0), node.input(1)
        check_rank(node, w, 4, "1, height, width, out channels")
        if 0 in w.shape:
            refuse(node, "is empty", rule="empty-filter", tensor=w)
        if w.shape[0] != 1:
            refuse(node, f"has first size {w.shape[0]}, but must have 1", rule="filter-batch", tensor=w)
        channels = x.shape[3]
        if channels == 0 or w.shape[3] % channels:
            refuse(
                node,
                f"has {w.shape[3]} output channels, which must be a multiple of the {channels} of {x}",
                rule="filter-channels",
                tensor=w,
            )

    def _accumulate(self, x: Array, w: Array, geometry: Window) -> Array:
        g = geometry
        filters = w.reshape(g.kernel_h, g.kernel_w, g.in_c, g.multiplier)
        sums = np.zeros((g.batch, g.out_h, g.out_w, g.in_c, g.multiplier), x.dtype)
        for tap in g.taps():
            sums[tap.outputs] += x[tap.inputs][..., None] * filters[tap.y, tap.x]
        return sums.reshape(g.output_shape)

    def quantizes_symmetrically(self, node: Node) -> bool:
        return False

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import depthwise, quantized

        g = convolution_geometry(node)
        if g.multiplier != 1 or g.in_c < depthwise.WIDTH or not has_constant_weights(node):
            return False
        if is_hybrid(node):
            return False
        if is_quantized(node.input(0)) and not kernels_scale(node, self.channel_axis):
            return False
        rows = g.batch * g.out_h
        # A product here takes about four times as long as in a matrix tile.
        chunk = grain(rows, 4 * g.out_w * g.out_c * g.kernel_h * g.kernel_w)
        shared: dict[str, Any] = {
            "extent": rows,
            "grain": chunk,
            "x": node.input(0),
            "bias": bias_or_zeros(node, g),
            "out": node.output,
            "w": kernel_window(g),
        }
        if not is_quantized(node.input(0)):
            weights = node.input(1).data
            if weights is None or not np.isfinite(weights).all():
                return False  # the kernel multiplies zeros where the window leaves the picture
            low, high = output_range(node.options.fused_activation_function, node.output)
            limits = {"low": low, "high": high}
            lowering.step(depthwise.depthwise_float, node, weights=node.input(1), **limits, **shared)
            return True
        lowering.step(
            quantized.depthwise_quantized,
            node,
            weights=lowering.constant(node.input(1), _centered_filters, zero_points(node)[1]),
            **scaling_tables(node, np.ascontiguousarray),
            levels=quantized_levels(node),
            **shared,
        )
        return True


def _centered_filters(filters: Array, zero_point: int) -> Array:
    """Filters less their zero point, which takes 16 bits."""
    return filters.astype(np.int16) - np.int16(zero_point)
