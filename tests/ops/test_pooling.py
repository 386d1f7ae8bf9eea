from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Activation, Array, Padding, TensorType
from minilite.ops.pooling import Pool2DOptions
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import BYTES, evaluate

POOLS = ["AVERAGE_POOL_2D", "MAX_POOL_2D"]
F32, I8, U8, I16 = TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT16


def window(width: int, padding: Padding = Padding.VALID, **fields: Any) -> Pool2DOptions:
    return Pool2DOptions(
        padding, **{"stride_w": 1, "stride_h": 1, "filter_width": width, "filter_height": 1} | fields
    )


def pool(name: str, values: Array, options: Pool2DOptions, kind: TensorType = F32) -> list[float]:
    row = np.asarray(values, kind.dtype).reshape(1, 1, -1, 1)
    spec = {} if kind is F32 else {"scale": 0.5, "zero_point": 3}
    graph = one_op(name, [tensor(row.shape, kind, **spec)], [tensor((), kind, **spec)], options)
    (y,) = evaluate(graph, row)
    return list(y.ravel())


def test_average_divides_by_the_pixels_inside() -> None:
    row = np.array([2, 4, 12])
    assert pool("AVERAGE_POOL_2D", row, window(3, Padding.SAME)) == [3, 6, 8]


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        (U8, [1, 2, 2, 3], [2, 2, 3]),
        (I8, [-1, -2, 2, 3], [-2, 0, 3]),
        (I8, [-128, -128, 127, 127], [-128, -1, 127]),
    ],
)
def test_integer_average_rounds_half_away(kind: TensorType, row: list[int], expected: list[int]) -> None:
    assert pool("AVERAGE_POOL_2D", np.array(row), window(2), kind) == expected


def test_maximum() -> None:
    assert pool("MAX_POOL_2D", np.array([3, 1, 2, -5]), window(2, stride_w=2)) == [3, 2]
    assert pool("MAX_POOL_2D", np.array([-3, -1, -2, -5]), window(3, Padding.SAME), I8) == [-1, -1, -1, -2]


def test_maximum_ignores_nan_and_is_never_below_the_lowest_float() -> None:
    lowest = float(np.finfo(np.float32).min)
    assert pool("MAX_POOL_2D", np.array([np.nan, 1, np.nan, -np.inf]), window(2)) == [1, 1, lowest]


def test_the_root_of_the_mean_square() -> None:
    assert pool("L2_POOL_2D", np.array([3, -5, 1, 1]), window(2, stride_w=2)) == pytest.approx([17**0.5, 1])
    clamped = window(2, stride_w=2, fused_activation_function=Activation.RELU_N1_TO_1)
    assert pool("L2_POOL_2D", np.array([3, -5, 0.5, 0.5]), clamped) == [1, 0.5]


def test_fused_activation_is_in_the_outputs_units() -> None:
    # Zero point 3, scale 0.5: a real zero is 3, a real six is 15.
    options = window(1, fused_activation_function=Activation.RELU6)
    assert pool("MAX_POOL_2D", np.array([0, 3, 15, 200]), options, U8) == [3, 3, 15, 15]


@pytest.mark.parametrize(
    ("rule", "shape", "options", "scales"),
    [
        ("rank", (4, 4, 1), window(2), (1, 1)),
        ("stride-w", (1, 4, 4, 1), window(2, stride_w=0), (1, 1)),
        ("filter-width", (1, 4, 4, 1), window(0), (1, 1)),
        ("filter-height", (1, 4, 4, 1), window(1, filter_height=0), (1, 1)),
        ("empty-output", (1, 4, 4, 1), window(5), (1, 1)),
        ("empty-output", (1, 4, 0, 1), window(1, Padding.SAME), (1, 1)),
        ("quantization-equal", (1, 4, 4, 1), window(2), (1, 2)),
        ("fused-activation", (1, 4, 4, 1), window(2, fused_activation_function=Activation.SIGN_BIT), (1, 1)),
    ],
)
@pytest.mark.parametrize("name", POOLS)
def test_refuses(
    name: str, rule: str, shape: tuple[int, ...], options: Pool2DOptions, scales: tuple[float, float]
) -> None:
    graph = one_op(name, [tensor(shape, U8, scale=scales[0])], [tensor((), U8, scale=scales[1])], options)
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def test_l2_is_of_floats_only() -> None:
    graph = one_op("L2_POOL_2D", [tensor((1, 4, 4, 1), I8, scale=1)], [tensor((), I8, scale=1)], window(2))
    with pytest.raises(PrepareError, match="INT8 -> INT8 are not supported"):
        prepare(graph)


def test_sums_of_a_window_that_32_bits_cannot_hold() -> None:
    # 65,792 pixels of -32768: the kernel for small windows would wrap.
    x = np.full((1, 257, 256, 1), -32768, np.int16)
    options = window(256, stride_w=256, filter_height=257, stride_h=257)
    graph = one_op("AVERAGE_POOL_2D", [tensor(x.shape, I16, scale=1)], [tensor((), I16, scale=1)], options)
    assert evaluate(graph, x)[0].item() == -32768


KINDS = [("L2_POOL_2D", F32), *((name, kind) for name in POOLS for kind in (F32, *BYTES, I16))]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_kernel_runs(name: str, kind: TensorType) -> None:
    plan = pytest.importorskip("minilite.plan", reason="plans need Numba")
    spec = tensor((2, 5, 7, 3), kind) if kind is F32 else tensor((2, 5, 7, 3), kind, scale=1)
    (step,) = plan.build_plan(prepare(one_op(name, [spec], [spec], window(2)))).steps()
    assert isinstance(step, plan.KernelStep)
