"""Transposed convolutions of pictures: TRANSPOSE_CONV, and MediaPipe's Convolution2DTransposeBias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minilite.graph import Activation, Array, Node, Padding, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    check_activation,
    check_arity,
    check_bias,
    check_positive,
    check_quantized,
    check_rank,
    check_symmetric,
    check_types,
    constant_integers,
)
from minilite.ops.convolution import RANGE_OF_PICTURE
from minilite.ops.convolution_parameters import (
    has_wide_sums,
    quantized_multipliers,
    real_operand,
    weight_scales,
    zero_points,
)
from minilite.ops.fields import Terms, nothing, products, some
from minilite.ops.hybrid import is_hybrid
from minilite.ops.raw_options import raw_integers, raw_padding, raw_positive
from minilite.ops.transpose_convolution_steps import lower_transposed
from minilite.quantization import (
    is_quantized,
    output_range,
    quantize_rows_asymmetric,
    requantize,
    requantize_wide,
)
from minilite.shapes import Window, padded_size
from minilite.telling import tell

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16
_I32, _I64 = TensorType.INT32, TensorType.INT64

_TYPES = (
    (_I32, _F32, _F32, _F32, _F32),
    (_I32, _U8, _U8, _I32, _U8),
    (_I32, _I8, _I8, _I32, _I8),
    (_I32, _I8, _I16, _I64, _I16),
    (_I32, _I8, _I16, _I32, _I16),
    # Hybrid: the picture is quantized during the run.
    (_I32, _I8, _F32, _F32, _F32),
)


@dataclass(frozen=True)
class TransposeConvOptions:
    """Schema table ``TransposeConvOptions``."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    fused_activation_function: Activation = Activation.NONE
    quantized_bias_type: TensorType = TensorType.FLOAT32


def forward_window(node: Node) -> Window:
    """The window of the convolution that this one is the transpose of: from its output to its input.

    Parameters
    ----------
    node:
        With the inputs in CONV_2D's order and the shape of its output.
    """
    _, in_h, in_w, depth = node.input(0).shape
    _, kernel_h, kernel_w, _ = node.input(1).shape
    batch, out_h, out_w, filters = node.output.shape
    options = node.options
    return Window(
        batch=batch,
        in_h=out_h,
        in_w=out_w,
        in_c=filters,
        out_h=in_h,
        out_w=in_w,
        out_c=depth,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=options.stride_h,
        stride_w=options.stride_w,
        dilation_h=1,
        dilation_w=1,
        pad_top=padded_size(options.padding, out_h, kernel_h, options.stride_h)[1],
        pad_left=padded_size(options.padding, out_w, kernel_w, options.stride_w)[1],
    )


def _accumulate(x: Array, w: Array, forward: Window) -> Array:
    """Sums of products, tap by tap: what a tap has seen in the forward direction it adds to."""
    sums = np.zeros((forward.batch, forward.in_h, forward.in_w, forward.in_c), x.dtype)
    for tap in forward.taps():
        pixels = x[tap.outputs]
        products = pixels.reshape(-1, forward.out_c) @ w[:, tap.y, tap.x].T
        sums[tap.inputs] += products.reshape(*pixels.shape[:3], forward.in_c)
    return sums


def _accumulate_hybrid(node: Node, x: Array, w: Array, forward: Window) -> Array:
    """Sums of products of quantized pixels, each scaled to float32 before it is added.

    They are added in the order in which TFLite comes by the pixels, which decides the last bit.
    """
    values, scales, zeros = quantize_rows_asymmetric(x.reshape(len(x), x[:1].size))
    centred = (values - zeros[:, None]).astype(np.float32).reshape(x.shape)
    scales = scales.reshape(-1, 1, 1, 1)
    sums = np.zeros((forward.batch, forward.in_h, forward.in_w, forward.in_c), np.float32)
    for tap in reversed(list(forward.taps())):
        pixels, weights = centred[tap.outputs], w[:, tap.y, tap.x].astype(np.float32)
        for channel in range(forward.out_c):
            products = pixels[..., channel, None] * weights[:, channel]
            sums[tap.inputs] += products * weight_scales(node) * scales
    return sums


class _TransposeConvolution(Op):
    """What both share: each pixel adds its filter to the output, ``stride`` pixels from its neighbour's."""

    order: tuple[int, int, int]
    """Positions of picture, filter and bias."""

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, w, bias = ((*inputs, None)[position] for position in self.order)
        assert x is not None
        assert w is not None
        node = self._as_convolution(node, self._shape(node, inputs))
        forward, limits = forward_window(node), self._limits(node)
        if is_quantized(node.input(0)):
            # float64 is exact here, as in CONV_2D.
            zero_x, zero_w = zero_points(node)
            sums = _accumulate(x.astype(np.float64) - zero_x, w.astype(np.float64) - zero_w, forward)
            totals = sums.astype(np.int64) + (0 if bias is None else bias)
            tell("sum of products", sums)
            tell("+ bias {bias}", totals, bias=0 if bias is None else bias)
            scale = requantize_wide if has_wide_sums(node) else requantize
            return (scale(totals, *quantized_multipliers(node), node.output, limits),)
        sums = _accumulate_hybrid(node, x, w, forward) if is_hybrid(node) else _accumulate(x, w, forward)
        added = sums if bias is None else sums + bias
        tell("sum of products", sums)
        tell("+ bias {bias}", added, bias=0 if bias is None else bias)
        clamped = np.clip(added, *limits)
        tell("clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
        return (clamped,)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        picture, weights, bias = self.order
        forward = forward_window(self._as_convolution(node, wanted[0].shape))
        field = nothing(inputs)
        pixels, filters = field[picture], field[weights]
        assert pixels is not None
        assert filters is not None
        for tap in forward.taps():
            met = wanted[0][tap.inputs]
            pixels[tap.outputs] |= met.any(axis=-1, keepdims=True)
            filters[:, tap.y, tap.x] = some(met, 0, 1, 2)[:, None]
        if bias < len(inputs) and inputs[bias] is not None:
            field[bias] = some(wanted[0], 0, 1, 2)
        return tuple(field)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        picture, weights, _ = self.order
        x, w = inputs[picture], inputs[weights]
        assert x is not None
        assert w is not None
        node = self._as_convolution(node, node.output.shape)
        if is_hybrid(node):
            return None  # each product is scaled before it is added
        meaning = "x * w"
        if is_quantized(node.input(0)):
            zero_x, zero_w = zero_points(node)
            x, w = x.astype(np.float64) - zero_x, w.astype(np.float64) - zero_w
            meaning = f"(x - {zero_x}) * (w - {zero_w})"
        # The first pixel that an output meets, it meets with the last tap.
        filters, backwards = field[weights], list(field)
        assert filters is not None
        backwards[weights] = filters[:, ::-1, ::-1]
        found = products(meaning, backwards, x, w[:, ::-1, ::-1], (picture, weights))
        assert found.factor_places is not None
        turned = found.factor_places.copy()
        turned[:, 1:3] = np.array(w.shape[1:3]) - 1 - turned[:, 1:3]
        return replace(found, factor_places=turned)

    def real_input(self, node: Node, position: int) -> Array | None:
        if position not in self.order[1:]:
            return None
        turned = self._as_convolution(node, node.output.shape)
        return real_operand(turned, self.order.index(position), channel_axis=0)

    def remarks(self, node: Node) -> tuple[str, ...]:
        hybrid = is_hybrid(self._as_convolution(node, node.output.shape))
        return (RANGE_OF_PICTURE,) if hybrid else ()

    def lower(self, node: Node, lowering: Lowering) -> bool:
        node = self._as_convolution(node, node.output.shape)
        return lower_transposed(node, lowering, forward_window(node), self._limits(node))

    def multiply_adds(self, node: Node) -> int:
        picture, weights = (node.input(position) for position in self.order[:2])
        return picture.size * (weights.size // max(weights.shape[3], 1))

    def tolerance(self, node: Node) -> Tolerance:
        picture, weights, bias = self.order
        if node.input(weights).type is not _F32:
            return EXACT
        length = node.input(weights).size // max(node.input(weights).shape[0], 1)
        return rounding(length, picture, weights, addend=bias)

    def _check(self, node: Node) -> None:
        """Refuse pictures, filters and biases that do not go together."""
        picture, weights, bias = self.order
        x, w = node.input(picture), node.input(weights)
        check_rank(node, x, 4, "batch, height, width, channels")
        check_rank(node, w, 4, "out channels, height, width, in channels")
        if 0 in w.shape:
            refuse(node, "is empty", rule="empty-filter", tensor=w)
        if w.shape[3] != x.shape[3]:
            refuse(
                node,
                f"has {w.shape[3]} input channels, but {x} has {x.shape[3]}",
                rule="filter-channels",
                tensor=w,
            )
        check_bias(node, node.optional_input(bias), w.shape[0], "output channel")

    def _as_convolution(self, node: Node, shape: Shape) -> Node:
        """The node with inputs in the order of CONV_2D, TRANSPOSE_CONV's options, and its output's shape."""
        given = node.operator.inputs
        inputs = tuple(given[position] for position in self.order if position < len(given))
        tensors = list(node.subgraph.tensors)
        tensors[node.output.index] = replace(node.output, shape=shape)
        return Node(
            replace(node.subgraph, tensors=tuple(tensors)),
            replace(node.operator, inputs=inputs, options=self._options(node)),
        )

    def _options(self, node: Node) -> TransposeConvOptions:
        raise NotImplementedError

    def _shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape:
        """The output's shape, from values where it depends on them."""
        raise NotImplementedError

    def _limits(self, node: Node) -> tuple[Any, Any]:
        """The clamp of the output."""
        raise NotImplementedError


@operator("TRANSPOSE_CONV")
class TransposeConv(_TransposeConvolution):
    """Transposed convolution to a given shape (TFLite's ``kernels/transpose_conv.cc``).

    Inputs: output shape, int32 [4]; filter [out channels, height, width, in channels]; picture [batch,
    height, width, in channels]; bias [out channels], optional. Padding is that of the convolution from the
    output back to the picture; pixels of the picture whose filter lies outside add nothing. Types float32
    and uint8 (``reference/transpose_conv.h``); int8 with weights per tensor or per channel, and int16
    (``reference/integer_ops/transpose_conv.h``); hybrid, float32 with int8 weights
    (``HybridTransposeConv``), the picture quantized with a zero point for each batch.
    """

    options = TransposeConvOptions
    int8 = Int8(filter=1, bias=3)
    where = (0,)
    order = (2, 1, 3)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 4))
        check_types(node, _TYPES)
        check_activation(node)
        check_positive(node, "stride_w", "stride_h")
        self._check(node)
        self._check_quantization(node)
        size = node.input(0)
        if size.shape != (4,):
            refuse(node, "must have the shape (4,): the output's shape", rule="size-shape", tensor=size)
        wanted = constant_integers(size)
        return (None if wanted is None else self._checked_shape(node, wanted),)

    def _check_quantization(self, node: Node) -> None:
        x, w, y = node.input(2), node.input(1), node.output
        if w.type is _F32:
            return
        per_channel = None if w.type is _U8 else (0, w.shape[0])
        check_quantized(
            node, w, channels=per_channel, zero_scales=True, negative_scales=per_channel is not None
        )
        for tensor in (x, y) if is_quantized(x) else ():
            check_quantized(node, tensor)
            if tensor.type is _I16:
                check_symmetric(node, tensor)
        bias, promised = node.optional_input(3), node.options.quantized_bias_type
        if x.type is _I16 and bias is not None and promised not in (_F32, bias.type):
            refuse(
                node,
                f"has another type than the quantized_bias_type {promised.name} of the options",
                rule="bias-type",
                tensor=bias,
            )

    def _checked_shape(self, node: Node, wanted: Sequence[int]) -> Shape:
        x, w = node.input(2), node.input(1)
        if (wanted[0], wanted[3]) != (x.shape[0], w.shape[0]) or min(wanted) < 0:
            refuse(
                node,
                f"asks for the shape {tuple(wanted)}, but {x.shape[0]} picture(s) and {w.shape[0]} filter(s) "
                f"make ({x.shape[0]}, height, width, {w.shape[0]})",
                rule="output-shape",
                tensor=node.input(0),
            )
        return tuple(wanted)

    def _options(self, node: Node) -> TransposeConvOptions:
        options: TransposeConvOptions = node.options
        return options

    def _shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape:
        assert inputs[0] is not None
        return self._checked_shape(node, inputs[0].tolist())

    def _limits(self, node: Node) -> tuple[Any, Any]:
        return output_range(node.options.fused_activation_function, node.output)


@operator("Convolution2DTransposeBias")
class Convolution2DTransposeBias(_TransposeConvolution):
    """MediaPipe's transposed convolution with bias, float32 (its ``transpose_conv_bias.cc``).

    Inputs: picture [batch, height, width, in channels]; filter [out channels, height, width, in channels];
    bias [out channels]. The custom options are C's ``TfLiteTransposeConvParams``: padding (1 SAME, 2
    VALID), stride of columns, stride of rows, each an int32; what follows is not read.
    """

    order = (0, 1, 2)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        check_types(node, [(_F32,) * 4])
        self._check(node)
        return (self._shape(node, ()),)

    def _options(self, node: Node) -> TransposeConvOptions:
        padding, stride_w, stride_h = raw_integers(node, 3)
        raw_positive(node, stride_w=stride_w, stride_h=stride_h)
        return TransposeConvOptions(raw_padding(node, padding), stride_w, stride_h)

    def _shape(self, node: Node, inputs: Sequence[Array | None]) -> Shape:
        x, w, options = node.input(0), node.input(1), self._options(node)
        if 0 in x.shape[1:3]:
            refuse(node, "has no pixels", rule="empty-output", tensor=x)
        strides = options.stride_h, options.stride_w
        sizes = []
        for size, kernel, stride in zip(x.shape[1:3], w.shape[1:3], strides, strict=True):
            padding = max(kernel - (size - 1) % stride - 1, 0) if options.padding is Padding.SAME else 0
            sizes.append(stride * (size - 1) + kernel - padding)
        return (x.shape[0], *sizes, w.shape[0])

    def _limits(self, node: Node) -> tuple[Any, Any]:
        return -np.inf, np.inf
