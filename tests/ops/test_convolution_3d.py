from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Activation, Graph, Padding, TensorType
from minilite.ops.convolution_3d import Conv3DOptions
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import evaluate

I32 = TensorType.INT32
F32 = TensorType.FLOAT32


def options(padding: Padding = Padding.VALID, **fields: Any) -> Conv3DOptions:
    return Conv3DOptions(padding, **{"stride_d": 1, "stride_h": 1, "stride_w": 1} | fields)


def test_each_axis_has_its_own_stride_and_dilation() -> None:
    # The value of a voxel is its place, depth * 100 + row * 10 + column.
    x = np.add.outer(np.add.outer([0, 100, 200], [0, 10, 20]), np.arange(4)).reshape(1, 3, 3, 4, 1)
    corners = constant(np.ones((2, 1, 2, 1, 1), np.float32))
    given = options(stride_d=2, stride_h=2, dilation_d_factor=2, dilation_w_factor=3)
    (y,) = evaluate(one_op("CONV_3D", [tensor(x.shape), corners], [tensor()], given), x.astype(np.float32))
    assert y.shape == (1, 1, 2, 1, 1)
    # Front and back, left and right: 0 + 3 + 200 + 203, and 20 more each two rows below.
    assert y.ravel().tolist() == [406, 486]


def test_channels_bias_and_activation() -> None:
    # The filter is [depth, height, width, in channels, out channels].
    weights = constant(np.array([[1, 10, -1], [2, 20, -2]], np.float32).reshape(1, 1, 1, 2, 3))
    bias = constant([0.5, -49, 4], F32)
    clamped = options(fused_activation_function=Activation.RELU6)
    graph = one_op("CONV_3D", [tensor((1, 1, 1, 1, 2)), weights, bias], [tensor()], clamped)
    (y,) = evaluate(graph, np.array([1, 2], np.float32).reshape(1, 1, 1, 1, 2))
    assert y.ravel().tolist() == [5.5, 1, 0]


def test_same_padding_counts_no_voxel_outside() -> None:
    ones = constant(np.ones((3, 1, 1, 1, 1), np.float32))
    graph = one_op("CONV_3D", [tensor((1, 3, 1, 1, 1)), ones], [tensor()], options(Padding.SAME))
    (y,) = evaluate(graph, np.array([1, 10, 100], np.float32).reshape(1, 3, 1, 1, 1))
    assert y.ravel().tolist() == [11, 111, 110]


def transposed(size: tuple[int, ...], given: Conv3DOptions, depth: int = 2) -> Graph:
    weights = constant(np.array([1, 10, 100], np.float32).reshape(3, 1, 1, 1, 1))
    inputs = [constant(size, I32), weights, tensor((1, depth, 1, 1, 1)), constant([0.5], F32)]
    return one_op("CONV_3D_TRANSPOSE", inputs, [tensor()], given)


@pytest.mark.parametrize(
    ("depth", "given", "expected"),
    [
        (5, options(stride_d=2), [1.5, 10.5, 102.5, 20.5, 200.5]),
        (3, options(Padding.SAME, stride_d=2), [10.5, 102.5, 20.5]),
        (6, options(dilation_d_factor=2), [1.5, 2.5, 10.5, 20.5, 100.5, 200.5]),
    ],
)
def test_transposed(depth: int, given: Conv3DOptions, expected: list[float]) -> None:
    x = np.array([1, 2], np.float32).reshape(1, 2, 1, 1, 1)
    (y,) = evaluate(transposed((1, depth, 1, 1, 1), given), x)
    assert y.ravel().tolist() == expected


def test_a_computed_shape_is_known_after_the_run() -> None:
    weights = constant(np.array([1, 10, 100], np.float32).reshape(3, 1, 1, 1, 1))
    inputs = [tensor((5,), I32), weights, tensor((1, 2, 1, 1, 1))]
    graph = one_op("CONV_3D_TRANSPOSE", inputs, [tensor()], options(stride_d=2))
    x = np.array([1, 2], np.float32).reshape(1, 2, 1, 1, 1)
    (y,) = evaluate(graph, np.array([1, 5, 1, 1, 1], np.int32), x)
    assert y.ravel().tolist() == [1, 10, 102, 20, 200]
    with pytest.raises(InvokeError, match=r"which convolved gives \(3, 1, 1\)"):
        evaluate(graph, np.array([1, 7, 1, 1, 1], np.int32), x)


def conv(
    shape: tuple[int, ...] = (1, 4, 4, 4, 2), filters: tuple[int, ...] = (2, 2, 2, 2, 3), **given: Any
) -> Graph:
    inputs = [tensor(shape), tensor(filters), tensor((given.pop("bias", 3),))]
    return one_op("CONV_3D", inputs, [tensor()], options(**given))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("rank", conv(shape=(4, 4, 4, 2))),
        ("rank", conv(filters=(2, 2, 2, 3))),
        ("empty-filter", conv(filters=(0, 2, 2, 2, 3))),
        ("filter-channels", conv(filters=(2, 2, 2, 3, 3))),
        ("bias-size", conv(bias=2)),
        ("stride-d", conv(stride_d=0)),
        ("dilation-w-factor", conv(dilation_w_factor=0)),
        ("empty-output", conv(dilation_h_factor=4)),
        ("fused-activation", conv(fused_activation_function=Activation.TANH)),
        ("size-shape", transposed((5, 1, 1), options(stride_d=2))),
        ("output-shape", transposed((2, 5, 1, 1, 1), options(stride_d=2))),
        ("output-shape", transposed((1, 5, 1, 1, 3), options(stride_d=2))),
        ("output-shape", transposed((1, -5, 1, 1, 1), options(stride_d=2))),
        ("output-shape", transposed((1, 5, 1, 1, 1), options(stride_d=2), depth=3)),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
