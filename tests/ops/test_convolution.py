from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minilite import ops
from minilite.errors import PrepareError
from minilite.graph import Activation, Array, Graph, Padding, TensorType
from minilite.ops.convolution import Conv2DOptions
from minilite.ops.convolution_parameters import convolution_geometry, quantized_multipliers
from minilite.ops.depthwise_convolution import DepthwiseConv2DOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import assert_agrees, evaluate

UNIT = Conv2DOptions(stride_w=1, stride_h=1)
VALID = replace(UNIT, padding=Padding.VALID)
ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6)


def conv(x: TensorSpec, w: Array, bias: Array | None = None, options: Conv2DOptions = UNIT) -> Graph:
    return one_op(
        "CONV_2D", [x, constant(w), *([] if bias is None else [constant(bias)])], [tensor()], options
    )


def ramp(*shape: int) -> Array:
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


def test_same_padding_sums_only_pixels_that_are_there() -> None:
    (y,) = evaluate(conv(tensor((1, 3, 3, 1)), np.ones((1, 3, 3, 1), np.float32)), ramp(1, 3, 3, 1))
    np.testing.assert_array_equal(y[0, :, :, 0], [[12, 21, 16], [27, 45, 33], [24, 39, 28]])


def test_same_padding_with_stride_puts_the_odd_pixel_behind() -> None:
    # 4 pixels, kernel 3, stride 2: nothing before, one after.
    graph = conv(tensor((1, 1, 4, 1)), np.ones((1, 1, 3, 1), np.float32), options=replace(UNIT, stride_w=2))
    np.testing.assert_array_equal(evaluate(graph, ramp(1, 1, 4, 1))[0].ravel(), [6, 7])


def test_filters_are_out_height_width_in() -> None:
    # Two filters over two channels: each picks one channel of one column.
    w = np.zeros((2, 1, 2, 2), np.float32)
    w[0, 0, 1, 0], w[1, 0, 0, 1] = 1, 10
    (y,) = evaluate(conv(tensor((1, 1, 3, 2)), w, np.array([0.5, -0.5], np.float32), VALID), ramp(1, 1, 3, 2))
    np.testing.assert_array_equal(y[0, 0], [[3.5, 19.5], [5.5, 39.5]])


def test_dilation_wider_than_the_picture_leaves_the_centre() -> None:
    options = replace(UNIT, dilation_w_factor=12, dilation_h_factor=12)
    w = np.full((1, 3, 3, 1), 100, np.float32)
    w[0, 1, 1, 0] = 2
    (y,) = evaluate(conv(tensor((1, 3, 3, 1)), w, options=options), ramp(1, 3, 3, 1))
    np.testing.assert_array_equal(y, 2 * ramp(1, 3, 3, 1))


def test_groups_see_only_their_channels() -> None:
    w = np.array([1, 10, 100, 1000], np.float32).reshape(2, 1, 1, 2)
    (y,) = evaluate(conv(tensor((1, 1, 1, 4)), w), ramp(1, 1, 1, 4))
    np.testing.assert_array_equal(y.ravel(), [1 + 20, 300 + 4000])


def test_depthwise_output_channel_is_channel_times_multiplier_plus_m() -> None:
    options = DepthwiseConv2DOptions(stride_w=1, stride_h=1)
    w = np.array([1, 10, 100, 1000], np.float32).reshape(1, 1, 1, 4)
    graph = one_op("DEPTHWISE_CONV_2D", [tensor((1, 1, 1, 2)), constant(w)], [tensor()], options)
    (y,) = evaluate(graph, np.array([2, 3], np.float32).reshape(1, 1, 1, 2))
    np.testing.assert_array_equal(y.ravel(), [2, 20, 300, 3000])


def test_uint8_subtracts_both_zero_points_and_clamps() -> None:
    # (12-10)*(5-3) + (7-10)*(1-3) + 4 = 14; times 0.5*0.25/0.125 = 1; plus 100.
    x = tensor((1, 1, 1, 2), TensorType.UINT8, scale=0.5, zero_point=10)
    w = constant(np.array([5, 1], np.uint8).reshape(1, 1, 1, 2), scale=0.25, zero_point=3)
    y = tensor((), TensorType.UINT8, scale=0.125, zero_point=100)
    bias = constant(np.array([4], np.int32))
    for activation, expected in ((Activation.NONE, 114), (Activation.RELU_N1_TO_1, 108)):
        graph = one_op("CONV_2D", [x, w, bias], [y], replace(UNIT, fused_activation_function=activation))
        assert evaluate(graph, np.array([12, 7], np.uint8).reshape(1, 1, 1, 2))[0].item() == expected


def test_int8_scales_each_channel() -> None:
    x = tensor((1, 1, 1, 1), TensorType.INT8, scale=1.0, zero_point=-1)
    w = constant(np.array([2, 2, -2], np.int8).reshape(3, 1, 1, 1), scale=[1.0, 0.5, 0.25])
    graph = one_op("CONV_2D", [x, w], [tensor((), TensorType.INT8, scale=1.0)], UNIT)
    # (2+1)*2 = 6: as it is, halved, quartered to -1.5, which is rounded away from zero.
    np.testing.assert_array_equal(
        evaluate(graph, np.array([2], np.int8).reshape(1, 1, 1, 1))[0].ravel(), [6, 3, -2]
    )


def test_negative_scales_of_weights_are_factors(litert: Any) -> None:
    # As in a network whose normalization was folded into the scales.
    x = tensor((1, 1, 1, 1), TensorType.INT8, scale=0.5)
    w = constant(np.array([2, 2], np.int8).reshape(2, 1, 1, 1), scale=[-0.5, 0.5])
    bias = constant(np.array([0, 1], np.int32))
    graph = one_op("CONV_2D", [x, w, bias], [tensor((), TensorType.INT8, scale=1.0, zero_point=5)], UNIT)
    (y,) = assert_agrees(litert, graph, np.array([7], np.int8).reshape(1, 1, 1, 1))
    # 14 / -4 = -3.5, away from zero; 15 / 4 = 3.75.
    np.testing.assert_array_equal(y.ravel(), [5 - 4, 5 + 4])


def test_int16_sums_of_64_bits_are_rounded_once(litert: Any) -> None:
    # -6 / 4 = -1.5: up with one rounding, away from zero with two.
    x = tensor((1, 1, 1, 1), TensorType.INT16, scale=1.0)
    w = constant(np.array([1], np.int8).reshape(1, 1, 1, 1), scale=0.25)
    for kind, expected in ((np.int64, -1), (np.int32, -2)):
        bias = constant(np.array([-4], kind))
        options = replace(UNIT, quantized_bias_type=TensorType.INT32 if kind is np.int32 else F32)
        graph = one_op("CONV_2D", [x, w, bias], [tensor((), TensorType.INT16, scale=1.0)], options, version=8)
        (y,) = assert_agrees(litert, graph, np.array([-2], np.int16).reshape(1, 1, 1, 1))
        assert y.item() == expected


def test_int16_sums_may_leave_32_bits(litert: Any) -> None:
    x = tensor((1, 1, 1, 1), TensorType.INT16, scale=1.0)
    w = constant(np.array([3], np.int8).reshape(1, 1, 1, 1), scale=2.0**-26)
    bias = constant(np.array([1 << 33], np.int64))
    graph = one_op("CONV_2D", [x, w, bias], [tensor((), TensorType.INT16, scale=1.0)], UNIT, version=8)
    (y,) = assert_agrees(litert, graph, np.array([1000], np.int16).reshape(1, 1, 1, 1))
    assert y.item() == 1 << 7


def hybrid(w: Any, scale: Any, bias: Any, **attributes: Any) -> list[TensorSpec]:
    filters = constant(np.array(w), scale=scale, **attributes)
    return [tensor((2, 1, 1, 2)), filters, constant(np.array(bias, np.float32))]


def test_hybrid_pictures_are_quantized_one_by_one(litert: Any) -> None:
    # One scale: symmetric. 127 steps of 1, and of 0.5, where 0.2 rounds to nothing.
    inputs = hybrid(np.array([[1, 1], [2, 0]], np.int8).reshape(2, 1, 1, 2), 0.5, [0, 10])
    x = np.array([127, -3.4, 63.5, 0.2], np.float32).reshape(2, 1, 1, 2)
    (y,) = assert_agrees(litert, one_op("CONV_2D", inputs, [tensor()], UNIT), x, exact=True)
    np.testing.assert_array_equal(y[:, 0, 0], [[(127 - 3) / 2, 10 + 127], [127 / 4, 10 + 63.5]])


def test_hybrid_pictures_have_a_zero_point_where_scales_differ(litert: Any) -> None:
    # -1 to 254 in steps of 1; the second picture from 0 to 510 in steps of 2.
    inputs = hybrid(np.array([[1, 1], [2, 0]], np.int8).reshape(2, 1, 1, 2), [0.5, 1.0], [0, 10])
    x = np.array([254, -1, 510, 3.2], np.float32).reshape(2, 1, 1, 2)
    (y,) = assert_agrees(litert, one_op("CONV_2D", inputs, [tensor()], UNIT), x, exact=True)
    np.testing.assert_array_equal(y[:, 0, 0], [[253 / 2, 10 + 508], [(510 + 4) / 2, 10 + 1020]])


def test_hybrid_uint8_weights_hold_the_bits_of_int8(litert: Any) -> None:
    inputs = hybrid(np.array([[255, 1], [2, 254]], np.uint8).reshape(2, 1, 1, 2), 1.0, [0, 0])
    x = np.array([127, 5, 0, 0], np.float32).reshape(2, 1, 1, 2)
    (y,) = assert_agrees(litert, one_op("CONV_2D", inputs, [tensor()], UNIT), x, exact=True)
    np.testing.assert_array_equal(y[:, 0, 0], [[-122, 244], [0, 0]])


def test_hybrid_depthwise_with_one_scale_uses_it_for_all_channels() -> None:
    inputs = hybrid(np.array([1, 3], np.int8).reshape(1, 1, 1, 2), 0.5, [0, 10])
    options = DepthwiseConv2DOptions(stride_w=1, stride_h=1)
    (y,) = evaluate(
        one_op("DEPTHWISE_CONV_2D", inputs, [tensor()], options),
        np.array([255, 7, 0, 0], np.float32).reshape(2, 1, 1, 2),
    )
    np.testing.assert_array_equal(y[:, 0, 0], [[127.5, 10 + 10.5], [0, 10]])


def test_empty_batches_give_empty_outputs() -> None:
    for inputs in (
        [tensor((0, 3, 3, 2)), constant(np.ones((1, 3, 3, 2), np.float32))],
        [tensor((0, 3, 3, 2)), constant(np.ones((1, 3, 3, 2), np.int8), scale=1.0)],
    ):
        (y,) = evaluate(one_op("CONV_2D", inputs, [tensor()], UNIT), np.zeros((0, 3, 3, 2), np.float32))
        assert y.shape == (0, 3, 3, 1)


def test_a_filter_of_zeros_may_have_scale_zero(litert: Any) -> None:
    x = tensor((1, 1, 1, 1), TensorType.INT8, scale=1.0)
    w = constant(np.array([0, 3], np.int8).reshape(2, 1, 1, 1), scale=[0.0, 1.0])
    bias = constant(np.array([50, 1], np.int32))
    graph = one_op("CONV_2D", [x, w, bias], [tensor((), TensorType.INT8, scale=1.0, zero_point=5)], UNIT)
    (y,) = assert_agrees(litert, graph, np.array([2], np.int8).reshape(1, 1, 1, 1))
    np.testing.assert_array_equal(y.ravel(), [5, 12])


def test_uint8_multiplies_scales_in_float32() -> None:
    # 0.1f * 0.3f rounds up in float32: the multiplier differs from the one made in float64.
    x = tensor((1, 1, 1, 1), TensorType.UINT8, scale=0.1)
    w = constant(np.ones((1, 1, 1, 1), np.uint8), scale=0.3)
    graph = one_op("CONV_2D", [x, w], [tensor((), TensorType.UINT8, scale=1.0)], UNIT)
    (node,) = prepare(graph).main.nodes()
    multiplier, shift = quantized_multipliers(node)
    assert (multiplier.tolist(), shift.tolist()) == ([2061584384], [-5])
    assert float(np.float32(0.1) * np.float32(0.3)) == 2061584384 * 2.0 ** (-5 - 31)


def test_float64_inputs_are_computed_in_float64() -> None:
    graph = prepare(conv(tensor((1, 1, 1, 2)), np.ones((1, 1, 1, 2), np.float32)))
    (node,) = graph.main.nodes()
    op = ops.find("CONV_2D")
    assert op is not None
    x = np.array([1.0, 2.0**-40]).reshape(1, 1, 1, 2)
    (y,) = op.evaluate(node, [x, np.ones((1, 1, 1, 2))])
    assert y.item() == 1 + 2.0**-40


def test_costs_and_geometry() -> None:
    graph = prepare(
        conv(tensor((1, 9, 8, 4)), np.ones((6, 3, 3, 2), np.float32), options=replace(UNIT, stride_h=2))
    )
    (node,) = graph.main.nodes()
    geometry = convolution_geometry(node)
    assert geometry.output_shape == (1, 5, 8, 6)
    assert (geometry.pad_top, geometry.pad_left, geometry.groups, geometry.multiplier) == (1, 1, 2, 3)
    op = ops.find("CONV_2D")
    assert op is not None
    assert op.multiply_adds(node) == 5 * 8 * 6 * 3 * 3 * 2


def test_tolerance_covers_products_and_bias() -> None:
    bias = np.array([100, -1000], np.float32)
    graph = prepare(conv(tensor((1, 4, 4, 2)), np.full((2, 3, 3, 2), -2, np.float32), bias))
    (node,) = graph.main.nodes()
    op = ops.find("CONV_2D")
    assert op is not None
    x, w = np.full((1, 4, 4, 2), 5, np.float32), node.input(1).data
    assert op.tolerance(node).bound([x, w, bias]) == 4 * 2.0**-23 * (3 * 3 * 2) * (5 * 2 + 1000)
    assert op.tolerance(node).bound([x, w]) == 4 * 2.0**-23 * (3 * 3 * 2) * (5 * 2)


F32, I8, U8, I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT32
I16, I64 = TensorType.INT16, TensorType.INT64
PICTURE, FILTER = (1, 4, 4, 4), (2, 3, 3, 4)


@pytest.mark.parametrize(
    ("rule", "inputs", "options"),
    [
        ("input-count", [tensor(PICTURE)], UNIT),
        ("types", [tensor(PICTURE), tensor(FILTER, TensorType.INT16)], UNIT),
        ("types", [tensor(PICTURE), tensor(FILTER, TensorType.FLOAT16)], UNIT),
        ("types", [tensor(PICTURE, I16, scale=1.0), tensor(FILTER, U8, scale=1.0)], UNIT),
        ("quantization-missing", [tensor(PICTURE), tensor(FILTER, I8)], UNIT),
        (
            "quantization-zero-point",
            [tensor(PICTURE, I16, scale=1.0, zero_point=1), tensor(FILTER, I8, scale=1.0)],
            UNIT,
        ),
        ("quantization-scale", [tensor(PICTURE, U8, scale=1.0), tensor(FILTER, U8, scale=-1.0)], UNIT),
        (
            "bias-type",
            [tensor(PICTURE, I16, scale=1.0), tensor(FILTER, I8, scale=1.0), tensor((2,), I32)],
            replace(UNIT, quantized_bias_type=TensorType.INT64),
        ),
        ("rank", [tensor((4, 4, 4)), tensor(FILTER)], UNIT),
        ("rank", [tensor(PICTURE), tensor((2, 3, 4))], UNIT),
        ("empty-filter", [tensor(PICTURE), tensor((0, 3, 3, 4))], UNIT),
        ("filter-channels", [tensor(PICTURE), tensor((2, 3, 3, 3))], UNIT),
        ("filter-channels", [tensor((1, 4, 4, 0)), tensor(FILTER)], UNIT),
        ("filter-groups", [tensor(PICTURE), tensor((3, 3, 3, 2))], UNIT),
        ("bias-size", [tensor(PICTURE), tensor(FILTER), tensor((3,))], UNIT),
        ("stride-w", [tensor(PICTURE), tensor(FILTER)], replace(UNIT, stride_w=0)),
        ("stride-h", [tensor(PICTURE), tensor(FILTER)], replace(UNIT, stride_h=-1)),
        ("dilation-h-factor", [tensor(PICTURE), tensor(FILTER)], replace(UNIT, dilation_h_factor=0)),
        ("empty-output", [tensor((1, 2, 4, 4)), tensor(FILTER)], VALID),
        ("empty-output", [tensor(PICTURE), tensor(FILTER)], replace(VALID, dilation_h_factor=(1 << 31) - 1)),
        (
            "fused-activation",
            [tensor(PICTURE), tensor(FILTER)],
            replace(UNIT, fused_activation_function=Activation.TANH),
        ),
        ("quantization-missing", [tensor(PICTURE, U8), tensor(FILTER, U8)], UNIT),
        ("quantization-scale", [tensor(PICTURE, U8, scale=0.0), tensor(FILTER, U8, scale=1.0)], UNIT),
        ("quantization-scale", [tensor(PICTURE, U8, scale=np.nan), tensor(FILTER, U8, scale=1.0)], UNIT),
        (
            "quantization-per-tensor",
            [tensor(PICTURE, U8, scale=1.0), tensor(FILTER, U8, scale=[1.0, 2.0])],
            UNIT,
        ),
        (
            "quantization-per-channel",
            [tensor(PICTURE, I8, scale=1.0), tensor(FILTER, I8, scale=[1.0] * 4, quantized_dimension=3)],
            UNIT,
        ),
    ],
)
def test_conv_refuses(rule: str, inputs: list[TensorSpec], options: Conv2DOptions) -> None:
    kind = inputs[0].type
    graph = one_op("CONV_2D", inputs, [tensor((), kind, scale=None if kind is F32 else 1.0)], options)
    with pytest.raises(PrepareError, match=r"op 0 CONV_2D: ") as caught:
        prepare(graph)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("rule", "w"),
    [("filter-batch", (2, 3, 3, 4)), ("filter-channels", (1, 3, 3, 6)), ("empty-filter", (1, 3, 0, 4))],
)
def test_depthwise_refuses(rule: str, w: tuple[int, ...]) -> None:
    options = DepthwiseConv2DOptions(stride_w=1, stride_h=1)
    with pytest.raises(PrepareError) as caught:
        prepare(one_op("DEPTHWISE_CONV_2D", [tensor(PICTURE), tensor(w)], [tensor()], options))
    assert caught.value.rule == rule


# -- by kernels --


def step_names(graph: Graph) -> list[str]:
    plan: Any = pytest.importorskip("minilite.plan", reason="plans need Numba")
    steps = plan.build_plan(prepare(graph)).steps()
    return [step.kernel.name if isinstance(step, plan.KernelStep) else "reference" for step in steps]


HYBRID = ["find_ranges", "quantize_rows"]


@pytest.mark.parametrize(
    ("kind", "weights", "channels", "multiplier", "names"),
    [
        (F32, F32, 32, 1, ["depthwise_float"]),
        (U8, U8, 32, 1, ["depthwise_quantized"]),
        (I8, I8, 32, 1, ["depthwise_quantized"]),
        (I16, I8, 32, 1, ["depthwise_quantized"]),
        (F32, I8, 32, 1, [*HYBRID, "depthwise_hybrid"]),
        (F32, F32, 3, 1, ["depthwise_flat_float"]),
        (F32, F32, 32, 2, ["depthwise_flat_float"]),
        (U8, U8, 3, 1, ["depthwise_flat_quantized"]),
        (I16, TensorType.INT4, 3, 2, ["depthwise_flat_quantized"]),
        (F32, I8, 3, 2, [*HYBRID, "depthwise_hybrid"]),
    ],
)
def test_depthwise_runs_on_kernels(
    kind: TensorType, weights: TensorType, channels: int, multiplier: int, names: list[str]
) -> None:
    shape = (1, 3, 3, channels * multiplier)
    w = constant(np.ones(shape, weights.dtype), weights, scale=None if weights is F32 else 1.0)
    scale = None if kind is F32 else 1.0
    x, y = tensor((1, 4, 4, channels), kind, scale=scale), tensor((), kind, scale=scale)
    options = DepthwiseConv2DOptions(stride_w=1, stride_h=1)
    assert step_names(one_op("DEPTHWISE_CONV_2D", [x, w], [y], options)) == names


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kind", "weights", "names"),
    [
        (F32, F32, ["convolve_float"]),
        (U8, U8, ["convolve_quantized"]),
        (I8, TensorType.INT4, ["convolve_quantized"]),
        (I16, I8, ["convolve_quantized"]),
        (F32, I8, [*HYBRID, "convolve_hybrid"]),
        (F32, U8, [*HYBRID, "convolve_hybrid"]),
    ],
)
def test_conv_runs_on_kernels(kind: TensorType, weights: TensorType, groups: int, names: list[str]) -> None:
    shape = (4, 3, 3, 6 // groups)
    w = constant(np.ones(shape, weights.dtype), weights, scale=None if weights is F32 else 1.0)
    scale = None if kind is F32 else 1.0
    x, y = tensor((1, 4, 4, 6), kind, scale=scale), tensor((), kind, scale=scale)
    assert step_names(one_op("CONV_2D", [x, w], [y], UNIT)) == names


def test_infinite_weights_and_sums_of_more_than_32_bits_keep_the_reference() -> None:
    w = np.ones((1, 3, 3, 1), np.float32)
    w[0, 0, 0] = np.inf
    graph = conv(tensor((1, 3, 3, 1)), w)
    assert step_names(graph) == ["reference"]
    # Nothing of the first tap's infinity where it lies outside the picture.
    (y,) = evaluate(graph, ramp(1, 3, 3, 1))
    assert np.isfinite(y[0, 0]).all()
    x = tensor((1, 1, 1, 1), I16, scale=1.0)
    bias = constant(np.array([1 << 33], np.int64))
    wide = one_op(
        "CONV_2D",
        [x, constant(np.ones((1, 1, 1, 1), np.int8), scale=1.0), bias],
        [tensor((), I16, scale=1.0)],
        UNIT,
    )
    assert step_names(wide) == ["reference"]
