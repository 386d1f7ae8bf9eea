from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from minilite.graph import Padding
from minilite.shapes import Window, broadcast, normalized_axis, padded_size

SAME, VALID = Padding.SAME, Padding.VALID


@pytest.mark.parametrize(
    ("padding", "size", "kernel", "stride", "dilation", "expected"),
    [
        (SAME, 8, 3, 2, 1, (4, 0)),
        (SAME, 9, 3, 2, 1, (5, 1)),
        (SAME, 5, 2, 1, 1, (5, 0)),
        (SAME, 9, 3, 1, 12, (9, 12)),
        (SAME, 7, 1, 3, 1, (3, 0)),
        (SAME, 0, 3, 2, 1, (0, 0)),
        (VALID, 8, 3, 2, 1, (3, 0)),
        (VALID, 9, 3, 2, 1, (4, 0)),
        (VALID, 9, 3, 1, 4, (1, 0)),
        (VALID, 2, 3, 1, 1, (0, 0)),
        (VALID, 2, 9, 2, 1, (-3, 0)),
    ],
)
def test_padded_size(
    padding: Padding, size: int, kernel: int, stride: int, dilation: int, expected: tuple[int, int]
) -> None:
    assert padded_size(padding, size, kernel, stride, dilation) == expected


def window(**fields: int) -> Window:
    sizes: dict[str, Any] = {"batch": 1, "in_h": 1, "in_w": 5, "in_c": 4, "out_h": 1, "out_w": 5, "out_c": 8}
    steps = {f"{name}_{axis}": 1 for name in ("kernel", "stride", "dilation") for axis in "hw"}
    return Window(**(sizes | steps | {"pad_top": 0, "pad_left": 0} | fields))


def test_taps_leave_out_what_is_outside() -> None:
    taps = list(window(kernel_w=3, pad_left=1).taps())
    columns = [(t.x, t.inputs[2], t.outputs[2]) for t in taps]
    assert columns == [
        (0, slice(0, 4, 1), slice(1, 5)),
        (1, slice(0, 5, 1), slice(0, 5)),
        (2, slice(1, 5, 1), slice(0, 4)),
    ]
    wide = window(kernel_w=3, dilation_w=12, pad_left=12)
    assert [t.x for t in wide.taps()] == [1]


def test_taps_of_a_window_far_wider_than_the_picture() -> None:
    huge = 2**31 - 1
    out, before = padded_size(Padding.SAME, 5, huge, 1)
    taps = list(window(kernel_w=huge, pad_left=before).taps())
    assert out == 5
    assert [t.x for t in taps] == [before + offset for offset in range(-4, 5)]


@given(data=st.data(), padding=st.sampled_from(Padding))
def test_taps_are_what_a_loop_over_pixels_visits(data: st.DataObject, padding: Padding) -> None:
    size, kernel = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    stride, dilation = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    out, before = padded_size(padding, size, kernel, stride, dilation)
    expected = {
        (k, o * stride + k * dilation - before, o)
        for o in range(out)
        for k in range(kernel)
        if 0 <= o * stride + k * dilation - before < size
    }
    sliding = window(
        in_w=size, out_w=max(out, 0), kernel_w=kernel, stride_w=stride, dilation_w=dilation, pad_left=before
    )
    visited = [
        (t.x, i, o)
        for t in sliding.taps()
        for i, o in zip(np.arange(size)[t.inputs[2]], np.arange(out)[t.outputs[2]], strict=True)
    ]
    assert sorted(visited) == sorted(expected)


def test_window_derives_shape_and_multiplier() -> None:
    assert window(groups=4).output_shape == (1, 1, 5, 8)
    assert window(groups=4).multiplier == 2


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((2, 3), (3,), (2, 3)),
        ((), (2,), (2,)),
        ((4, 1), (1, 5), (4, 5)),
        ((1,), (0,), (0,)),
        ((0,), (2,), None),
        ((2, 3), (2,), None),
    ],
)
def test_broadcast(a: tuple[int, ...], b: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    assert broadcast(a, b) == broadcast(b, a) == expected


@given(mutually_broadcastable_shapes(num_shapes=2, min_side=0))
def test_broadcast_is_that_of_numpy(shapes: Any) -> None:
    assert broadcast(*shapes.input_shapes) == shapes.result_shape


def test_normalized_axis() -> None:
    assert [normalized_axis(axis, 3) for axis in (-4, -3, -1, 0, 2, 3)] == [None, 0, 2, 0, 2, None]
    assert normalized_axis(0, 0) is None
