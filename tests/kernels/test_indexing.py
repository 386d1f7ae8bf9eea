"""Gathers, scatters and one-hot rows: what they move, and what they note of wrong positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import indexing
from minilite_kernels.indexing import GatherLayout
from minilite_kernels.kernel import FAULT_WORDS, note_fault

from tests.kernels.harness import call


def no_fault() -> Any:
    return np.zeros(FAULT_WORDS, np.int64)


@pytest.mark.parametrize("inner", [1, 5])
def test_gather(inner: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 7, inner)).astype(np.float32)
    positions = rng.integers(0, 7, (2, 4)).astype(np.int32)
    w = GatherLayout(outer=3, axis=7, inner=inner, taken=4)
    size = 2 * 3 * 4 * inner
    y = call(indexing.gather, size, np.float32, extent=6, x=x, positions=positions, fault=no_fault(), w=w)
    expected = np.stack([x[b][:, positions[b]] for b in range(2)])
    np.testing.assert_array_equal(y.reshape(expected.shape), expected)


@pytest.mark.parametrize("inner", [1, 2])
def test_gather_notes_the_first_wrong_position(inner: int) -> None:
    x, fault = np.ones((3, inner), np.float32), no_fault()
    positions, out = np.array([0, 3, 2, -1], np.int64), np.full(4 * inner, 9, np.float32)
    w = GatherLayout(outer=1, axis=3, inner=inner, taken=4)
    indexing.gather(0, 1, x=x.ravel(), positions=positions, out=out, fault=fault, w=w)
    assert out.reshape(4, inner)[:, 0].tolist() == [1, 0, 1, 0]
    assert fault.tolist() == [2, 3, 3]


def test_the_first_place_is_kept() -> None:
    fault = no_fault()
    for place, value in ((4, 40), (2, 20), (3, 30)):
        note_fault(fault, place, value, 10)
    assert fault.tolist() == [3, 20, 10]


def test_gather_nd_and_scatter_nd() -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    coordinates, limits = np.array([[0, 1], [1, 2], [0, 1]], np.int32), np.array([2, 3], np.int64)
    shared = {"coordinates": coordinates, "limits": limits, "fault": no_fault(), "inner": 2}
    y = call(indexing.gather_nd, 6, np.float32, extent=3, x=x, **shared)
    assert y.tolist() == [2, 3, 10, 11, 2, 3]
    y = call(indexing.scatter_nd, 12, np.float32, extent=1, slices=np.arange(6, dtype=np.float32), **shared)
    assert y.tolist() == [0, 0, 4, 6, 0, 0, 0, 0, 0, 0, 2, 3]


def test_coordinates_outside_move_nothing() -> None:
    coordinates, limits = np.array([0, 3, 1, 0], np.int32), np.array([2, 3], np.int64)
    shared = {"coordinates": coordinates, "limits": limits, "inner": 1}
    fault, out = no_fault(), np.full(2, 9, np.float32)
    x = np.arange(6, dtype=np.float32)
    indexing.gather_nd(0, 2, x=x, out=out, fault=fault, **shared)
    assert (out.tolist(), fault.tolist()) == ([0, 3], [2, 3, 3])
    fault, out = no_fault(), np.full(6, 9, np.float32)
    indexing.scatter_nd(0, 1, slices=x[1:3], out=out, fault=fault, **shared)
    assert (out.tolist(), fault.tolist()) == ([0, 0, 0, 2, 0, 0], [2, 3, 3])


def test_one_hot() -> None:
    indices = np.array([[0, 2, 5], [-1, 1, 1]], np.int32)
    on, off = np.array([7], np.int32), np.array([1], np.int32)
    y = call(indexing.one_hot, 18, np.int32, extent=2, indices=indices, on=on, off=off, depth=3, inner=3)
    expected = [[[7, 1, 1], [1, 1, 1], [1, 7, 1]], [[1, 1, 1], [1, 7, 7], [1, 1, 1]]]
    np.testing.assert_array_equal(y.reshape(2, 3, 3), expected)
