"""Figures of how far two values lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from minilite.debug.difference import difference, label_flips, real, ulps_between
from minilite.graph import Quantization, Tensor, TensorType

F32 = np.float32


def test_figures_of_integers() -> None:
    a = np.array([[1, 2], [3, 250]], np.uint8)
    b = np.array([[1, 4], [3, 0]], np.uint8)
    found = difference(a, b)
    assert (found.elements, found.unequal, found.worst) == (4, 2, (1, 1))
    assert (found.given, found.expected) == (250, 0)
    assert found.absolute.max == 250
    assert found.absolute.mean == 63
    assert found.absolute.median == 2
    assert found.relative.max == np.inf  # off from a zero
    assert found.steps == found.absolute
    assert found.ulps is None


def test_figures_of_floats() -> None:
    b = np.array([1.0, 2.0, -4.0, 0.0], F32)
    a = np.array([np.nextafter(F32(1), F32(2)), 2.0, -5.0, 0.0], F32)
    found = difference(a, b)
    assert (found.unequal, found.worst) == (2, (2,))
    assert found.absolute.max == 1
    assert found.relative.max == 0.25
    assert found.ulps is not None
    assert found.ulps.max == 2**21  # a quarter of the way from -4 to -8, of 2^23 numbers
    assert found.ulps.median == 1
    assert found.snr_db == pytest.approx(10 * np.log10(21), abs=1e-6)


def test_ulps_cross_zero_and_count_both_zeros_as_one() -> None:
    tiny = np.finfo(F32).smallest_subnormal
    a, b = np.array([tiny, -0.0, tiny], F32), np.array([-tiny, 0.0, 0.0], F32)
    assert ulps_between(a, b, np.dtype(F32)).tolist() == [2, 0, 1]
    for dtype in (np.float16, np.float64):
        one = np.ones(1, dtype)
        assert ulps_between(np.nextafter(one, 2 * one), one, np.dtype(dtype)).tolist() == [1]


def test_what_is_not_a_number() -> None:
    nan, inf = np.nan, np.inf
    same = difference(np.array([nan, inf], F32), np.array([nan, inf], F32))
    assert same.equal
    other = difference(np.array([nan, inf, 1], F32), np.array([0, inf, 1], F32))
    assert (other.unequal, other.absolute.max, other.absolute.median) == (1, inf, 0)


def test_wide_integers_that_double_precision_takes_for_equal() -> None:
    found = difference(np.array([2**60 + 1]), np.array([2**60]))
    assert (found.unequal, found.absolute.max) == (1, 1)


def test_other_shapes_and_texts() -> None:
    assert difference(np.zeros(2), np.zeros(3)).fault == "shape (2,) instead of (3,)"
    texts = difference(np.array([b"a", b"b"], object), np.array([b"a", b"c"], object))
    assert (texts.unequal, texts.worst, texts.expected) == (1, (1,), "b'c'")


def test_double_precision_beside_single() -> None:
    found = difference(np.array([1 / 3], F32), np.array([1 / 3]))
    assert found.absolute.max == pytest.approx(1e-8, rel=0.1)
    assert found.ulps is not None
    assert found.ulps.max == 0  # there is no better float32


def tensor(kind: TensorType, *scales: float, dimension: int = 0) -> Tensor:
    quantization = None
    if scales:
        zero_points = np.arange(len(scales), dtype=np.int64)
        quantization = Quantization(np.array(scales, F32), zero_points, dimension)
    return Tensor(0, "t", kind, (2, 2), (2, 2), quantization)


def test_dequantized() -> None:
    codes = np.array([[1, 2], [3, 4]], np.int8)
    assert real(codes, tensor(TensorType.INT8, 0.5)).tolist() == [[0.5, 1], [1.5, 2]]
    assert real(codes, tensor(TensorType.INT8, 0.5, 2, dimension=1)).tolist() == [[0.5, 2], [1.5, 6]]
    assert real(codes, tensor(TensorType.INT8)) is codes


def test_labels_flip() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2]], F32)
    other = np.array([[0.1, 0.9], [0.1, 0.2]], F32)
    assert label_flips(scores, other, tensor(TensorType.FLOAT32)) == (1, 2)
    assert label_flips(np.array([1, 2]), np.array([1, 3]), tensor(TensorType.INT64)) == (1, 2)
    assert label_flips(scores[0], other[0], tensor(TensorType.FLOAT32)) is None
