"""FULLY_CONNECTED: a matrix of weights times each row of the input."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding, ulps
from minilite.ops.checks import (
    check_activation,
    check_arity,
    check_bias,
    check_quantized,
    check_rank,
    check_types,
)
from minilite.ops.convolution import RANGE_OF_PICTURE, add_and_clamp
from minilite.ops.fields import Terms, nothing, products, some
from minilite.ops.fully_connected_steps import (
    keep,
    lower_float_product,
    lower_hybrid_product,
    lower_integer_product,
    unit_scales,
    weights_zero_point,
)
from minilite.ops.hybrid import (
    apply_activation,
    check_float_activation,
    hybrid_product,
    is_hybrid,
    quantize_rows,
)
from minilite.quantization import (
    is_quantized,
    output_range,
    quantize_multiplier,
    requantize,
    requantize_in_float64,
)
from minilite.telling import tell

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16
_I4, _I32, _I64 = TensorType.INT4, TensorType.INT32, TensorType.INT64

_TYPES = (
    (_F32, _F32, _F32, _F32),
    *((_F32, weights, _F32, _F32) for weights in (_I8, _I4, _U8)),
    (_U8, _U8, _I32, _U8),
    (_U8, _U8, _I32, _I16),
    *((_I8, weights, _I32, _I8) for weights in (_I8, _I4)),
    *((_I16, weights, bias, _I16) for weights in (_I8, _I4) for bias in (_I64, _I32)),
)


class WeightsFormat(enum.IntEnum):
    """How the weights lie in memory (schema ``FullyConnectedOptionsWeightsFormat``)."""

    DEFAULT = 0
    SHUFFLED4x16INT8 = 1


@dataclass(frozen=True)
class FullyConnectedOptions:
    """Schema table ``FullyConnectedOptions``."""

    fused_activation_function: Activation = Activation.NONE
    weights_format: WeightsFormat = WeightsFormat.DEFAULT
    keep_num_dims: bool = False
    asymmetric_quantize_inputs: bool = False
    quantized_bias_type: TensorType = TensorType.FLOAT32


@operator("FULLY_CONNECTED")
class FullyConnected(Op):
    """``activation(input @ weights.T + bias)`` (TFLite's ``kernels/fully_connected.cc``).

    Inputs: values of any shape, taken as rows of ``depth``; weights [units, depth]; bias [units],
    optional. The output is [rows, units], or with ``keep_num_dims`` the input's shape with ``units`` as
    its last size.

    Types: float32; uint8 (``reference/fully_connected.h``), also with an int16 output; int8 and int16
    with int8 or int4 weights, per tensor or per unit (``reference/integer_ops/fully_connected.h``);
    float32 with int8, int4 or uint8 weights (``EvalHybridDense``), which quantizes each row. Weights in
    the format ``SHUFFLED4x16INT8`` (uint8 to int16) come with a second output, a workspace.
    """

    options = FullyConnectedOptions
    int8 = Int8(filter=1, bias=2, version=4)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        shuffled = node.options.weights_format is not WeightsFormat.DEFAULT
        check_arity(node, (2, 3), outputs=2 if shuffled else 1)
        if shuffled:
            check_types(node, [(_U8, _U8, _I32, _I16, _U8)])
        else:
            check_types(node, _TYPES)
        x, w = node.input(0), node.input(1)
        check_rank(node, w, 2, "units, depth")
        (check_float_activation if is_hybrid(node) else check_activation)(node)
        shape = _output_shape(node)
        check_bias(node, node.optional_input(2), w.shape[0], "unit")
        if is_quantized(x):
            _check_quantization(node)
        elif is_hybrid(node):
            check_quantized(node, w, channels=(0, w.shape[0]), zero_scales=True)
        if shuffled:
            _check_shuffled(node, prod(shape[:-1]))
            return (shape, node.outputs[1].shape)
        return (shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, w, bias = (*inputs, None)[:3]
        assert x is not None
        assert w is not None
        shape = _output_shape(node)
        if w.shape[1] == 0:  # TFLite adds no bias to nothing
            return (np.zeros(shape, node.outputs[0].dtype if is_quantized(node.outputs[0]) else x.dtype),)
        rows = x.reshape(-1, w.shape[1])
        if node.options.weights_format is not WeightsFormat.DEFAULT:
            y = _quantized(node, rows, unshuffle(w), bias)
            return y.reshape(shape), _shuffled_input(rows, node.outputs[1])
        if is_quantized(node.input(0)):
            return (_quantized(node, rows, w, bias).reshape(shape),)
        activation = node.options.fused_activation_function
        if is_hybrid(node):
            scaled = hybrid_product(
                rows, w.view(np.int8), node.input(1), asymmetric=node.options.asymmetric_quantize_inputs
            )
            sums = scaled if bias is None else bias + scaled
            if bias is not None:
                tell("+ bias {bias}", sums, bias=bias)
            return (apply_activation(activation, sums).reshape(shape),)
        return (add_and_clamp(node, rows @ w.T, bias).reshape(shape),)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        x, w = inputs[:2]
        assert x is not None
        assert w is not None
        if node.options.weights_format is not WeightsFormat.DEFAULT:
            return None
        field = nothing(inputs)
        if w.size == 0:
            return tuple(field)
        outputs = wanted[0].reshape(-1, len(w))
        rows, units = some(outputs, 1), some(outputs, 0)
        field[0] = rows.repeat(w.shape[1]).reshape(x.shape)
        field[1] = units.repeat(w.shape[1]).reshape(w.shape)
        for position in range(2, len(inputs)):
            field[position] = None if inputs[position] is None else units
        return tuple(field)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x, w = inputs[:2]
        assert x is not None
        assert w is not None
        if w.size == 0:
            return None
        rows = x.reshape(-1, w.shape[1])
        if is_hybrid(node):
            asymmetric = node.options.asymmetric_quantize_inputs
            values, _, zeros = quantize_rows(rows, asymmetric=asymmetric)
            centred = (values.astype(np.int64) - zeros[:, None]).reshape(x.shape)
            meaning = "x * w, both as the integers they are quantized to"
            return products(meaning, field, centred, w.view(np.int8).astype(np.int64))
        if is_quantized(node.input(0)):
            centred, weights = _centred(node, rows, w)
            return products("both less their zero points", field, centred.reshape(x.shape), weights)
        return products("x * w", field, x, w)

    def real_input(self, node: Node, position: int) -> Array | None:
        tensor, w = node.optional_input(position), node.input(1).quantization
        if tensor is None or tensor.data is None or tensor.type is _F32 or w is None:
            return None
        scales = w.scales.astype(np.float64)
        if position == 2:
            x = node.input(0).quantization
            return None if x is None else tensor.data * (np.float64(x.scale) * scales)
        if is_hybrid(node):
            return tensor.data.view(np.int8) * scales[:, None]
        return (tensor.data.astype(np.int64) - weights_zero_point(node)) * scales[:, None]

    def remarks(self, node: Node) -> tuple[str, ...]:
        return (RANGE_OF_PICTURE,) if is_hybrid(node) else ()

    def lower(self, node: Node, lowering: Lowering) -> bool:
        w, bias = node.input(1), node.optional_input(2)
        shuffled = node.options.weights_format is not WeightsFormat.DEFAULT
        if shuffled or not (w.is_constant and (bias is None or bias.is_constant)) or w.size == 0:
            return False
        if is_quantized(node.input(0)):
            return lower_integer_product(node, lowering)
        if is_hybrid(node):
            return lower_hybrid_product(node, lowering)
        limits = output_range(node.options.fused_activation_function, node.output)
        added = None if bias is None else bias.data
        return lower_float_product(lowering, node, w, keep, added, limits)

    def multiply_adds(self, node: Node) -> int:
        return node.outputs[0].size * node.input(1).shape[1]

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        if is_hybrid(node):
            # TFLite's fused TANH is a rational function, up to 5 units in the last place off near 1.
            tanh = node.options.fused_activation_function is Activation.TANH
            return ulps(8) if tanh else EXACT
        return rounding(node.input(1).shape[1], 0, 1, addend=2)


def _output_shape(node: Node) -> Shape:
    x, (units, depth) = node.input(0), node.input(1).shape
    if node.options.keep_num_dims:
        if x.shape[-1:] != (depth,):
            refuse(node, f"must have {depth} as its last size, as {node.input(1)}", rule="depth", tensor=x)
        return (*x.shape[:-1], units)
    if depth == 0:
        return (prod(x.shape[:-1]), units)
    if x.size % depth:
        refuse(
            node,
            f"has {x.size} elements, which are no whole number of rows of {depth}, as {node.input(1)} has",
            rule="depth",
            tensor=x,
        )
    return (x.size // depth, units)


def _check_quantization(node: Node) -> None:
    x, w, y = node.input(0), node.input(1), node.outputs[0]
    check_quantized(node, x)
    check_quantized(node, y)
    per_unit = None if x.type is _U8 else (0, w.shape[0])
    check_quantized(node, w, channels=per_unit, zero_scales=True)
    for tensor in (x, y):
        assert tensor.quantization is not None
        if tensor.type is _I16 and tensor.quantization.zero_point != 0:
            refuse(node, "has a zero point, but int16 has none", rule="zero-point", tensor=tensor)


def _check_shuffled(node: Node, rows: int) -> None:
    w, workspace = node.input(1), node.outputs[1]
    units, depth = w.shape
    if units % 4 or depth % 16:
        refuse(node, "must have blocks of 4 units by 16 for its shuffled format", rule="shuffled", tensor=w)
    if rows not in (1, 4):
        refuse(
            node, f"has {rows} rows, but shuffled weights take 1 or 4", rule="shuffled", tensor=node.input(0)
        )
    if workspace.size < rows * depth:
        refuse(node, f"must have room for {rows * depth} elements", rule="shuffled", tensor=workspace)


def unshuffle(weights: Array) -> Array:
    """Weights in the format ``SHUFFLED4x16INT8`` as int8 [units, depth].

    Blocks of 4 units by 16 lie one after the other, and their top bits are flipped, so that they are int8
    with the zero point 0.
    """
    units, depth = weights.shape
    blocks = weights.reshape(units // 4, depth // 16, 4, 16)
    return blocks.transpose(0, 2, 1, 3).reshape(units, depth).view(np.int8)


def _shuffled_input(rows: Array, workspace: Tensor) -> Array:
    """What TFLite leaves in the workspace: blocks of 16 of each row in turn, top bits flipped."""
    filled = np.zeros(workspace.size, np.uint8)
    filled[: rows.size] = rows.reshape(len(rows), -1, 16).transpose(1, 0, 2).ravel() ^ 0x80
    return filled.reshape(workspace.shape)


def _quantized(node: Node, rows: Array, w: Array, bias: Array | None) -> Array:
    x_tensor, w_tensor, y = node.input(0).quantization, node.input(1).quantization, node.outputs[0]
    assert x_tensor is not None
    assert w_tensor is not None
    centred, weights = _centred(node, rows, w)
    sums = (centred @ weights.T).astype(np.int64)
    tell("sum of products", sums)
    if bias is not None:
        sums = sums + bias
        tell("+ bias {bias}", sums, bias=bias)
    limits = output_range(node.options.fused_activation_function, y)
    if node.options.weights_format is WeightsFormat.DEFAULT:
        return requantize_in_float64(sums, unit_scales(node), y, limits)
    # GetQuantizedConvolutionMultipler of kernels/kernel_util.cc: the product of scales in float32.
    assert y.quantization is not None
    real = np.float64(x_tensor.scale * w_tensor.scale) / np.float64(y.quantization.scale)
    return requantize(sums, *quantize_multiplier(real), y, limits)


def _centred(node: Node, rows: Array, w: Array) -> tuple[Array, Array]:
    """Rows and weights less their zero points, float64: of 16 by 8 bits it adds 2**29 without rounding."""
    quantization = node.input(0).quantization
    assert quantization is not None
    shuffled = node.options.weights_format is not WeightsFormat.DEFAULT
    zero, x_zero = (0, 128) if shuffled else (weights_zero_point(node), quantization.zero_point)
    return rows.astype(np.float64) - x_zero, w.astype(np.float64) - zero
