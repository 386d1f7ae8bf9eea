from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Activation, Graph, Padding, TensorType
from minilite.ops.transpose_convolution import TransposeConvOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import each_type, evaluate

F32, U8, I8, I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16
I32, I64 = TensorType.INT32, TensorType.INT64
ROW = [1, 2]
FILTER = [1, 10, 100]


def options(padding: Padding = Padding.VALID, stride: int = 2, **fields: Any) -> TransposeConvOptions:
    return TransposeConvOptions(padding, stride_w=stride, stride_h=1, **fields)


def row_of(width: int, given: TransposeConvOptions, bias: list[float] | None = None) -> list[float]:
    """A row of two pixels, transposed with a filter of three taps."""
    inputs: list[TensorSpec] = [
        constant([1, 1, width, 1], I32),
        constant(np.array(FILTER, np.float32).reshape(1, 1, 3, 1)),
        tensor((1, 1, 2, 1)),
    ]
    if bias is not None:
        inputs.append(constant(bias, F32))
    (y,) = evaluate(
        one_op("TRANSPOSE_CONV", inputs, [tensor()], given), np.array(ROW, np.float32).reshape(1, 1, 2, 1)
    )
    return list(y.ravel())


@pytest.mark.parametrize(
    ("width", "given", "expected"),
    [
        (5, options(), [1, 10, 102, 20, 200]),
        (4, options(stride=1), [1, 12, 120, 200]),
        # A gap where no filter reaches, and room behind the last one.
        (9, options(stride=4), [1, 10, 100, 0, 2, 20, 200, 0, 0]),
        # SAME cuts off what the convolution from 4 or 3 pixels to 2 pads: behind, then on both sides.
        (4, options(Padding.SAME), [1, 10, 102, 20]),
        (3, options(Padding.SAME), [10, 102, 20]),
    ],
)
def test_filters_are_laid_over_each_other(
    width: int, given: TransposeConvOptions, expected: list[float]
) -> None:
    assert row_of(width, given) == expected


def test_bias_comes_before_the_fused_activation() -> None:
    clamped = options(fused_activation_function=Activation.RELU6)
    assert row_of(5, clamped, [-9]) == [0, 1, 6, 6, 6]


def test_channels_and_filters() -> None:
    # One pixel of two channels, two filters of 1 x 2 taps: [filter, tap, channel].
    weights = np.array([[[1, 10], [2, 20]], [[3, 30], [4, 40]]], np.float32).reshape(2, 1, 2, 2)
    bias = constant([0.5, 0.25], F32)
    inputs = [constant([1, 1, 2, 2], I32), constant(weights), tensor((1, 1, 1, 2)), bias]
    graph = one_op("TRANSPOSE_CONV", inputs, [tensor()], options())
    (y,) = evaluate(graph, np.array([1, 2], np.float32).reshape(1, 1, 1, 2))
    assert y.tolist() == [[[[21.5, 63.25], [42.5, 84.25]]]]


@each_type(U8, I8, I16)
def test_quantized(kind: TensorType) -> None:
    # Steps of 1/2 and 1/4 give products of 1/8, four of which are a step of the output; zero points 3, 2, 1.
    zeros = {U8: (3, 2, 1), I8: (3, 0, 1), I16: (0, 0, 0)}[kind]
    x = np.array([4, 5], kind.dtype).reshape(1, 1, 2, 1) - kind.dtype.type(3 - zeros[0])
    weight_kind = U8 if kind is U8 else I8
    weights = np.array([2, 4, 6]).reshape(1, 1, 3, 1) + zeros[1]
    bias = constant([2], I64 if kind is I16 else I32)
    inputs = [
        constant([1, 1, 5, 1], I32),
        constant(weights, weight_kind, scale=0.25, zero_point=zeros[1]),
        tensor(x.shape, kind, scale=0.5, zero_point=zeros[0]),
        bias,
    ]
    (y,) = evaluate(
        one_op("TRANSPOSE_CONV", inputs, [tensor((), kind, scale=0.5, zero_point=zeros[2])], options()), x
    )
    # (1 * [2, 4, 6] + 2) / 4 and (2 * [2, 4, 6] + 2) / 4, where they overlap (6 + 4 + 2) / 4: ties go up.
    assert (y.ravel().astype(int) - zeros[2]).tolist() == [1, 2, 3, 3, 4]


def test_scales_of_channels() -> None:
    inputs = [
        constant([1, 1, 1, 2], I32),
        constant(np.array([10, 10], np.int8).reshape(2, 1, 1, 1), scale=[0.5, 0.25]),
        tensor((1, 1, 1, 1), I8, scale=1),
    ]
    graph = one_op("TRANSPOSE_CONV", inputs, [tensor((), I8, scale=1)], options())
    assert evaluate(graph, np.full((1, 1, 1, 1), 4, np.int8))[0].ravel().tolist() == [20, 10]


def test_hybrid_quantizes_the_picture_of_each_batch() -> None:
    # The range [0, 255] gives the first picture a scale of 1, [0, 510] the second one of 2.
    inputs = [
        constant([2, 1, 2, 1], I32),
        constant(np.full((1, 1, 1, 1), 3, np.int8), scale=0.5),
        tensor((2, 1, 2, 1)),
        constant([1], F32),
    ]
    graph = one_op("TRANSPOSE_CONV", inputs, [tensor()], options(stride=1))
    x = np.array([255, 10.4, 510, 11.1], np.float32).reshape(2, 1, 2, 1)
    assert evaluate(graph, x)[0].ravel().tolist() == [383.5, 16, 766, 19]


def test_hybrid_products_are_added_in_the_order_of_the_pixels() -> None:
    # 255 * 67 + 17 * 29 + 91 * -62, each times 0.1: the other way round the sum is 1193.6.
    inputs = [
        constant([1, 1, 5, 1], I32),
        constant(np.array([-62, 29, 67], np.int8).reshape(1, 1, 3, 1), scale=0.1),
        tensor((1, 1, 3, 1)),
    ]
    graph = one_op("TRANSPOSE_CONV", inputs, [tensor()], options(stride=1))
    (y,) = evaluate(graph, np.array([255, 17, 91], np.float32).reshape(1, 1, 3, 1))
    assert y.ravel()[2] == np.float32(1193.6001)


def test_a_computed_shape_is_known_after_the_run() -> None:
    weights = constant(np.array(FILTER, np.float32).reshape(1, 1, 3, 1))
    graph = one_op(
        "TRANSPOSE_CONV", [tensor((4,), I32), weights, tensor((1, 1, 2, 1))], [tensor()], options()
    )
    x = np.array(ROW, np.float32).reshape(1, 1, 2, 1)
    (y,) = evaluate(graph, np.array([1, 1, 5, 1], np.int32), x)
    assert y.ravel().tolist() == [1, 10, 102, 20, 200]
    with pytest.raises(InvokeError, match=r"asks for the shape \(1, 1, 5, 2\), but 1 picture"):
        evaluate(graph, np.array([1, 1, 5, 2], np.int32), x)


def one_transposed(
    shape: tuple[int, ...] = (1, 4, 4, 2),
    filters: tuple[int, ...] = (3, 2, 2, 2),
    size: Any = (1, 8, 8, 3),
    bias: int = 3,
    given: TransposeConvOptions | None = None,
) -> Graph:
    inputs = [constant(size, I32), tensor(filters), tensor(shape), tensor((bias,))]
    return one_op("TRANSPOSE_CONV", inputs, [tensor()], given or TransposeConvOptions(stride_h=2, stride_w=2))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("rank", one_transposed(shape=(4, 4, 2))),
        ("rank", one_transposed(filters=(3, 2, 2))),
        ("empty-filter", one_transposed(filters=(3, 0, 2, 2))),
        ("filter-channels", one_transposed(filters=(3, 2, 2, 1))),
        ("bias-size", one_transposed(bias=2)),
        ("size-shape", one_transposed(size=(8, 8))),
        ("output-shape", one_transposed(size=(2, 8, 8, 3))),
        ("output-shape", one_transposed(size=(1, 8, 8, 2))),
        ("output-shape", one_transposed(size=(1, -8, 8, 3))),
        ("stride-w", one_transposed(given=TransposeConvOptions(stride_h=1))),
        (
            "fused-activation",
            one_transposed(given=options(fused_activation_function=Activation.TANH)),
        ),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def test_refuses_a_bias_of_another_type_than_promised() -> None:
    inputs = [
        constant([1, 1, 1, 1], I32),
        constant(np.ones((1, 1, 1, 1), np.int8), scale=1),
        tensor((1, 1, 1, 1), I16, scale=1),
        constant([1], I64),
    ]
    graph = one_op("TRANSPOSE_CONV", inputs, [tensor((), I16, scale=1)], options(quantized_bias_type=I32))
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == "bias-type"


def with_bias(raw: bytes, width: int = 2) -> Graph:
    weights = constant(np.array(FILTER, np.float32).reshape(1, 1, 3, 1))
    inputs = [tensor((1, 1, width, 1)), weights, constant([0.5], F32)]
    return one_op("Convolution2DTransposeBias", inputs, [tensor()], custom_options=raw)


@pytest.mark.parametrize(
    ("padding", "width", "stride", "expected"),
    [
        (2, 2, 2, [1.5, 10.5, 102.5, 20.5, 200.5]),
        # SAME cuts off kernel - 1 - (width - 1) % stride: 1 behind for a width of 2, 1 on both sides for 3.
        (1, 2, 2, [1.5, 10.5, 102.5, 20.5]),
        (1, 3, 2, [10.5, 102.5, 20.5, 203.5, 30.5]),
        (1, 2, 4, [1.5, 10.5, 100.5, 0.5, 2.5, 20.5]),
    ],
)
def test_convolution_2d_transpose_bias(padding: int, width: int, stride: int, expected: list[float]) -> None:
    x = np.arange(1, width + 1, dtype=np.float32).reshape(1, 1, width, 1)
    (y,) = evaluate(with_bias(struct.pack("<3i", padding, stride, 1), width), x)
    assert y.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("rule", "raw"),
    [
        ("custom-options", b"\1\0\0\0\2\0\0\0\2\0\0"),
        ("padding", struct.pack("<3i", 0, 2, 2)),
        ("stride-w", struct.pack("<3i", 1, 0, 2)),
        ("stride-h", struct.pack("<3i", 1, 2, -1)),
    ],
)
def test_convolution_2d_transpose_bias_refuses(rule: str, raw: bytes) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(with_bias(raw))
    assert caught.value.rule == rule


@pytest.mark.parametrize("stride", [2, 3])
@each_type(F32, U8, I8, I16)
def test_kernels_run(kind: TensorType, stride: int) -> None:
    # Filters that fit together take one step, others one for each phase.
    plan = pytest.importorskip("minilite.plan", reason="plans need Numba")
    units = {} if kind is F32 else {"scale": 0.5}
    weights = constant(np.ones((3, 2, 2, 5)), {I16: I8}.get(kind, kind), **units)
    given = TransposeConvOptions(stride_h=stride, stride_w=stride)
    shape = constant([2, 4 * stride, 3 * stride, 3], I32)
    inputs = [shape, weights, tensor((2, 4, 3, 5), kind, **units)]
    graph = one_op("TRANSPOSE_CONV", inputs, [tensor((), kind, **units)], given)
    steps = list(plan.build_plan(prepare(graph)).steps())
    assert all(isinstance(step, plan.KernelStep) for step in steps)
    assert len(steps) == (1 if stride == 2 else 9)
