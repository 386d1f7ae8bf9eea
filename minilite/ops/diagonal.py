"""Diagonals of matrices: MATRIX_DIAG, MATRIX_SET_DIAG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from minilite.graph import Array, Node, Shape
from minilite.ops.base import operator, refuse
from minilite.ops.checks import check_arity, check_numbers, check_same_quantization, check_same_type
from minilite.ops.moves import Move, Rearrangement, scalar


def _flat(matrices: Array) -> Array:
    """[..., rows * columns]."""
    *batch, rows, columns = matrices.shape
    return matrices.reshape(*batch, rows * columns)


def _diagonal(matrices: Array) -> Array:
    """The elements whose row is their column, [..., min(rows, columns)]."""
    rows, columns = matrices.shape[-2:]
    count = min(rows, columns)
    return _flat(matrices)[..., : max(count * (columns + 1) - columns, 0) : columns + 1]


def _others(matrices: Array) -> Iterator[Array]:
    """All other elements: between one of the diagonal and the next there is a row's worth, then the rest."""
    *batch, rows, columns = matrices.shape
    gaps = max(min(rows, columns) - 1, 0)
    flat = _flat(matrices)[..., 1:]
    yield flat[..., : gaps * (columns + 1)].reshape(*batch, gaps, columns + 1)[..., :columns]
    yield flat[..., gaps * (columns + 1) :]


@operator("MATRIX_DIAG")
class MatrixDiag(Rearrangement):
    """Vectors [..., n] as diagonals of matrices [..., n, n], zeros elsewhere (``kernels/matrix_diag.cc``)."""

    def check(self, node: Node) -> None:
        check_arity(node, (1, 1))
        x = node.input(0)
        check_numbers(node, x)
        check_same_type(node, x, node.output)
        if not x.shape:
            refuse(node, "is a scalar, but must be a vector or more", rule="rank", tensor=x)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        shape = node.input(0).shape
        return ((*shape, shape[-1]),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield _diagonal(outputs[0]), inputs[0]
        for part in _others(outputs[0]):
            yield part, scalar(node, 0)


@operator("MATRIX_SET_DIAG")
class MatrixSetDiag(Rearrangement):
    """Matrices [..., rows, columns] with other diagonals (TFLite's ``kernels/matrix_set_diag.cc``)."""

    def check(self, node: Node) -> None:
        check_arity(node, (2, 2))
        x, diagonal = node.input(0), node.input(1)
        check_numbers(node, x)
        check_same_type(node, x, diagonal, node.output)
        check_same_quantization(node, diagonal, x)
        if len(x.shape) < 2:
            refuse(node, "must have at least two axes: rows, columns", rule="rank", tensor=x)
        wanted = (*x.shape[:-2], min(x.shape[-2:]))
        if diagonal.shape != wanted:
            refuse(node, f"must have the shape {wanted}", rule="diagonal-shape", tensor=diagonal)

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        return (node.input(0).shape,)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield _diagonal(outputs[0]), inputs[1]
        yield from zip(_others(outputs[0]), _others(inputs[0]), strict=True)
