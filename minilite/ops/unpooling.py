"""MediaPipe's pool that remembers where its maxima were, and its inverse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import Op, operator, refuse
from minilite.ops.checks import check_arity, check_rank, check_types
from minilite.ops.pooling import Pool2DOptions, lowest, pooling_geometry
from minilite.ops.raw_options import raw_integers, raw_padding, raw_positive
from minilite.quantization import FUSED_ACTIVATIONS, activation_range

_F32 = TensorType.FLOAT32
_NHWC = "batch, height, width, channels"


def _pool_options(node: Node) -> Pool2DOptions:
    """The custom options, which are C's ``TfLitePoolParams``: six int32; what follows is not read."""
    padding, stride_w, stride_h, filter_w, filter_h, activation = raw_integers(node, 6)
    raw_positive(node, stride_w=stride_w, stride_h=stride_h, filter_width=filter_w, filter_height=filter_h)
    if activation not in FUSED_ACTIVATIONS:
        refuse(node, f"fused activation {activation} is not supported", rule="fused-activation")
    fused = Activation(activation)
    return Pool2DOptions(raw_padding(node, padding), stride_w, stride_h, filter_w, filter_h, fused)


@operator("MaxPoolingWithArgmax2D")
class MaxPoolingWithArgmax2D(Op):
    """Largest pixel of a window, and where in the window it is (MediaPipe's ``max_pool_argmax.cc``).

    Input: picture [batch, height, width, channels], float32. Outputs: maxima as of MAX_POOL_2D; their
    places ``row * filter_width + column + 0.1`` in the window, the first among equals, float32. A NaN is
    never the largest: a window of nothing else has the place 0.1. The custom options are C's
    ``TfLitePoolParams``.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1), outputs=2)
        check_types(node, [(_F32, _F32, _F32)])
        x = node.input(0)
        check_rank(node, x, 4, _NHWC)
        geometry = pooling_geometry(x.shape, _pool_options(node))
        if min(geometry.out_h, geometry.out_w) < 1:
            refuse(
                node,
                f"the window covers {geometry.kernel_h} x {geometry.kernel_w} pixels, more than the "
                f"{geometry.in_h} x {geometry.in_w} of {x}: no output is left",
                rule="empty-output",
            )
        return geometry.output_shape, geometry.output_shape

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        options = _pool_options(node)
        geometry = pooling_geometry(x.shape, options)
        largest = np.full(geometry.output_shape, lowest(x.dtype), x.dtype)
        places = np.zeros(geometry.output_shape, x.dtype)
        for tap in geometry.taps():
            here, pixels = largest[tap.outputs], x[tap.inputs]
            better = pixels > here
            np.copyto(here, pixels, where=better)
            np.copyto(places[tap.outputs], tap.y * geometry.kernel_w + tap.x, where=better)
        limits = activation_range(options.fused_activation_function, x.dtype)
        return np.clip(largest, *limits), places + np.float32(0.1)


@operator("MaxUnpooling2D")
class MaxUnpooling2D(Op):
    """Maxima back to where they were, zeros elsewhere (MediaPipe's ``max_unpooling.cc``).

    Inputs: maxima [batch, height, width, channels] and their places in the window, as of
    ``MaxPoolingWithArgmax2D``, both float32. The output is as many times larger as the window has rows and
    columns. A place outside the output is left out; where several values meet, the last one stays. The
    custom options are C's ``TfLitePoolParams``, whose padding and activation have no effect.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, [(_F32, _F32, _F32)])
        x, places = node.input(0), node.input(1)
        check_rank(node, x, 4, _NHWC)
        if places.shape != x.shape:
            refuse(node, f"must have the shape {x.shape} of {x}", rule="places-shape", tensor=places)
        options = _pool_options(node)
        batch, height, width, channels = x.shape
        return ((batch, height * options.filter_height, width * options.filter_width, channels),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, places = inputs
        assert x is not None
        assert places is not None
        options = _pool_options(node)
        batch, height, width, channels = x.shape
        out_h, out_w = height * options.filter_height, width * options.filter_width
        # What is no place at all becomes one far outside.
        number = np.nan_to_num(np.trunc(places), nan=_OUTSIDE, posinf=_OUTSIDE, neginf=-_OUTSIDE)
        number = np.clip(number, -_OUTSIDE, _OUTSIDE).astype(np.int64)
        down = np.sign(number) * (np.abs(number) // options.filter_width)
        right = number - down * options.filter_width
        top, left = (
            np.arange(size) * stride - max(((size - 1) * stride + taps - size * taps) // 2, 0)
            for size, stride, taps in (
                (height, options.stride_h, options.filter_height),
                (width, options.stride_w, options.filter_width),
            )
        )
        rows, columns = top[:, None, None] + down, left[:, None] + right
        inside = (rows >= 0) & (rows < out_h) & (columns >= 0) & (columns < out_w)
        image, _, _, channel = np.nonzero(inside)
        result = np.zeros((batch, out_h, out_w, channels), x.dtype)
        result[image, rows[inside], columns[inside], channel] = x[inside]
        return (result,)


_OUTSIDE = 1 << 30
"""A place that no window has."""
