"""By position: GATHER, GATHER_ND, SCATTER_ND, ONE_HOT.

Positions come from data. They are checked at run time, count from the front and are never wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Lowering, Mask, Op, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_axis,
    check_indices,
    check_rank,
    check_size,
    check_types,
    constant_integers,
)
from minilite.ops.fields import field_of_move
from minilite.ops.lowering import grain

_INDICES = (TensorType.INT32, TensorType.INT64, TensorType.INT16)

_UNMOVABLE = (TensorType.RESOURCE, TensorType.VARIANT)


@dataclass(frozen=True)
class GatherOptions:
    """Schema table ``GatherOptions``."""

    axis: int = 0
    batch_dims: int = 0


@dataclass(frozen=True)
class GatherNdOptions:
    """Schema table ``GatherNdOptions``."""


@dataclass(frozen=True)
class ScatterNdOptions:
    """Schema table ``ScatterNdOptions``."""


@dataclass(frozen=True)
class OneHotOptions:
    """Schema table ``OneHotOptions``."""

    axis: int = 0


class _Gathering(Op):
    """What both gathers share: elements of any type, moved as they are."""

    where = (1,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_move(self, node, inputs, wanted[0])

    def _check(self, node: Node) -> None:
        check_arity(node, (2, 2))
        kinds = [kind for kind in TensorType if kind not in _UNMOVABLE]
        check_types(node, tuple((t, i, t) for t in kinds for i in _INDICES))


@operator("GATHER")
class Gather(_Gathering):
    """Slices of the first input along ``axis``, at the positions in the second.

    The output is [axes before ``axis``, positions, axes after]; ``batch_dims`` leading axes belong to
    both inputs and go side by side (TFLite's ``kernels/gather.cc``, ``reference/gather.h``).
    """

    options = GatherOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        self._check(node)
        x, positions = node.input(0), node.input(1)
        axis, batch_dims = gather_axes(node)
        return ((*x.shape[:axis], *positions.shape[batch_dims:], *x.shape[axis + 1 :]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, positions = inputs
        assert x is not None
        assert positions is not None
        axis, batch_dims = gather_axes(node)
        check_indices(node, node.input(1), positions, x.shape[axis])
        batch = x.shape[:batch_dims]
        # [batches, outer, axis, inner] at [batches, positions].
        flat = x.reshape(
            prod(batch), prod(x.shape[batch_dims:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
        )
        at = positions.reshape(prod(batch), prod(positions.shape[batch_dims:]))
        gathered = flat[np.arange(len(flat))[:, None], :, at]  # [batches, positions, outer, inner]
        shape = (*x.shape[:axis], *positions.shape[batch_dims:], *x.shape[axis + 1 :])
        return (gathered.swapaxes(1, 2).reshape(shape),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.indexing import GatherLayout, gather

        x, positions = node.input(0), node.input(1)
        if not _kernels_move(x, positions):
            return False
        axis, batch_dims = gather_axes(node)
        layout = GatherLayout(
            outer=prod(x.shape[batch_dims:axis]),
            axis=x.shape[axis],
            inner=prod(x.shape[axis + 1 :]),
            taken=prod(positions.shape[batch_dims:]),
        )
        extent = prod(x.shape[:axis])
        lowering.step(
            gather,
            node,
            extent=extent,
            grain=grain(extent, 8 * layout.taken * layout.inner),
            x=x,
            positions=positions,
            out=node.output,
            fault=lowering.fault(node, positions),
            w=layout,
        )
        return True


_PAIRS = (
    (TensorType.FLOAT32, TensorType.INT32),
    (TensorType.FLOAT32, TensorType.INT64),
    (TensorType.INT32, TensorType.INT32),
    (TensorType.INT64, TensorType.INT64),
    (TensorType.INT8, TensorType.INT32),
    (TensorType.UINT8, TensorType.INT32),
)
"""Elements and indices that models have. For any other pair a kernel would take longer to compile than
NumPy takes to do without."""


def _kernels_move(tensor: Tensor, indices: Tensor) -> bool:
    return (tensor.type, indices.type) in _PAIRS and tensor.size > 0


def gather_axes(node: Node) -> tuple[int, int]:
    """``axis`` and ``batch_dims`` of a GATHER counted from the front; refuses what does not fit."""
    x, positions = node.input(0), node.input(1)
    axis = check_axis(node, x, node.options.axis)
    batch_dims = node.options.batch_dims
    if batch_dims < 0:
        batch_dims += len(positions.shape)
    if not 0 <= batch_dims <= min(axis, len(positions.shape)):
        refuse(
            node,
            f"batch_dims is {node.options.batch_dims}, but must be at most the axis {axis} and the rank "
            f"{len(positions.shape)} of {positions}",
            rule="batch-dims",
        )
    if x.shape[:batch_dims] != positions.shape[:batch_dims]:
        refuse(
            node,
            f"must have the {batch_dims} leading size(s) {x.shape[:batch_dims]} of {x}",
            rule="batch-sizes",
            tensor=positions,
        )
    return axis, batch_dims


@operator("GATHER_ND")
class GatherNd(_Gathering):
    """Slices of the first input at coordinates, which are the last axis of the second.

    The output is [other axes of the coordinates, axes that they leave open] (``kernels/gather_nd.cc``).
    """

    options = GatherNdOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        self._check(node)
        x, coordinates = node.input(0), node.input(1)
        for tensor in (x, coordinates):
            if not tensor.shape:
                refuse(node, "must have at least one axis", rule="rank", tensor=tensor)
        depth = coordinates.shape[-1]
        if depth > len(x.shape):
            refuse(
                node,
                f"holds {depth} coordinates each, but {x} has only {len(x.shape)} axes",
                rule="index-depth",
                tensor=coordinates,
            )
        return ((*coordinates.shape[:-1], *x.shape[depth:]),)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, coordinates = inputs
        assert x is not None
        assert coordinates is not None
        depth = coordinates.shape[-1]
        check_indices(node, node.input(1), coordinates, x.shape[:depth])
        flat = x.reshape(prod(x.shape[:depth]), *x.shape[depth:])
        # Of strings a scalar would come out as bytes, which are no array.
        return (np.asarray(flat[_flat_positions(coordinates, x.shape[:depth])], x.dtype),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.indexing import gather_nd

        x, coordinates = node.input(0), node.input(1)
        depth = coordinates.shape[-1]
        if not _kernels_move(x, coordinates) or depth == 0:
            return False
        extent, inner = prod(coordinates.shape[:-1]), prod(x.shape[depth:])
        lowering.step(
            gather_nd,
            node,
            extent=extent,
            grain=grain(extent, 8 * (depth + inner)),
            x=x,
            coordinates=coordinates,
            limits=np.array(x.shape[:depth], np.int64),
            out=node.output,
            fault=lowering.fault(node, coordinates),
            inner=inner,
        )
        return True


def _flat_positions(coordinates: Array, shape: Shape) -> Array:
    """[..., axes] coordinates as positions in a flat array of that shape."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    positions: Array = coordinates.astype(np.int64) @ np.array(strides, np.int64)
    return positions


@operator("SCATTER_ND")
class ScatterNd(Op):
    """Zeros of a given shape, with slices added at coordinates (TFLite's ``kernels/scatter_nd.cc``).

    Inputs are the coordinates [slices..., coordinate], the slices, and the shape, int32. Slices for one
    place are added in their order: integers wrap, of booleans it is whether any is true.
    """

    options = ScatterNdOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        kinds = (
            TensorType.FLOAT32,
            TensorType.INT32,
            TensorType.INT64,
            TensorType.UINT8,
            TensorType.INT8,
            TensorType.BOOL,
        )
        check_types(node, tuple((TensorType.INT32, t, TensorType.INT32, t) for t in kinds))
        check_rank(node, node.input(2), 1, "sizes")
        shape = constant_integers(node.input(2))
        return (None if shape is None else self._checked(node, shape),)

    def _checked(self, node: Node, shape: Shape) -> Shape:
        coordinates, slices = node.input(0), node.input(1)
        if min(shape, default=0) < 0:
            refuse(node, f"the shape {shape} has a negative size", rule="scatter-shape", tensor=node.input(2))
        for tensor in (coordinates, slices):
            if not tensor.shape:
                refuse(node, "must have at least one axis", rule="rank", tensor=tensor)
        depth = coordinates.shape[-1]
        if depth > len(shape) or slices.shape != (*coordinates.shape[:-1], *shape[depth:]):
            refuse(
                node,
                f"has shape {slices.shape}, but {coordinates} and the shape {shape} ask for "
                f"{(*coordinates.shape[:-1], *shape[depth:])}",
                rule="scatter-slices",
                tensor=slices,
            )
        return shape

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        coordinates, slices, sizes = inputs
        assert coordinates is not None
        assert slices is not None
        assert sizes is not None
        shape = self._checked(node, tuple(int(size) for size in sizes))
        depth = coordinates.shape[-1]
        check_indices(node, node.input(0), coordinates, shape[:depth])
        out = np.zeros((prod(shape[:depth]), prod(shape[depth:])), slices.dtype)
        positions = _flat_positions(coordinates, shape[:depth]).ravel()
        np.add.at(out, positions, slices.reshape(positions.size, out.shape[1]))
        return (out.reshape(shape),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.indexing import scatter_nd

        coordinates, slices = node.input(0), node.input(1)
        shape = constant_integers(node.input(2))
        depth = coordinates.shape[-1]
        if shape is None or not _kernels_move(slices, coordinates) or depth == 0:
            return False
        lowering.step(
            scatter_nd,
            node,
            extent=1,
            grain=1,
            coordinates=coordinates,
            slices=slices,
            limits=np.array(shape[:depth], np.int64),
            out=node.output,
            fault=lowering.fault(node, coordinates),
            inner=prod(shape[depth:]),
        )
        return True


@operator("ONE_HOT")
class OneHot(Op):
    """A new axis with ``on`` where its position is the index, ``off`` elsewhere (``kernels/one_hot.cc``).

    Inputs are indices, depth (the axis's size), on and off value, one element each. An index outside
    the depth has ``off`` everywhere. ``axis`` -1 is the last.
    """

    options = OneHotOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (4, 4))
        kinds = (
            TensorType.FLOAT32,
            TensorType.INT32,
            TensorType.INT64,
            TensorType.INT16,
            TensorType.INT8,
            TensorType.UINT8,
            TensorType.BOOL,
        )
        check_types(
            node,
            tuple(
                (i, TensorType.INT32, t, t, t) for t in kinds for i in (TensorType.INT32, TensorType.INT64)
            ),
        )
        for position, rule in ((1, "depth-size"), (2, "on-size"), (3, "off-size")):
            check_size(node, node.input(position), 1, rule)
        one_hot_axis(node)
        depth = constant_integers(node.input(1))
        return (None if depth is None else self._output_shape(node, depth[0]),)

    def _output_shape(self, node: Node, depth: int) -> Shape:
        if depth < 0:
            refuse(
                node, f"depth is {depth}, but must be at least 0", rule="depth-range", tensor=node.input(1)
            )
        axis, shape = one_hot_axis(node), node.input(0).shape
        return (*shape[:axis], depth, *shape[axis:])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        indices, depth, on, off = inputs
        assert indices is not None
        assert depth is not None
        assert on is not None
        assert off is not None
        axis, count = one_hot_axis(node), int(depth.ravel()[0])
        self._output_shape(node, count)
        places = np.arange(count, dtype=np.int64).reshape(-1, *[1] * (indices.ndim - axis))
        return (np.where(np.expand_dims(indices, axis) == places, on.ravel()[0], off.ravel()[0]),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.indexing import one_hot

        indices, depth = node.input(0), constant_integers(node.input(1))
        if depth is None or not _kernels_move(node.output, indices):
            return False
        axis = one_hot_axis(node)
        extent, inner = prod(indices.shape[:axis]), prod(indices.shape[axis:])
        lowering.step(
            one_hot,
            node,
            extent=extent,
            grain=grain(extent, 8 * depth[0] * inner),
            indices=indices,
            on=node.input(2),
            off=node.input(3),
            out=node.output,
            depth=depth[0],
            inner=inner,
        )
        return True


def one_hot_axis(node: Node) -> int:
    """Where ONE_HOT puts its axis; refuses one that would leave a gap."""
    rank, axis = len(node.input(0).shape), int(node.options.axis)
    if not -1 <= axis <= rank:
        refuse(node, f"axis is {axis}, but must be -1 (the last) or 0 to {rank}", rule="axis-range")
    return rank if axis == -1 else axis
