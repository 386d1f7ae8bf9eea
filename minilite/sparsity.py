"""Constants that a file stores sparse, as dense arrays (schema ``SparsityParameters``).

The tensor's axes, some of them cut into blocks, are walked in a *traversal order*. Each level of the
walk is dense (every index of it is there) or compressed: a list of the indices that are there, and where
in it the part of each position of the level above begins, as in a matrix of compressed rows (CSR).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.errors import MiniliteError
from minilite.graph import Array, Tensor

_DENSE, _CSR = 0, 1


def densify(tensor: Tensor, values: Array) -> Array:
    """The ``values`` of a sparse constant in its shape, zeros where nothing is stored.

    Raises
    ------
    MiniliteError
        The description is no walk over the tensor: axes missing, indices or segments out of range, too
        few values.

    Notes
    -----
    ``FormatConverter`` of ``internal/utils/sparsity_format_converter.cc``.
    """
    assert tensor.sparsity is not None
    return _Walk(tensor, tensor.sparsity).dense(values.ravel())


class _Walk:
    """The levels of a description, checked as they are walked."""

    def __init__(self, tensor: Tensor, sparsity: Mapping[str, Any]) -> None:
        self.tensor = tensor
        self.levels: Sequence[Mapping[str, Any]] = sparsity["dim_metadata"]
        self.order = [int(axis) for axis in sparsity["traversal_order"]]
        self.block_map = [int(axis) for axis in sparsity["block_map"]]
        rank, blocks = len(tensor.shape), len(self.block_map)
        if sorted(self.order) != list(range(rank + blocks)):
            raise self._error(f"its traversal order {self.order} is no order of {rank + blocks} axes")
        if set(self.order[:rank]) != set(range(rank)):
            raise self._error("its blocks are not walked after its axes")
        if len(self.levels) != rank + blocks:
            raise self._error(f"it describes {len(self.levels)} levels, but has {rank + blocks}")
        if len(set(self.block_map)) != blocks or not set(self.block_map) <= set(range(rank)):
            raise self._error(f"its block map {self.block_map} does not name axes of it, once each")
        self.sizes = self._sizes()

    def _error(self, what: str) -> MiniliteError:
        return MiniliteError(
            f"{self.tensor} is stored sparse, but {what}", tensor=self.tensor.index, rule="sparsity"
        )

    def _sizes(self) -> list[int]:
        """How many indices each axis has, and then each block."""
        sizes = list(self.tensor.shape)
        for block, axis in enumerate(self.block_map):
            level = self.levels[self.order.index(len(self.tensor.shape) + block)]
            size = int(level["dense_size"])
            if level["format"] != _DENSE or size < 1 or sizes[axis] % size:
                raise self._error(f"its blocks of {size} do not divide axis {axis} of {sizes[axis]}, densely")
            sizes[axis] //= size
            sizes.append(size)
        return sizes

    def dense(self, values: Array) -> Array:
        strides = self._strides()
        # Where each path of the walk has come to: its place in the dense array and in the level above.
        places = np.zeros(1, np.int64)
        positions = np.zeros(1, np.int64)
        for level, (axis, metadata) in enumerate(zip(self.order, self.levels, strict=True)):
            size = self.sizes[axis]
            if metadata["format"] == _DENSE:
                if int(metadata["dense_size"]) != size:
                    raise self._error(f"level {level} has the size {metadata['dense_size']}, not {size}")
                self._check_count(len(places) * size)
                indices = np.tile(np.arange(size), len(places))
                parents = np.repeat(np.arange(len(places)), size)
                positions = positions[parents] * size + indices
            elif metadata["format"] == _CSR:
                indices, parents, positions = self._compressed(level, metadata, positions, size)
            else:
                raise self._error(f"level {level} has the unknown format {metadata['format']}")
            places = places[parents] + indices * strides[axis]
        if len(values) < len(places):
            raise self._error(f"it has {len(values)} values for {len(places)} places")
        result = np.zeros(prod(self.tensor.shape), values.dtype)
        result[places] = values[: len(places)]
        return result.reshape(self.tensor.shape)

    def _compressed(
        self, level: int, metadata: Mapping[str, Any], positions: npt.NDArray[np.int64], size: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Indices, the paths they continue, and their positions in a compressed level."""
        segments = np.asarray(metadata["array_segments"], np.int64)
        stored = np.asarray(metadata["array_indices"], np.int64)
        if len(positions) and len(segments) < int(positions.max()) + 2:
            raise self._error(f"level {level} has {len(segments)} segments, too few")
        starts, stops = segments[positions], segments[positions + 1]
        if np.any(starts < 0) or np.any(stops < starts) or np.any(stops > len(stored)):
            raise self._error(f"level {level} has segments that are no ranges of its {len(stored)} indices")
        if np.any(stored < 0) or np.any(stored >= size):
            raise self._error(f"level {level} has indices outside of its size {size}")
        counts = stops - starts
        total = int(counts.sum())
        self._check_count(total)
        parents = np.repeat(np.arange(len(positions)), counts)
        # The n-th index of its segment: n less how many there are in the segments before.
        within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        inside = starts[parents] + within
        return stored[inside], parents, inside

    def _check_count(self, count: int) -> None:
        """No more paths than elements: overlapping segments could make any number of them."""
        if count > prod(max(size, 1) for size in self.tensor.shape):
            raise self._error("it names more places than it has elements")

    def _strides(self) -> list[int]:
        """How far apart in the dense array two indices of an axis, or of a block, are."""
        shape = self.tensor.shape
        strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
        for block, axis in enumerate(self.block_map):
            strides.append(strides[axis])
            strides[axis] *= self.sizes[len(shape) + block]
        return strides
