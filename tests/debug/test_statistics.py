from __future__ import annotations

import numpy as np
import pytest

from minilite.debug import Statistics
from minilite.graph import Tensor, TensorType
from minilite.testing.models import make_tensor, tensor


def quantized(kind: TensorType, zero_point: int = 0) -> Tensor:
    return make_tensor(tensor((4,), kind, scale=0.5, zero_point=zero_point), 0, "x")


def test_floats() -> None:
    value = np.array([[1, -3, 0], [np.nan, np.inf, -np.inf]], np.float32)
    assert Statistics.of(value) == Statistics(6, -3, 1, -2 / 3, zeros=1, nan=1, infinite=2)


def test_nothing_finite_and_nothing_at_all() -> None:
    assert Statistics.of(np.array([np.nan])) == Statistics(1, None, None, None, zeros=0, nan=1, infinite=0)
    assert Statistics.of(np.zeros((0, 3))) == Statistics(0, None, None, None, zeros=0, nan=0, infinite=0)
    assert Statistics.of(np.array([b"text"], object)).count == 1


def test_the_mean_is_summed_in_float64() -> None:
    assert Statistics.of(np.full(1 << 20, 16777217 / 16, np.float64).astype(np.float32)).mean == 1048576.0
    assert Statistics.of(np.full(3, np.finfo(np.float16).max, np.float16)).mean == 65504


def test_codes() -> None:
    found = Statistics.of(np.array([0, 255, 3, 3], np.uint8), quantized(TensorType.UINT8, 3))
    assert found == Statistics(4, 0, 255, 65.25, zeros=2, nan=0, infinite=0, saturated=0.5, unused_codes=253)
    found = Statistics.of(np.array([-8, 7, 0, 0], np.int8), quantized(TensorType.INT4))
    assert (found.saturated, found.unused_codes) == (0.5, 13)
    found = Statistics.of(np.array([-(2**31), 1], np.int32), quantized(TensorType.INT32))
    assert (found.saturated, found.unused_codes, found.zeros) == (0.5, None, 0)


@pytest.mark.parametrize("value", [np.array([True, False]), np.array([1, 0], np.int64)])
def test_plain_integers_have_no_codes(value: np.ndarray[tuple[int], np.dtype[np.generic]]) -> None:
    assert Statistics.of(value) == Statistics(2, 0, 1, 0.5, zeros=1, nan=0, infinite=0)


def test_bfloat16_and_complex() -> None:
    words = (np.array([1.5, -2], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    tensor_ = make_tensor(tensor((2,), TensorType.BFLOAT16), 0, "x")
    assert Statistics.of(words, tensor_) == Statistics(2, -2, 1.5, -0.25, zeros=0, nan=0, infinite=0)
    assert Statistics.of(np.array([1j, np.nan], np.complex64)).nan == 1
