"""BATCH_MATMUL: products of matrices, over batches that broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import EXACT, Lowering, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import check_arity, check_quantized, check_types
from minilite.ops.fields import Terms, products, stretched
from minilite.ops.fully_connected_steps import lower_float_product
from minilite.ops.hybrid import quantize_rows
from minilite.quantization import (
    integer_range,
    is_quantized,
    quantize_multiplier,
    requantize,
    requantize_wide,
)
from minilite.shapes import broadcast
from minilite.telling import tell

_F32, _I8, _I16, _I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.INT16, TensorType.INT32

_TYPES = (
    (_F32, _F32, _F32),
    (_F32, _I8, _F32),
    (_I8, _I8, _I8),
    (_I8, _I8, _I32),
    (_I16, _I16, _I16),
    (_I16, _I8, _I16),
)


@dataclass(frozen=True)
class BatchMatMulOptions:
    """Schema table ``BatchMatMulOptions``."""

    adj_x: bool = False
    adj_y: bool = False
    asymmetric_quantize_inputs: bool = False


@operator("BATCH_MATMUL")
class BatchMatMul(Op):
    """``x @ y`` (TFLite's ``kernels/batch_matmul.cc``, ``reference/batch_matmul.h``).

    Inputs: x [..., rows, depth], or [..., depth, rows] with ``adj_x``; y [..., depth, columns], or
    [..., columns, depth] with ``adj_y``; what stands before broadcasts. Output [..., rows, columns].

    Types: float32; int8, and int16 with an int16 or int8 y; int8 with an int32 output, which are the sums
    of products of the integers as they are; float32 with an int8 y, which quantizes each row of x.
    """

    options = BatchMatMulOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, _TYPES)
        for tensor in (node.input(0), node.input(1)):
            if len(tensor.shape) < 2:
                refuse(node, "must have at least rank 2", rule="rank", tensor=tensor)
        _check_quantization(node)
        x, y = matrix_shapes(node)
        if x[-1] != y[-2]:
            refuse(
                node,
                f"multiplies {x[-2]} x {x[-1]} by {y[-2]} x {y[-1]} matrices: "
                "the columns of the first must be as many as the rows of the second",
                rule="depth",
            )
        batch = broadcast(x[:-2], y[:-2])
        if batch is None:
            refuse(node, f"batches {x[:-2]} and {y[:-2]} do not broadcast", rule="broadcast")
        return ((*batch, x[-2], y[-1]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, y = inputs
        assert x is not None
        assert y is not None
        x = x.swapaxes(-1, -2) if node.options.adj_x else x
        y = y.swapaxes(-1, -2) if node.options.adj_y else y
        x_tensor, y_tensor, output = node.input(0), node.input(1), node.output
        if is_quantized(x_tensor):
            return (_integer_product(node, x, y),)
        if y_tensor.type is not _I8:
            return (np.matmul(x, y),)
        assert y_tensor.quantization is not None
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        values, scales, zeros = quantize_rows(rows, asymmetric=node.options.asymmetric_quantize_inputs)
        centred = (values.astype(np.float64) - zeros[:, None]).reshape(x.shape)
        factors = scales.reshape(*x.shape[:-1], 1) * y_tensor.quantization.scales
        sums = np.matmul(centred, y.astype(np.float64)).astype(np.float32)
        return ((factors * sums).astype(output.dtype, copy=False),)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        x, y = inputs
        assert x is not None
        assert y is not None
        shapes = matrix_shapes(node)
        depth = shapes[0][-1]
        rows = wanted[0].any(axis=-1, keepdims=True).repeat(depth, axis=-1)
        columns = wanted[0].any(axis=-2, keepdims=True).repeat(depth, axis=-2)
        first, second = (stretched(m, shape) for m, shape in zip((rows, columns), shapes, strict=True))
        return (
            first.swapaxes(-1, -2) if node.options.adj_x else first,
            second.swapaxes(-1, -2) if node.options.adj_y else second,
        )

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x, y = inputs
        assert x is not None
        assert y is not None
        if not is_quantized(node.input(0)) and node.input(1).type is _F32:
            return products("x * y", field, x, y)
        if not is_quantized(node.input(0)) or node.output.type is _I32:
            return None
        a, b = node.input(0).quantization, node.input(1).quantization
        assert a is not None
        assert b is not None
        centred = x.astype(np.int64) - a.zero_point, y.astype(np.int64) - b.zero_point
        return products(f"(x - {a.zero_point}) * (y - {b.zero_point})", field, *centred)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        x, y = node.input(0), node.input(1)
        one_matrix = y.is_constant and y.size == np.prod(y.shape[-2:])
        if y.type is not _F32 or node.options.adj_x or not one_matrix or y.size == 0:
            return False  # of many matrices BLAS takes one after the other
        if len(node.output.shape) != len(x.shape):
            return False
        turn = _rows if node.options.adj_y else _columns
        return lower_float_product(lowering, node, y, turn, None, (-np.inf, np.inf))

    def multiply_adds(self, node: Node) -> int:
        return node.output.size * matrix_shapes(node)[0][-1]

    def tolerance(self, node: Node) -> Tolerance:
        if node.input(1).type is not _F32:
            return EXACT
        return rounding(matrix_shapes(node)[0][-1], 0, 1)


def matrix_shapes(node: Node) -> tuple[Shape, Shape]:
    """The shapes of both operands, the way they are multiplied."""

    def turned(tensor: Tensor, adjoint: bool) -> Shape:
        return (*tensor.shape[:-2], *tensor.shape[-2:][:: -1 if adjoint else 1])

    return turned(node.input(0), node.options.adj_x), turned(node.input(1), node.options.adj_y)


def _check_quantization(node: Node) -> None:
    x, y, output = node.input(0), node.input(1), node.output
    if y.type is _F32:
        return
    if x.type is _F32:
        axis = len(y.shape) - (2 if node.options.adj_y else 1)
        check_quantized(node, y, channels=(axis, y.shape[axis]), zero_scales=True)
    elif output.type is not _I32:
        for tensor in (x, y, output):
            check_quantized(node, tensor, zero_scales=tensor is y)
            assert tensor.quantization is not None
            if x.type is _I16 and tensor.quantization.zero_point != 0:
                refuse(node, "has a zero point, but int16 has none", rule="zero-point", tensor=tensor)


def _integer_product(node: Node, x: Array, y: Array) -> Array:
    """Sums as TFLite has them, of 32 bits, or of 64 for int16."""
    output = node.output
    if output.type is _I32:
        exact: Array = np.matmul(x.astype(np.float64), y.astype(np.float64))
        return exact.astype(np.int64).astype(np.int32)
    a, b, c = (t.quantization for t in (node.input(0), node.input(1), output))
    assert a is not None
    assert b is not None
    assert c is not None
    sums = np.matmul(x.astype(np.float64) - a.zero_point, y.astype(np.float64) - b.zero_point)
    # GetQuantizedConvolutionMultipler of kernels/kernel_util.cc: the product of scales in float32.
    scaling = quantize_multiplier(np.float64(a.scale * b.scale) / np.float64(c.scale))
    tell("sum of products", sums)
    scale = requantize if x.dtype == np.int8 else requantize_wide
    return scale(sums.astype(np.int64), *scaling, output, integer_range(output.dtype))


def _rows(y: Array) -> Array:
    """A constant second operand as [columns, depth], which it is."""
    return y.reshape(y.shape[-2:])


def _columns(y: Array) -> Array:
    """A constant second operand [depth, columns] as [columns, depth]."""
    return y.reshape(y.shape[-2:]).T
