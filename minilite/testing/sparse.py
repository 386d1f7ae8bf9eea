"""Dense constants stored sparse, the way back from ``minilite.sparsity``: what its tests are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Graph


def sparsified(
    dense: Array,
    order: Sequence[int],
    compressed: Sequence[bool],
    blocks: Mapping[int, int],
) -> tuple[Array, dict[str, Any]]:
    """The values that are kept, and the schema's ``SparsityParameters``.

    Parameters
    ----------
    order:
        The axes in the order they are walked in, then the blocks, numbered from the rank on.
    compressed:
        For each level of the walk, whether indices of nothing but zeros are left out.
    blocks:
        The size of an axis's blocks, for those that are cut.
    """
    cut: list[int] = []
    for axis, size in enumerate(dense.shape):
        cut += [size // blocks[axis], blocks[axis]] if axis in blocks else [size]
    outer = [sum(2 if a in blocks else 1 for a in range(axis)) for axis in range(dense.ndim)]
    inner = [outer[axis] + 1 for axis in blocks]
    axes = [*outer, *inner]
    walked = dense.reshape(cut).transpose([axes[axis] for axis in order])
    paths = np.zeros((1, 0), np.int64)
    levels = []
    for level, sparse in enumerate(compressed):
        size = walked.shape[level]
        used = np.ones((len(paths), size), np.bool_)
        if sparse:
            used = np.array([_used(walked, path) for path in paths]).reshape(len(paths), size)
        parents, indices = np.nonzero(used)
        levels.append(_level(size, used, indices) if sparse else _level(size))
        paths = np.column_stack([paths[parents], indices])
    values = walked[tuple(paths.T)] if paths.size else walked.reshape(-1)
    return values, {
        "traversal_order": np.array(order, np.int32),
        "block_map": np.array(list(blocks), np.int32),
        "dim_metadata": tuple(levels),
    }


def _used(walked: Array, path: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which indices of the next level lead to anything."""
    below = walked[tuple(path)]
    used: npt.NDArray[np.bool_] = (below != 0).reshape(len(below), -1).any(axis=1)
    return used


def _level(size: int, used: Array | None = None, indices: Array | None = None) -> dict[str, Any]:
    if used is None or indices is None:
        none = np.empty(0, np.int32)
        return {"format": 0, "dense_size": size, "array_segments": none, "array_indices": none}
    segments = np.append(0, np.cumsum(used.sum(axis=1)))
    return {
        "format": 1,
        "dense_size": 0,
        "array_segments": segments.astype(np.int32),
        "array_indices": indices.astype(np.int32),
    }


def with_sparse(graph: Graph, tensor: int, values: Array, sparsity: Mapping[str, Any]) -> Graph:
    """The graph with a constant stored as these values."""
    tensors = list(graph.main.tensors)
    values.flags.writeable = False
    tensors[tensor] = replace(tensors[tensor], data=values, sparsity=sparsity)
    return replace(graph, subgraphs=(replace(graph.main, tensors=tuple(tensors)), *graph.subgraphs[1:]))
