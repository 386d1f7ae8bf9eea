"""Rows of a table: EMBEDDING_LOOKUP, EMBEDDING_LOOKUP_SPARSE, HASHTABLE_LOOKUP."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Op, operator, refuse
from minilite.ops.checks import check_arity, check_numbers, check_quantized, check_rank, check_values

_HYBRID_TABLES = (TensorType.INT8, TensorType.INT4, TensorType.UINT8)
_HYBRID_OUTPUTS = (TensorType.FLOAT32, TensorType.FLOAT16)


def _check_type(node: Node, tensor: Tensor, kind: TensorType) -> None:
    if tensor.type is not kind:
        refuse(node, f"must be {kind.name}", rule="types", tensor=tensor)


def _check_vector(node: Node, position: int, kind: TensorType, what: str) -> None:
    _check_type(node, node.input(position), kind)
    check_rank(node, node.input(position), 1, what)


def _check_rows(node: Node, position: int, indices: Array, rows: int) -> None:
    wrong = (indices < 0) | (indices >= rows)
    check_values(node, position, wrong, f"an index is not from 0 to {rows - 1}", rule="index")


@operator("EMBEDDING_LOOKUP")
class EmbeddingLookup(Op):
    """Rows of a table by their numbers (TFLite's ``kernels/embedding_lookup.cc``).

    Inputs: row numbers int32 [lookups]; table [rows, ...] of rank 2 at least, of any type of numbers.
    Output [lookups, ...] of the table's type; or float32 or float16 of an int8, int4 or uint8 table, whose
    values are then multiplied by their scale, which is one for all or one for each row. A uint8 table's
    bytes are taken as int8, as they were before TFLite had that type.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        _check_vector(node, 0, TensorType.INT32, "row numbers")
        table, output = node.input(1), node.output
        check_numbers(node, table)
        if len(table.shape) < 2:
            refuse(node, "must have at least rank 2", rule="rank", tensor=table)
        if _is_dequantized(node):
            check_quantized(node, table, channels=(0, table.shape[0]), zero_scales=True)
            assert table.quantization is not None
            if table.quantization.zero_points.any():
                refuse(node, "has a zero point, but must have none", rule="zero-point", tensor=table)
        elif table.type is not output.type:
            refuse(
                node,
                f"is {output.type.name}, but the table is {table.type.name}: they must be the same, "
                "or a float of an int8, int4 or uint8 table",
                rule="types",
                tensor=output,
            )
        return ((node.input(0).size, *table.shape[1:]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        indices, table = inputs
        assert indices is not None
        assert table is not None
        _check_rows(node, 0, indices, len(table))
        rows = table[indices]
        quantization = node.input(1).quantization
        if not _is_dequantized(node):
            return (rows,)
        assert quantization is not None
        scales = quantization.scales[indices] if quantization.per_channel else quantization.scales
        factors = scales.reshape(-1, *(1 for _ in table.shape[1:]))
        real: Array = rows.view(np.int8).astype(np.float32) * factors
        return (real.astype(node.output.dtype),)


def _is_dequantized(node: Node) -> bool:
    return node.input(1).type in _HYBRID_TABLES and node.output.type in _HYBRID_OUTPUTS


class Combiner(enum.IntEnum):
    """How rows become one (schema ``CombinerType``)."""

    SUM = 0
    MEAN = 1
    SQRTN = 2


@dataclass(frozen=True)
class EmbeddingLookupSparseOptions:
    """Schema table ``EmbeddingLookupSparseOptions``."""

    combiner: Combiner = Combiner.SUM


@operator("EMBEDDING_LOOKUP_SPARSE")
class EmbeddingLookupSparse(Op):
    """Weighted sums of a table's rows, for each place of a sparse tensor of row numbers.

    TFLite's ``kernels/embedding_lookup_sparse.cc``. Inputs: row numbers int32 [lookups]; indices int32
    [lookups, rank], where they stand in the sparse tensor; its shape int32 [rank]; weights float32
    [lookups]; table float32 [rows, ...]. What agrees in all indices but the last is combined: summed,
    and divided by the sum of weights (MEAN) or the root of the sum of their squares (SQRTN). Output
    float32 [shape but the last size, ...].

    The sparse tensor's places need not be in order; TFLite divides a place twice that it comes back to.
    """

    options = EmbeddingLookupSparseOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (5, 5))
        _check_vector(node, 0, TensorType.INT32, "row numbers")
        indices, dense_shape, table = node.input(1), node.input(2), node.input(4)
        _check_type(node, indices, TensorType.INT32)
        check_rank(node, indices, 2, "lookups, rank of the sparse tensor")
        _check_vector(node, 2, TensorType.INT32, "sizes")
        _check_vector(node, 3, TensorType.FLOAT32, "weights")
        for tensor in (table, node.output):
            _check_type(node, tensor, TensorType.FLOAT32)
        if len(table.shape) < 2:
            refuse(node, "must have at least rank 2", rule="rank", tensor=table)
        for tensor in (indices, node.input(3)):
            if tensor.shape[0] != node.input(0).size:
                refuse(node, f"must be of {node.input(0).size} lookups", rule="lookups", tensor=tensor)
        if dense_shape.size != indices.shape[1] or dense_shape.size == 0:
            refuse(
                node,
                f"has {dense_shape.size} sizes, which must be one for each of the {indices.shape[1]} indices",
                rule="sparse-shape",
                tensor=dense_shape,
            )
        if dense_shape.data is None:
            return (None,)
        return ((*(int(size) for size in dense_shape.data[:-1]), *table.shape[1:]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        rows, indices, dense_shape, weights, table = inputs
        assert rows is not None
        assert indices is not None
        assert dense_shape is not None
        assert weights is not None
        assert table is not None
        _check_rows(node, 0, rows, len(table))
        check_values(node, 2, dense_shape < 0, "a size is negative", rule="sparse-shape")
        front = dense_shape[:-1]
        wrong = (indices[:, :-1] < 0) | (indices[:, :-1] >= front)
        check_values(node, 1, wrong, f"an index is outside the shape {tuple(front.tolist())}", rule="index")
        places = np.ravel_multi_index(tuple(indices[:, :-1].T), tuple(front)) if len(front) else 0
        places = np.broadcast_to(np.asarray(places, np.int64), rows.shape)
        count, options = int(np.prod(front)), node.options
        each = (slice(None), *(None for _ in table.shape[1:]))
        terms = table[rows] * weights[each]
        sums = _sums(places, terms, count)
        if options.combiner is not Combiner.SUM:
            squared = options.combiner is Combiner.SQRTN
            totals = _sums(places, weights * weights if squared else weights, count)
            filled = np.unique(places)
            sums[filled] /= (np.sqrt(totals) if squared else totals)[filled][each]
        return (sums.reshape(*front, *table.shape[1:]),)


def _sums(places: Array, terms: Array, count: int) -> Array:
    """Terms of one place added up in their order, [count, ...]."""
    sums = np.zeros((count, *terms.shape[1:]), terms.dtype)
    np.add.at(sums, places, terms)
    return sums


@operator("HASHTABLE_LOOKUP")
class HashtableLookup(Op):
    """Rows of a table by keys that stand beside them (TFLite's ``kernels/hashtable_lookup.cc``).

    Inputs: keys to look up int32 [lookups]; the table's keys int32 [rows], in ascending order; its values
    [rows, ...] of any type, strings of rank 1. Outputs: the values [lookups, ...], zeros (or empty strings)
    for keys that the table does not have; whether it has them, uint8 [lookups].
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3), outputs=2)
        _check_vector(node, 0, TensorType.INT32, "keys to look up")
        _check_vector(node, 1, TensorType.INT32, "keys")
        keys, values = node.input(1), node.input(2)
        if values.type is TensorType.STRING:
            check_rank(node, values, 1, "strings")
        if not values.shape or values.shape[0] != keys.size:
            refuse(node, f"must have {keys.size} rows, one for each key", rule="rows", tensor=values)
        _check_type(node, node.outputs[0], values.type)
        _check_type(node, node.outputs[1], TensorType.UINT8)
        lookups = node.input(0).size
        return (lookups, *values.shape[1:]), (lookups,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        wanted, keys, values = inputs
        assert wanted is not None
        assert keys is not None
        assert values is not None
        nothing = b"" if values.dtype == object else values.dtype.type(0)
        places = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        hits = keys[places] == wanted if len(keys) else np.zeros(wanted.shape, np.bool_)
        found = np.full((len(wanted), *values.shape[1:]), nothing, values.dtype)
        found[hits] = values[places[hits]]
        return found, hits.astype(np.uint8)
