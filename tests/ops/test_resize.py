from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.resize import (
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    interpolation,
    interpolation_fixed_point,
    nearest_neighbors,
)
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import BYTES, each_type, evaluate

F32, I8, U8, I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT32
I16 = TensorType.INT16
DEFAULT = ResizeBilinearOptions()
ALIGNED = ResizeBilinearOptions(align_corners=True)
HALF_PIXEL = ResizeBilinearOptions(half_pixel_centers=True)
MODES = [DEFAULT, ALIGNED, HALF_PIXEL]


def resize(
    row: list[float], width: int, options: Any, kind: TensorType = F32, name: str = "RESIZE_BILINEAR"
) -> list[float]:
    x = np.array(row, kind.dtype).reshape(1, 1, -1, 1)
    size = constant(np.array([1, width], np.int32))
    graph = one_op(name, [tensor(x.shape, kind), size], [tensor((), kind)], options)
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


@each_type(I8, I16)
def test_rounded_steps_do_not_leave_the_picture(kind: TensorType) -> None:
    # 1.5 units of 1/1024 become 2: the last outputs would lie beyond the last of three pixels.
    row = resize([1, 2, 3], 2048, DEFAULT, kind)
    assert row[-1024:] == [3] * 1024


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 1, 2, 2, 3]),
        # 0, 0.5, 1, 1.5, 2: halves go away from zero.
        ({"align_corners": True}, [1, 2, 2, 3, 3]),
        ({"half_pixel_centers": True}, [1, 1, 2, 3, 3]),
        ({"align_corners": True, "half_pixel_centers": True}, [1, 2, 2, 3, 3]),
    ],
)
def test_nearest(options: dict[str, bool], expected: list[float]) -> None:
    nearest = ResizeNearestNeighborOptions(**options)
    assert resize([1, 2, 3], 5, nearest, name="RESIZE_NEAREST_NEIGHBOR") == expected
    assert resize([1, 2, 3], 5, nearest, I8, name="RESIZE_NEAREST_NEIGHBOR") == expected


def test_nearest_is_found_in_float32() -> None:
    # 11 * 26 / 22 is 13, but the quotient of float32 is below 13 / 11.
    assert nearest_neighbors(26, 22, ResizeNearestNeighborOptions())[11] == 12


def test_nearest_may_leave_no_pixel() -> None:
    size = constant(np.array([0, 3], np.int32))
    graph = one_op("RESIZE_NEAREST_NEIGHBOR", [tensor((1, 0, 2, 1)), size], [tensor()])
    assert evaluate(graph, np.zeros((1, 0, 2, 1), np.float32))[0].shape == (1, 0, 3, 1)


@pytest.mark.parametrize("options", MODES)
def test_a_single_pixel_fills_the_picture(options: ResizeBilinearOptions) -> None:
    assert resize([7], 3, options) == [7, 7, 7]
    assert resize([7, 9, 11], 1, options) == [9 if options is HALF_PIXEL else 7]


@pytest.mark.parametrize(
    ("name", "expected"), [("RESIZE_BILINEAR", [0, 4, 8, 8]), ("RESIZE_NEAREST_NEIGHBOR", [0, 0, 8, 8])]
)
def test_a_computed_size_is_known_after_the_run(name: str, expected: list[float]) -> None:
    graph = one_op(name, [tensor((1, 1, 2, 1)), tensor((2,), I32)], [tensor((1, 1, 1, 1))])
    (y,) = evaluate(graph, np.array([0, 8], np.float32).reshape(1, 1, 2, 1), np.array([1, 4], np.int32))
    np.testing.assert_array_equal(y.ravel(), expected)


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


@each_type(F32, *BYTES, TensorType.INT16)
@pytest.mark.parametrize("name", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_a_kernel_runs(name: str, kind: TensorType) -> None:
    plan = pytest.importorskip("minilite.plan", reason="plans need Numba")
    size = constant(np.array([7, 2], np.int32))
    graph = one_op(name, [tensor((2, 5, 3, 3), kind), size], [tensor((), kind)])
    (step,) = plan.build_plan(prepare(graph)).steps()
    assert isinstance(step, plan.KernelStep)
