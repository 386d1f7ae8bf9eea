"""Convolutions of volumes: CONV_3D and CONV_3D_TRANSPOSE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from minilite.graph import Activation, Array, Node, Padding, Shape, Tensor, TensorType
from minilite.ops.base import Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    check_activation,
    check_arity,
    check_bias,
    check_positive,
    check_rank,
    check_types,
    constant_integers,
)
from minilite.quantization import output_range
from minilite.shapes import meetings, padded_size

_F32, _I32 = TensorType.FLOAT32, TensorType.INT32

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Conv3DOptions:
    """Schema table ``Conv3DOptions``."""

    padding: Padding = Padding.SAME
    stride_d: int = 0
    stride_w: int = 0
    stride_h: int = 0
    fused_activation_function: Activation = Activation.NONE
    dilation_d_factor: int = 1
    dilation_w_factor: int = 1
    dilation_h_factor: int = 1


def _axes(options: Conv3DOptions, sizes: Shape, kernel: Shape) -> list[tuple[int, int, int, int]]:
    """Output size, padding, stride and dilation of the three axes of a convolution over ``sizes``."""
    strides = options.stride_d, options.stride_h, options.stride_w
    dilations = options.dilation_d_factor, options.dilation_h_factor, options.dilation_w_factor
    return [
        (*padded_size(options.padding, *axis), axis[2], axis[3])
        for axis in zip(sizes, kernel, strides, dilations, strict=True)
    ]


def _taps(
    options: Conv3DOptions, sizes: Shape, kernel: Shape, out_sizes: Shape
) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
    """Each tap that meets the volume of ``sizes``: its place in the filter, its inputs, its outputs."""
    along = [
        meetings(taps, dilation, pad, stride, size, out)
        for taps, size, out, (_, pad, stride, dilation) in zip(
            kernel, sizes, out_sizes, _axes(options, sizes, kernel), strict=True
        )
    ]
    for met in product(*along):
        places, inputs, outputs = zip(*met, strict=True)
        yield places, (slice(None), *inputs), (slice(None), *outputs)


class _Convolution3D(Op):
    """What both share: checks, bias, activation."""

    options = Conv3DOptions

    def _check(self, node: Node, x: Tensor, w: Tensor, bias: Tensor | None, axes: tuple[int, int]) -> None:
        """Refuse what does not go together; ``axes`` of the filter: input channels, output channels."""
        check_activation(node)
        check_positive(node, "stride_d", "stride_h", "stride_w")
        check_positive(node, "dilation_d_factor", "dilation_h_factor", "dilation_w_factor")
        check_rank(node, x, 5, "batch, depth, height, width, channels")
        order = {3: "in channels, out channels", 4: "out channels, in channels"}[axes[0]]
        check_rank(node, w, 5, f"depth, height, width, {order}")
        if 0 in w.shape:
            refuse(node, "is empty", rule="empty-filter", tensor=w)
        given, made = w.shape[axes[0]], w.shape[axes[1]]
        if given != x.shape[4]:
            refuse(
                node,
                f"has {given} input channels, but {x} has {x.shape[4]}",
                rule="filter-channels",
                tensor=w,
            )
        check_bias(node, bias, made, "output channel")

    def _finish(self, node: Node, sums: Array, bias: Array | None) -> tuple[Array, ...]:
        limits = output_range(node.options.fused_activation_function, node.output)
        return (np.clip(sums if bias is None else sums + bias, *limits),)


@operator("CONV_3D")
class Conv3D(_Convolution3D):
    """Convolution of a volume, float32 (TFLite's ``kernels/conv3d.cc``, ``reference/conv3d.h``).

    Inputs: volume [batch, depth, height, width, in channels]; filter [depth, height, width, in channels,
    out channels]; bias [out channels], optional.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 3))
        check_types(node, [(_F32,) * 4])
        x, w = node.input(0), node.input(1)
        self._check(node, x, w, node.optional_input(2), (3, 4))
        sizes = tuple(out for out, *_ in _axes(node.options, x.shape[1:4], w.shape[:3]))
        if min(sizes) < 1:
            refuse(
                node,
                f"the filter of {w.shape[:3]} covers more than the {x.shape[1:4]} of {x}: no output is left",
                rule="empty-output",
            )
        return ((x.shape[0], *sizes, w.shape[4]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, w, bias = (*inputs, None)[:3]
        assert x is not None
        assert w is not None
        sizes = x.shape[1:4]
        shape = tuple(out for out, *_ in _axes(node.options, sizes, w.shape[:3]))
        sums = np.zeros((len(x), *shape, w.shape[4]), x.dtype)
        for place, seen, made in _taps(node.options, sizes, w.shape[:3], shape):
            pixels = x[seen]
            products = pixels.reshape(-1, w.shape[3]) @ w[place]
            sums[made] += products.reshape(*pixels.shape[:4], w.shape[4])
        return self._finish(node, sums, bias)

    def multiply_adds(self, node: Node) -> int:
        return node.output.size * (node.input(1).size // node.input(1).shape[4])

    def tolerance(self, node: Node) -> Tolerance:
        return rounding(node.input(1).size // node.input(1).shape[4], 0, 1, addend=2)


@operator("CONV_3D_TRANSPOSE")
class Conv3DTranspose(_Convolution3D):
    """Transposed convolution of a volume to a given shape, float32.

    Inputs: output shape, int32 [5]; filter [depth, height, width, out channels, in channels]; volume
    [batch, depth, height, width, in channels]; bias [out channels], optional. The convolution from the
    output back to the volume, with the same padding, must have the volume's size (TFLite's
    ``kernels/conv3d_transpose.cc``, ``reference/conv3d_transpose.h``).
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 4))
        check_types(node, [(_I32, _F32, _F32, _F32, _F32)])
        self._check(node, node.input(2), node.input(1), node.optional_input(3), (4, 3))
        size = node.input(0)
        if size.shape != (5,):
            refuse(node, "must have the shape (5,): the output's shape", rule="size-shape", tensor=size)
        wanted = constant_integers(size)
        return (None if wanted is None else self._checked_shape(node, wanted),)

    def _checked_shape(self, node: Node, wanted: Sequence[int]) -> Shape:
        x, w = node.input(2), node.input(1)
        if (wanted[0], wanted[4]) != (x.shape[0], w.shape[3]) or min(wanted) < 0:
            refuse(
                node,
                f"asks for the shape {tuple(wanted)}, but {x.shape[0]} volume(s) and {w.shape[3]} filter(s) "
                f"make ({x.shape[0]}, depth, height, width, {w.shape[3]})",
                rule="output-shape",
                tensor=node.input(0),
            )
        back = tuple(max(out, 0) for out, *_ in _axes(node.options, tuple(wanted[1:4]), w.shape[:3]))
        if back != x.shape[1:4]:
            refuse(
                node,
                f"asks for {tuple(wanted[1:4])}, which convolved gives {back}, not the {x.shape[1:4]} of {x}",
                rule="output-shape",
                tensor=node.input(0),
            )
        return tuple(wanted)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        size, w, x, bias = (*inputs, None)[:4]
        assert size is not None
        assert w is not None
        assert x is not None
        shape = self._checked_shape(node, size.tolist())
        sums = np.zeros(shape, x.dtype)
        # What a tap has seen in the forward direction it adds to.
        for place, added_to, seen in _taps(node.options, shape[1:4], w.shape[:3], x.shape[1:4]):
            pixels = x[seen]
            products = pixels.reshape(-1, w.shape[4]) @ w[place].T
            sums[added_to] += products.reshape(*pixels.shape[:4], w.shape[3])
        return self._finish(node, sums, bias)

    def multiply_adds(self, node: Node) -> int:
        return node.input(2).size * (node.input(1).size // node.input(1).shape[4])

    def tolerance(self, node: Node) -> Tolerance:
        return rounding(node.input(1).size // node.input(1).shape[3], 2, 1, addend=3)
