from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.errors import PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.resize import ResizeBilinearOptions, interpolation, interpolation_fixed_point
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import BYTES, assert_agrees, each_type, evaluate, quantized, random_values

F32, I8, U8, I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT32
DEFAULT = ResizeBilinearOptions()
ALIGNED = ResizeBilinearOptions(align_corners=True)
HALF_PIXEL = ResizeBilinearOptions(half_pixel_centers=True)
MODES = [DEFAULT, ALIGNED, HALF_PIXEL]


def resize(
    row: list[float], width: int, options: ResizeBilinearOptions, kind: TensorType = F32
) -> list[float]:
    x = np.array(row, kind.dtype).reshape(1, 1, -1, 1)
    size = constant(np.array([1, width], np.int32))
    graph = one_op("RESIZE_BILINEAR", [tensor(x.shape, kind), size], [tensor((), kind)], options)
    (y,) = evaluate(graph, x)
    return list(y.ravel())


@pytest.mark.parametrize(
    ("options", "expected"),
    [(DEFAULT, [0, 4, 8, 8]), (ALIGNED, [0, 8 / 3, 16 / 3, 8]), (HALF_PIXEL, [0, 2, 6, 8])],
)
def test_coordinate_modes(options: ResizeBilinearOptions, expected: list[float]) -> None:
    assert resize([0, 8], 4, options) == pytest.approx(expected, abs=1e-6)


def test_a_pixel_that_is_hit_is_not_mixed_with_the_next() -> None:
    # An infinity would show it, even with the weight 0.
    assert resize([1, 5, np.inf], 3, DEFAULT)[:2] == [1, 5]


def test_half_pixel_weights_leave_the_unit_interval_at_the_border() -> None:
    lower, upper, weight = interpolation(2, 4, HALF_PIXEL)
    assert (lower.tolist(), upper.tolist()) == ([0, 0, 0, 1], [0, 1, 1, 1])
    assert weight.tolist() == [-0.25, 0.25, 0.75, 0.25]


def test_fixed_point_positions() -> None:
    lower, upper, weight = interpolation_fixed_point(2, 4, HALF_PIXEL)
    assert (lower.tolist(), upper.tolist(), weight.tolist()) == (
        [0, 0, 0, 1],
        [0, 1, 1, 1],
        [-256, 256, 768, 256],
    )
    assert interpolation_fixed_point(3, 4, ALIGNED)[2].tolist() == [0, 683, 342, 1]


def test_uint8_rounds_half_up_and_int8_half_away() -> None:
    assert resize([0, 1], 4, DEFAULT, U8) == [0, 1, 1, 1]
    assert resize([0, -1], 4, DEFAULT, I8) == [0, -1, -1, -1]
    assert resize([0, 1], 4, DEFAULT, I8) == [0, 1, 1, 1]


@pytest.mark.parametrize("options", MODES)
def test_a_single_pixel_fills_the_picture(options: ResizeBilinearOptions) -> None:
    assert resize([7], 3, options) == [7, 7, 7]
    assert resize([7, 9, 11], 1, options) == [9 if options is HALF_PIXEL else 7]


def test_a_computed_size_is_known_after_the_run() -> None:
    graph = one_op("RESIZE_BILINEAR", [tensor((1, 1, 2, 1)), tensor((2,), I32)], [tensor((1, 1, 1, 1))])
    (y,) = evaluate(graph, np.array([0, 8], np.float32).reshape(1, 1, 2, 1), np.array([1, 4], np.int32))
    np.testing.assert_array_equal(y.ravel(), [0, 4, 8, 8])


def one_resize(shape: tuple[int, ...], size: list[int], options: ResizeBilinearOptions) -> Graph:
    return one_op("RESIZE_BILINEAR", [tensor(shape), constant(np.array(size, np.int32))], [tensor()], options)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("rank", one_resize((2, 2, 1), [1, 1], DEFAULT)),
        ("size-shape", one_resize((1, 2, 2, 1), [1, 1, 1], DEFAULT)),
        ("resize-size", one_resize((1, 2, 2, 1), [0, 1], DEFAULT)),
        ("resize-size", one_resize((1, 2, 2, 1), [1, -1], DEFAULT)),
        ("resize-size", one_resize((1, 0, 2, 1), [1, 1], DEFAULT)),
        ("resize-mode", one_resize((1, 2, 2, 1), [1, 1], ResizeBilinearOptions(True, True))),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


SIZES = st.integers(1, 40)


@each_type(F32, *BYTES)
@pytest.mark.parametrize("options", MODES, ids=["default", "align_corners", "half_pixel_centers"])
@given(in_h=SIZES, in_w=SIZES, out_h=SIZES, out_w=SIZES, seed=st.integers(0, 2**32 - 1))
def test_agrees_with_litert(
    litert: Any, kind: TensorType, options: ResizeBilinearOptions,
    in_h: int, in_w: int, out_h: int, out_w: int, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 3)), in_h, in_w, int(rng.integers(1, 4)))
    size = constant(np.array([out_h, out_w], np.int32))
    # Different scales: raw values are interpolated all the same.
    specs = [tensor(shape), tensor()]
    if kind is not F32:
        specs = [quantized(kind, 0.05, 3, shape), quantized(kind, 0.07, 9)]
    graph = one_op("RESIZE_BILINEAR", [specs[0], size], specs[1:], options, version=3)
    assert_agrees(litert, graph, random_values(rng, shape, kind), exact=True)
