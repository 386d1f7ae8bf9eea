"""DEPTHWISE_CONV_2D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Activation, Array, Node, Padding
from minilite.ops.base import Int8, Lowering, operator, refuse
from minilite.ops.checks import check_rank
from minilite.ops.convolution import Convolution
from minilite.ops.convolution_parameters import (
    convolution_geometry,
    weight_scales,
    zero_points,
)
from minilite.ops.convolution_steps import (
    bias_or_zeros,
    has_constant_weights,
    has_finite_weights,
    kernels_scale,
    quantized_levels,
    quantized_rows,
    scaling_tables,
)
from minilite.ops.hybrid import is_hybrid
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
    int8 = Int8(filter=1, axis=3, bias=2, version=3)
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
        from minilite_kernels import depthwise

        g = convolution_geometry(node)
        if not has_constant_weights(node):
            return False
        if is_quantized(node.input(0)):
            if not kernels_scale(node, self.channel_axis):
                return False
        elif not is_hybrid(node) and not has_finite_weights(node):
            return False
        if g.multiplier == 1 and g.in_c >= depthwise.WIDTH and not is_hybrid(node):
            _lower_by_channels(node, lowering, g)
            return True
        return _lower_flat(node, lowering, g)


def _rows(node: Node, g: Window) -> dict[str, Any]:
    """What the steps of all kernels have in common."""
    rows = g.batch * g.out_h
    # A product here takes about four times as long as in a matrix tile.
    chunk = grain(rows, 4 * g.out_w * g.out_c * g.kernel_h * g.kernel_w)
    return {"extent": rows, "grain": chunk, "x": node.input(0), "out": node.output, "w": kernel_window(g)}


def _limits(node: Node) -> dict[str, Any]:
    low, high = output_range(node.options.fused_activation_function, node.output)
    return {"low": low, "high": high}


def _lower_by_channels(node: Node, lowering: Lowering, g: Window) -> None:
    """One filter a channel, and channels enough to fill a vector."""
    from minilite_kernels import depthwise
    from minilite_kernels import depthwise_quantized as quantized

    shared = {**_rows(node, g), "bias": bias_or_zeros(node, g)}
    if not is_quantized(node.input(0)):
        lowering.step(depthwise.depthwise_float, node, weights=node.input(1), **_limits(node), **shared)
        return
    levels, kind, window = quantized_levels(node), node.input(0).dtype, kernel_window(g)
    weight_zero = zero_points(node)[1]
    totals = lowering.constant(node.input(1), _totals, weight_zero)
    # Bytes are multiplied unsigned by signed: int8 pictures move by 128.
    bias = bias_or_zeros(node, g) - (levels.x_zero - levels.flip) * totals
    lowering.step(
        quantized.depthwise_quantized,
        node,
        weights=lowering.constant(node.input(1), _pack_lanes, weight_zero, kind.itemsize),
        lanes=lowering.scratch(np.int32, quantized.line_size(window, kind.itemsize)),
        **scaling_tables(node, np.ascontiguousarray),
        levels=levels,
        **{**shared, "bias": bias.astype(np.int32)},
    )


def _lower_flat(node: Node, lowering: Lowering, g: Window) -> bool:
    """Any other: pixels and channels of a line as one."""
    from minilite_kernels import depthwise_flat as flat

    kind = np.dtype(np.int8) if is_hybrid(node) else node.input(0).dtype
    size = g.kernel_h * flat.line_size(kernel_window(g), g.out_c)
    if size * kind.itemsize > _LINE_BYTES:
        return False
    shared = {
        **_rows(node, g),
        "bias": flat.repeated(bias_or_zeros(node, g)),
        "lines": lowering.scratch(kind, size),
        "places": lowering.scratch(np.int64, 2 * g.kernel_h + g.kernel_w),
        "multiplier": g.multiplier,
    }
    if is_quantized(node.input(0)):
        lowering.step(
            flat.depthwise_flat_quantized,
            node,
            weights=lowering.constant(node.input(1), _repeated_integers, zero_points(node)[1]),
            **scaling_tables(node, flat.repeated),
            levels=quantized_levels(node)._replace(weight_zero=0),
            **shared,
        )
        return True
    if not is_hybrid(node):
        weights = lowering.constant(node.input(1), flat.repeated)
        lowering.step(flat.depthwise_flat_float, node, weights=weights, **_limits(node), **shared)
        return True
    shared |= quantized_rows(node, lowering, g.batch, symmetric=False)
    scales = flat.repeated(weight_scales(node))
    lowering.step(
        flat.depthwise_hybrid,
        node,
        weights=lowering.constant(node.input(1), _repeated_integers, 0),
        initial=np.zeros(len(scales), np.int32),
        scales=scales,
        factors=lowering.scratch(np.float32, len(scales)),
        **_limits(node),
        **shared,
    )
    return True


_LINE_BYTES = 1 << 23
"""What lines may take of each thread's scratch."""


def _centered_filters(filters: Array, zero_point: int) -> Array:
    """Filters less their zero point, which takes 16 bits."""
    return filters.astype(np.int16) - np.int16(zero_point)


def _totals(filters: Array, zero_point: int) -> Array:
    """The sum of each channel's filter, less its zero point."""
    totals: Array = _centered_filters(filters[0], zero_point).sum(axis=(0, 1), dtype=np.int64)
    return totals


def _pack_lanes(filters: Array, zero_point: int, itemsize: int) -> Array:
    from minilite_kernels.depthwise_quantized import pack_filters

    return pack_filters(_centered_filters(filters[0], zero_point), itemsize)


def _repeated_integers(filters: Array, zero_point: int) -> Array:
    from minilite_kernels.depthwise_flat import repeated

    return repeated(_centered_filters(filters, zero_point))
