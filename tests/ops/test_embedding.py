from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import TensorType
from minilite.ops.embedding import Combiner, EmbeddingLookupSparseOptions
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import evaluate, run

I32 = TensorType.INT32
TABLE = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def lookup(indices: TensorSpec, table: TensorSpec, out: TensorSpec | None = None) -> Any:
    return one_op("EMBEDDING_LOOKUP", [indices, table], [out or tensor()])


def test_rows_by_number() -> None:
    (y,) = evaluate(lookup(tensor((3,), I32), constant(TABLE)), np.array([2, 0, 2], np.int32))
    np.testing.assert_array_equal(y, [[5, 6], [1, 2], [5, 6]])


@pytest.mark.parametrize("kind", [TensorType.INT8, TensorType.INT4])
def test_rows_with_a_scale_of_their_own(kind: TensorType) -> None:
    table = constant([[1, -2], [3, -4]], kind, scale=[0.5, 2.0], zero_point=[0, 0])
    (y,) = evaluate(lookup(tensor((2,), I32), table), np.array([1, 0], np.int32))
    np.testing.assert_array_equal(y, [[6, -8], [0.5, -1]])


def test_a_uint8_table_holds_signed_bytes() -> None:
    table = constant([[255, 127]], TensorType.UINT8, scale=1.0)
    np.testing.assert_array_equal(
        evaluate(lookup(tensor((1,), I32), table), np.zeros(1, np.int32))[0], [[-1, 127]]
    )


@pytest.mark.parametrize("index", [-1, 3])
def test_a_row_that_is_not_there(index: int) -> None:
    with pytest.raises(InvokeError, match=r"input_0.*not from 0 to 2 at \(1,\)"):
        evaluate(lookup(tensor((2,), I32), constant(TABLE)), np.array([0, index], np.int32))


def sparse(combiner: Combiner, places: list[list[int]], shape: list[int]) -> Any:
    inputs = [
        constant(np.array([1, 2, 0], np.int32)),
        constant(np.array(places, np.int32)),
        constant(np.array(shape, np.int32)),
        tensor((3,)),
        constant(TABLE),
    ]
    return one_op("EMBEDDING_LOOKUP_SPARSE", inputs, [tensor()], EmbeddingLookupSparseOptions(combiner))


@pytest.mark.parametrize(
    ("combiner", "divisors"),
    [(Combiner.SUM, (1, 1)), (Combiner.MEAN, (7, 2)), (Combiner.SQRTN, (5, 2))],
)
def test_weighted_rows_are_combined(combiner: Combiner, divisors: tuple[int, int]) -> None:
    weights = np.array([3, 4, 2], np.float32)
    (y,) = evaluate(sparse(combiner, [[0, 0], [0, 3], [2, 1]], [3, 4]), weights)
    first, second = (np.float32(d) for d in divisors)
    expected = [(3 * TABLE[1] + 4 * TABLE[2]) / first, [0, 0], 2 * TABLE[0] / second]
    np.testing.assert_array_equal(y, expected)


def test_places_need_not_be_in_order() -> None:
    (y,) = evaluate(sparse(Combiner.MEAN, [[1, 0], [0, 0], [1, 1]], [2, 2]), np.ones(3, np.float32))
    np.testing.assert_array_equal(y, [TABLE[2], (TABLE[1] + TABLE[0]) / 2])


def test_a_place_outside_the_shape() -> None:
    with pytest.raises(InvokeError, match="outside the shape"):
        evaluate(sparse(Combiner.SUM, [[0, 0], [2, 0], [0, 0]], [2, 2]), np.ones(3, np.float32))


def table_by_key(values: TensorSpec, keys: list[int]) -> Any:
    outputs = [tensor((), values.type), tensor((), TensorType.UINT8)]
    return one_op(
        "HASHTABLE_LOOKUP", [tensor((3,), I32), constant(np.array(keys, np.int32)), values], outputs
    )


def test_rows_by_key() -> None:
    found, hits = evaluate(table_by_key(constant(TABLE), [-5, 10, 20]), np.array([20, 11, -5], np.int32))
    np.testing.assert_array_equal(found, [[5, 6], [0, 0], [1, 2]])
    np.testing.assert_array_equal(hits, [1, 0, 1])


def test_strings_by_key() -> None:
    strings = TensorSpec((2,), TensorType.STRING, data=np.array([b"one", b"two"], object))
    graph = prepare(table_by_key(strings, [1, 2]))
    found, hits = run(ReferenceExecutor(graph), [np.array([2, 3, 1], np.int32)])
    assert found.tolist() == [b"two", b"", b"one"]
    np.testing.assert_array_equal(hits, [1, 0, 1])


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("types", lookup(tensor((1,), TensorType.INT64), constant(TABLE))),
        ("types", lookup(tensor((1,), I32), constant([[1]], TensorType.INT16))),
        ("rank", lookup(tensor((1,), I32), constant(np.zeros(3, np.float32)))),
        ("rank", lookup(tensor((), I32), constant(TABLE))),
        ("zero-point", lookup(tensor((1,), I32), constant([[1]], TensorType.INT8, scale=1.0, zero_point=1))),
        ("quantization-missing", lookup(tensor((1,), I32), constant([[1]], TensorType.INT8))),
        ("sparse-shape", sparse(Combiner.SUM, [[0], [0], [0]], [2, 2])),
        ("lookups", sparse(Combiner.SUM, [[0, 0], [0, 0]], [2, 2])),
        ("rows", table_by_key(constant(TABLE), [1, 2])),
    ],
)
def test_refuses(rule: str, graph: Any) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
