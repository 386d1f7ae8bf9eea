"""Copies of blocks: what concatenation is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels.arrangement import copy_blocks

from tests.kernels.harness import Array, Guarded, call


def test_contiguous_blocks_are_a_copy() -> None:
    x = np.arange(12, dtype=np.float32)
    result = call(copy_blocks, 12, np.float32, extent=3, x=x, block=4, stride=4, offset=0)
    assert result.tolist() == x.tolist()


def test_bits_are_copied_not_values() -> None:
    # A signalling NaN with a payload, and -0.
    x = np.array([0x7FA12345, 0x80000000], np.uint32).view(np.float32)
    result = call(copy_blocks, 2, np.float32, extent=2, x=x, block=1, stride=1, offset=0)
    assert result.tobytes() == x.tobytes()


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from([np.float32, np.uint8, np.int64]),
)
def test_parts_side_by_side_are_a_concatenation(widths: list[int], outer: int, dtype: Any) -> None:
    total = sum(widths)
    values = iter(range(outer * total))
    parts: list[Array] = [
        np.array([[next(values) for _ in range(n)] for _ in range(outer)], dtype) for n in widths
    ]
    out = Guarded(np.full(outer * total, 99, dtype))
    offset = 0
    for part in parts:
        # The second half first: each position is by itself.
        for start, stop in ((outer // 2, outer), (0, outer // 2)):
            copy_blocks(
                start, stop, x=part.ravel(), out=out.array, block=part.shape[1], stride=total, offset=offset
            )
        offset += part.shape[1]
    out.check()
    np.testing.assert_array_equal(out.array.reshape(outer, total), np.concatenate(parts, axis=1))
