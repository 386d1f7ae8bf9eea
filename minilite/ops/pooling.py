"""Pools: AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Activation, Array, Node, Padding, Shape, TensorType
from minilite.ops.base import EXACT, Lowering, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    check_activation,
    check_arity,
    check_positive,
    check_quantized,
    check_rank,
    check_same_quantization,
    check_types,
)
from minilite.ops.lowering import grain, kernel_window
from minilite.quantization import integer_range, is_quantized, output_range
from minilite.shapes import Window, padded_size

_TYPES = tuple((t, t) for t in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8))


@dataclass(frozen=True)
class Pool2DOptions:
    """Schema table ``Pool2DOptions``."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    filter_width: int = 0
    filter_height: int = 0
    fused_activation_function: Activation = Activation.NONE


def pooling_geometry(node: Node) -> Window:
    """Sizes, strides and padding of a pool, from an accepted node."""
    batch, in_h, in_w, channels = node.input(0).shape
    options = node.options
    out_h, pad_top = padded_size(options.padding, in_h, options.filter_height, options.stride_h)
    out_w, pad_left = padded_size(options.padding, in_w, options.filter_width, options.stride_w)
    return Window(
        batch=batch,
        in_h=in_h,
        in_w=in_w,
        in_c=channels,
        out_h=out_h,
        out_w=out_w,
        out_c=channels,
        kernel_h=options.filter_height,
        kernel_w=options.filter_width,
        stride_h=options.stride_h,
        stride_w=options.stride_w,
        dilation_h=1,
        dilation_w=1,
        pad_top=pad_top,
        pad_left=pad_left,
        groups=channels,
    )


class _Pool(Op):
    """What both pools share. The input is [batch, height, width, channels]; scales are left alone."""

    options = Pool2DOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, _TYPES)
        x = node.input(0)
        check_rank(node, x, 4, "batch, height, width, channels")
        check_activation(node)
        check_positive(node, "stride_w", "stride_h", "filter_width", "filter_height")
        if is_quantized(x):
            check_quantized(node, x)
            check_quantized(node, node.output)
            check_same_quantization(node, x, node.output)
        geometry = pooling_geometry(node)
        if min(geometry.out_h, geometry.out_w) < 1:
            refuse(
                node,
                f"the window covers {geometry.kernel_h} x {geometry.kernel_w} pixels, more than the "
                f"{geometry.in_h} x {geometry.in_w} of {x}: no output is left",
                rule="empty-output",
            )
        return (geometry.output_shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        pooled = self._pool(x, pooling_geometry(node))
        limits = output_range(node.options.fused_activation_function, node.output)
        return (np.clip(pooled, *limits).astype(x.dtype),)

    def _pool(self, x: Array, geometry: Window) -> Array:
        raise NotImplementedError


@operator("AVERAGE_POOL_2D")
class AveragePool2D(_Pool):
    """Mean of the pixels of a window that are inside the picture.

    Integers are averaged as they are and rounded half away from zero (TFLite's
    ``reference/pooling.h``, ``reference/integer_ops/pooling.h``).
    """

    def _pool(self, x: Array, geometry: Window) -> Array:
        integer = np.issubdtype(x.dtype, np.integer)
        sums = np.zeros(geometry.output_shape, np.int64 if integer else x.dtype)
        counts = np.zeros((1, geometry.out_h, geometry.out_w, 1), sums.dtype)
        for tap in geometry.taps():
            sums[tap.outputs] += x[tap.inputs]
            counts[tap.outputs] += 1
        means: Array
        means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts) if integer else sums / counts
        return means

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import pooling

        g = pooling_geometry(node)
        pixels = g.batch * g.out_h * g.out_w
        low, high = output_range(node.options.fused_activation_function, node.output)
        # Additions here take about four times as long as in a matrix tile.
        step = {
            "extent": pixels,
            "grain": grain(pixels, 4 * g.kernel_h * g.kernel_w * g.in_c),
            "x": node.input(0),
            "out": node.output,
            "w": kernel_window(g),
            "low": low,
            "high": high,
        }
        if is_quantized(node.input(0)):
            sums = lowering.scratch(np.int32, g.in_c)
            lowering.step(pooling.average_pool_integer, node, sums=sums, **step)
        else:
            lowering.step(pooling.average_pool_float, node, **step)
        return True

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        return rounding(node.options.filter_height * node.options.filter_width, 0)


@operator("MAX_POOL_2D")
class MaxPool2D(_Pool):
    """Largest pixel of a window (TFLite's ``reference/pooling.h``).

    A NaN is never the largest; where nothing else is in the window, the type's lowest value is given.
    """

    def _pool(self, x: Array, geometry: Window) -> Array:
        integer = np.issubdtype(x.dtype, np.integer)
        lowest = integer_range(x.dtype)[0] if integer else np.finfo(np.float32).min
        largest = np.full(geometry.output_shape, lowest, x.dtype)
        for tap in geometry.taps():
            here, pixels = largest[tap.outputs], x[tap.inputs]
            np.copyto(here, pixels, where=pixels > here)
        return largest
