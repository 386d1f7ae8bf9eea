from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, MiniliteError, PrepareError
from minilite.graph import Array, TensorType
from minilite.prepare import prepare
from minilite.sparsity import densify
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.sparse import sparsified, with_sparse
from tests.oracle import evaluate

DENSE = {"format": 0, "array_segments": np.empty(0, np.int32), "array_indices": np.empty(0, np.int32)}


def compressed(segments: list[int], indices: list[int]) -> dict[str, Any]:
    return {"format": 1, "dense_size": 0, "array_segments": segments, "array_indices": indices}


def described(
    *levels: Mapping[str, Any], order: tuple[int, ...] = (0, 1), blocks: tuple[int, ...] = ()
) -> Any:
    return {"traversal_order": order, "block_map": blocks, "dim_metadata": levels}


def rows(size: int) -> dict[str, Any]:
    return {**DENSE, "dense_size": size}


def densified(shape: tuple[int, ...], values: list[float], sparsity: Any) -> Array:
    graph = one_op("DENSIFY", [constant(np.zeros(shape, np.float32))], [tensor()])
    stored = with_sparse(graph, 0, np.array(values, np.float32), sparsity)
    return densify(stored.main.tensors[0], np.array(values, np.float32))


def test_compressed_rows() -> None:
    y = densified((2, 3), [5, 6, 7], described(rows(2), compressed([0, 2, 3], [0, 2, 1])))
    np.testing.assert_array_equal(y, [[5, 0, 6], [0, 7, 0]])


def test_compressed_columns() -> None:
    y = densified((2, 3), [5, 7, 6], described(rows(3), compressed([0, 1, 2, 3], [0, 1, 0]), order=(1, 0)))
    np.testing.assert_array_equal(y, [[5, 0, 6], [0, 7, 0]])


def test_both_axes_compressed() -> None:
    y = densified((3, 3), [5, 6], described(compressed([0, 1], [2]), compressed([0, 2], [0, 2])))
    np.testing.assert_array_equal(y, [[0, 0, 0], [0, 0, 0], [5, 0, 6]])


def test_blocks() -> None:
    # 2 x 4 in blocks of 2 columns: only the second of the first row, and the first of the second.
    sparsity = described(rows(2), compressed([0, 1, 2], [1, 0]), rows(2), order=(0, 1, 2), blocks=(1,))
    y = densified((2, 4), [1, 2, 3, 4], sparsity)
    np.testing.assert_array_equal(y, [[0, 0, 1, 2], [3, 4, 0, 0]])


def test_the_way_back() -> None:
    dense = np.zeros((4, 6, 2), np.int8)
    dense[1, 4], dense[3, 0, 1] = [7, 8], 9
    values, sparsity = sparsified(dense, (2, 0, 1, 3, 4), (True, False, True, False, False), {0: 2, 1: 3})
    graph = with_sparse(
        one_op("DENSIFY", [constant(dense)], [tensor((), TensorType.INT8)]), 0, values, sparsity
    )
    np.testing.assert_array_equal(evaluate(graph)[0], dense)


GOOD = compressed([0, 2, 3], [0, 2, 1])


@pytest.mark.parametrize(
    ("message", "sparsity"),
    [
        ("no order of 2 axes", described(rows(2), GOOD, order=(0, 2))),
        ("no order of 2 axes", described(rows(2), GOOD, order=(0, 0))),
        ("describes 1 levels", described(rows(2))),
        ("block map", described(rows(2), GOOD, rows(1), order=(0, 1, 2), blocks=(5,))),
        ("blocks are not walked after", described(rows(2), GOOD, rows(1), order=(2, 0, 1), blocks=(1,))),
        ("blocks of 2 do not divide", described(rows(2), GOOD, rows(2), order=(0, 1, 2), blocks=(1,))),
        ("blocks of 0 do not divide", described(rows(2), GOOD, rows(0), order=(0, 1, 2), blocks=(1,))),
        ("level 0 has the size 3, not 2", described(rows(3), GOOD)),
        ("2 segments, too few", described(rows(2), compressed([0, 2], [0, 2, 1]))),
        ("no ranges of its 3 indices", described(rows(2), compressed([0, 2, 4], [0, 2, 1]))),
        ("no ranges", described(rows(2), compressed([0, 2, 1], [0, 2, 1]))),
        ("no ranges", described(rows(2), compressed([-1, 2, 3], [0, 2, 1]))),
        ("indices outside of its size 3", described(rows(2), compressed([0, 2, 3], [0, 3, 1]))),
        ("indices outside of its size 3", described(rows(2), compressed([0, 2, 3], [0, -1, 1]))),
        ("unknown format 2", described(rows(2), {**GOOD, "format": 2})),
        ("3 values for 6 places", described(rows(2), rows(3))),
        ("more places than it has elements", described(rows(2), compressed([0, 4, 8], [0, 1, 2, 0] * 2))),
    ],
)
def test_what_is_no_walk_over_the_tensor_is_refused(message: str, sparsity: Any) -> None:
    with pytest.raises(MiniliteError, match=message) as caught:
        densified((2, 3), [5, 6, 7], sparsity)
    assert caught.value.rule == "sparsity"
    graph = one_op("DENSIFY", [constant(np.zeros((2, 3), np.float32))], [tensor()])
    with pytest.raises(InvokeError, match=message):
        evaluate(with_sparse(graph, 0, np.array([5, 6, 7], np.float32), sparsity))


def test_only_sparse_constants() -> None:
    for given in (tensor((2,)), constant(np.array([1, 2], np.float32))):
        with pytest.raises(PrepareError, match="not a constant that is stored sparse"):
            prepare(one_op("DENSIFY", [given], [tensor()]))
