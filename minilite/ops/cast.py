"""Numbers in another type: CAST, BITCAST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.floats import bfloat16_from_float32, float32_from_bfloat16
from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Lowering, Mask, Op, operator, refuse
from minilite.ops.checks import check_arity, check_numbers, check_types
from minilite.ops.fields import field_of_broadcast
from minilite.ops.lowering import grain, kernels_take
from minilite.quantization import integer_range

_F32, _BF16, _BOOL, _I4 = TensorType.FLOAT32, TensorType.BFLOAT16, TensorType.BOOL, TensorType.INT4

_CASTABLE = (
    _F32,
    TensorType.FLOAT64,
    TensorType.FLOAT16,
    _BF16,
    TensorType.INT64,
    TensorType.INT32,
    TensorType.INT16,
    TensorType.INT8,
    TensorType.UINT32,
    TensorType.UINT16,
    TensorType.UINT8,
    _BOOL,
    TensorType.COMPLEX64,
)
_TYPES = (*((x, y) for x in _CASTABLE for y in _CASTABLE), (_F32, _I4), (_I4, _F32))


@dataclass(frozen=True)
class CastOptions:
    """Schema table ``CastOptions``. TFLite does not look at it: the tensors' own types count."""

    in_data_type: TensorType = TensorType.FLOAT32
    out_data_type: TensorType = TensorType.FLOAT32


@operator("CAST")
class Cast(Op):
    """Numbers as another type (TFLite's ``kernels/cast.cc``).

    Floats become integers by truncation; what lies past an integer type's ends becomes the nearest end,
    and NaN the largest value. Integers become narrower ones by their low bits, complex numbers real by
    their real part, anything but zero true. int4 comes from and goes to float32 only.
    """

    options = CastOptions

    reads_codes = True

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, _TYPES)
        return (node.input(0).shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        source, target = node.input(0).type, node.output.type
        if source is target:
            return (x,)
        if source is _BF16:
            x = float32_from_bfloat16(x)
        if x.dtype.kind == "c" and target.dtype.kind != "c":
            x = x.real
        if target is _BOOL:
            return (x != 0,)
        if target is _BF16:
            return (bfloat16_from_float32(x.astype(np.float32)),)
        if target.dtype == np.float16:
            # By way of float32, as C does.
            return (x.astype(np.float32).astype(np.float16),)
        if x.dtype.kind == "f" and target.dtype.kind in "iu":
            return (_saturated(x, target),)
        return (x.astype(target.dtype),)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import cast

        x, y = node.input(0), node.output
        if not kernels_take(x) or not kernels_take(y):
            return False
        if x.type is y.type:
            lowering.alias(y, x)
            return True
        if _BF16 in (x.type, y.type) or x.dtype.kind not in "iubf" or y.dtype.kind not in "iuf":
            return False
        shared: dict[str, Any] = {"extent": y.size, "grain": grain(y.size, 16), "x": x, "out": y}
        if x.dtype.kind == "f" and y.dtype.kind in "iu":
            low, high = _integer_range(y.type)
            lowering.step(cast.truncate, node, low=low, high=high, **shared)
        else:
            lowering.step(cast.convert, node, **shared)
        return True


def _integer_range(kind: TensorType) -> tuple[int, int]:
    return (-8, 7) if kind is _I4 else integer_range(kind.dtype)


def _saturated(x: Array, target: TensorType) -> Array:
    """Floats as integers: truncated, past the ends the nearest one, of NaN the largest."""
    low, high = _integer_range(target)
    # Of the largest integers of 32 and 64 bits float types have only the power of two past them.
    past = x >= float(high)
    inside = np.where(past | (x <= float(low)) | np.isnan(x), 0, x).astype(target.dtype)
    ends = np.where(past | np.isnan(x), high, np.where(x <= float(low), low, 0)).astype(target.dtype)
    result: Array = inside + ends
    return result


@operator("BITCAST")
class Bitcast(Op):
    """The same bits as numbers of another type (TFLite's ``kernels/bitcast.cc``).

    To a narrower type a last axis is added for the parts of each number; to a wider one the last axis,
    which must be those parts, goes.
    """

    reads_codes = True

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        x, y = node.input(0), node.output
        for tensor in (x, y):
            check_numbers(node, tensor)
            if tensor.type is _I4:
                refuse(node, "has elements of half a byte", rule="types", tensor=tensor)
        source, target = x.dtype.itemsize, y.dtype.itemsize
        if source > target:
            return ((*x.shape, source // target),)
        if source == target:
            return (x.shape,)
        if not x.shape or x.shape[-1] != target // source:
            refuse(
                node,
                f"has the shape {x.shape}, but its last axis must be the {target // source} parts of a "
                f"{y.type.name}",
                rule="bitcast-parts",
                tensor=x,
            )
        return (x.shape[:-1],)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        # A model that is computed in float64 has its float32 here.
        flat = np.ascontiguousarray(x.astype(node.input(0).dtype, copy=False)).reshape(-1)
        return (flat.view(node.output.dtype).reshape(node.output.shape),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        x, y = node.input(0), node.output
        if x.type is not y.type or not kernels_take(x):
            return False
        lowering.alias(y, x)
        return True
