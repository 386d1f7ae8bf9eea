"""Which taps of a window meet the image."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels.window import Window, interior_columns, valid_taps

from tests.kernels.harness import windows


def test_a_window_over_the_left_border() -> None:
    # Taps at -3, -1, 1, 3 and 5; pixels 0 ... 3.
    assert valid_taps(-3, 4, 5, 2) == (2, 4)


@given(st.integers(-30, 30), st.integers(1, 12), st.integers(1, 7), st.integers(1, 5))
def test_valid_taps_are_those_inside(origin: int, size: int, taps: int, dilation: int) -> None:
    first, last = valid_taps(origin, size, taps, dilation)
    inside = [tap for tap in range(taps) if 0 <= origin + tap * dilation < size]
    assert list(range(first, last)) == inside
    assert 0 <= first <= taps
    assert 0 <= last <= taps


@given(windows(st.just(1), dilation=3))
def test_interior_columns_are_those_with_all_taps_inside(w: Window) -> None:
    first, last = interior_columns(w)
    lefts = [column * w.stride_w - w.pad_left for column in range(w.out_w)]
    extent = (w.kernel_w - 1) * w.dilation_w
    inside = [column for column, left in enumerate(lefts) if left >= 0 and left + extent < w.in_w]
    assert list(range(first, last)) == inside
