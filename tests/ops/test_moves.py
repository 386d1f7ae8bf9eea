"""How moves become kernel steps; what each operator moves is tested beside the operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.executor import numba_is_available
from minilite.graph import Graph, TensorType
from minilite.ops.joining import ConcatenationOptions, PackOptions, SplitOptions, SplitVOptions, UnpackOptions
from minilite.ops.moves import Axis, in_words, merged, rows_chosen
from minilite.ops.padding import MirrorPadOptions
from minilite.ops.slicing import StridedSliceOptions
from minilite.ops.space import DepthToSpaceOptions, SpaceToDepthOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import evaluate

F32, I8, I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.INT32


def test_axes_that_follow_each_other_are_one() -> None:
    # [2, 3, 4] of which the first two go on where the others end, in both.
    assert merged([Axis(2, 12, 12), Axis(3, 4, 4), Axis(4, 1, 1)]) == [Axis(24, 1, 1)]
    # Backwards, and a step over one that is left out.
    assert merged([Axis(2, -3, 3), Axis(3, -1, 1)]) == [Axis(6, -1, 1)]
    assert merged([Axis(2, 8, 4), Axis(4, 1, 1)]) == [Axis(2, 8, 4), Axis(4, 1, 1)]
    assert merged([Axis(1, 7, 9)]) == [Axis(1, 1, 1)]


def test_the_order_is_the_targets() -> None:
    assert merged([Axis(3, 1, 2), Axis(2, 3, 1)]) == [Axis(3, 1, 2), Axis(2, 3, 1)]
    assert merged([Axis(2, 3, 1), Axis(3, 1, 2)]) == [Axis(3, 1, 2), Axis(2, 3, 1)]


@pytest.mark.parametrize(
    ("size", "axes", "offset", "expected"),
    [
        # Pairs of float32 that change places are 8 bytes each.
        (4, [Axis(2, 2, 6), Axis(3, 4, 2), Axis(2, 1, 1)], 0, (8, [Axis(2, 1, 3), Axis(3, 2, 1)])),
        # Three bytes have no wider word; six are three pairs, unless they begin at an odd place.
        (1, [Axis(2, 6, 3), Axis(3, 1, 1)], 0, (1, [Axis(2, 6, 3), Axis(3, 1, 1)])),
        (1, [Axis(2, 12, 6), Axis(6, 1, 1)], 0, (2, [Axis(2, 6, 3), Axis(3, 1, 1)])),
        (1, [Axis(2, 12, 6), Axis(6, 1, 1)], 1, (1, [Axis(2, 12, 6), Axis(6, 1, 1)])),
        # complex128 is two words.
        (16, [Axis(2, 2, 1)], 0, (8, [Axis(2, 4, 2), Axis(2, 1, 1)])),
        # A long run stays what it is.
        (4, [Axis(64, 1, 1)], 0, (4, [Axis(64, 1, 1)])),
        # Elements that stand alone, and a row backwards.
        (4, [Axis(2, -1, 1)], 1, (4, [Axis(2, -1, 1)])),
    ],
)
def test_words_are_as_wide_as_what_stays_together(
    size: int, axes: list[Axis], offset: int, expected: tuple[int, list[Axis]]
) -> None:
    assert in_words(axes, size, offset) == expected


def test_rows_are_chosen() -> None:
    aside, row = Axis(5, 1, 40), Axis(4, 10, 1)
    assert rows_chosen([aside, Axis(2, 50, 4), row]) == [Axis(2, 50, 4), aside, row]
    assert rows_chosen([row]) == [Axis(1, 0, 0), row]
    short = Axis(3, 1, 1)
    assert rows_chosen([Axis(99, 6, 12), Axis(2, 768, 6), short]) == [
        Axis(2, 768, 6), Axis(99, 6, 12), short
    ]  # fmt: skip


def where(*values: Any) -> TensorSpec:
    return constant(np.array(values, np.int32))


X = tensor((1, 4, 4, 4))
KERNELS = {
    "CONCATENATION": one_op("CONCATENATION", [X, X], [tensor()], ConcatenationOptions(-1)),
    "PACK": one_op("PACK", [X, X], [tensor()], PackOptions(2, 1)),
    "UNPACK": one_op("UNPACK", [X], [tensor()] * 4, UnpackOptions(4, 2)),
    "SPLIT": one_op("SPLIT", [constant(3, I32), X], [tensor()] * 2, SplitOptions(2)),
    "SPLIT_V": one_op("SPLIT_V", [X, where(1, 3), constant(3, I32)], [tensor()] * 2, SplitVOptions(2)),
    "TRANSPOSE": one_op("TRANSPOSE", [X, where(0, 3, 1, 2)], [tensor()]),
    "REVERSE_V2": one_op("REVERSE_V2", [X, where(1, 3)], [tensor()]),
    "TILE": one_op("TILE", [X, where(1, 2, 1, 2)], [tensor()]),
    "BROADCAST_TO": one_op("BROADCAST_TO", [X, where(3, 4, 4, 4)], [tensor()]),
    "SLICE": one_op("SLICE", [X, where(0, 1, 0, 1), where(1, 2, 4, 2)], [tensor()]),
    "STRIDED_SLICE": one_op(
        "STRIDED_SLICE", [X, where(0, 3), where(1, 0), where(1, -2)], [tensor()], StridedSliceOptions()
    ),
    "FILL": one_op("FILL", [where(3, 4), tensor()], [tensor()]),
    "PAD": one_op("PAD", [X, where([0, 0], [1, 1], [0, 2], [0, 0])], [tensor()]),
    "PADV2": one_op("PADV2", [X, where([0, 0], [1, 1], [0, 2], [0, 0]), tensor()], [tensor()]),
    "MIRROR_PAD": one_op(
        "MIRROR_PAD", [X, where([0, 0], [1, 1], [0, 2], [0, 0])], [tensor()], MirrorPadOptions()
    ),
    "SPACE_TO_BATCH_ND": one_op("SPACE_TO_BATCH_ND", [X, where(2, 2), where([1, 1], [0, 2])], [tensor()]),
    "BATCH_TO_SPACE_ND": one_op(
        "BATCH_TO_SPACE_ND", [tensor((4, 3, 3, 2)), where(2, 2), where([1, 0], [0, 2])], [tensor()]
    ),
    "SPACE_TO_DEPTH": one_op("SPACE_TO_DEPTH", [X], [tensor()], SpaceToDepthOptions(2)),
    "DEPTH_TO_SPACE": one_op("DEPTH_TO_SPACE", [X], [tensor()], DepthToSpaceOptions(2)),
    "MATRIX_DIAG": one_op("MATRIX_DIAG", [X], [tensor()]),
    "MATRIX_SET_DIAG": one_op("MATRIX_SET_DIAG", [X, tensor((1, 4, 4))], [tensor()]),
}


needs_numba = pytest.mark.skipif(not numba_is_available(), reason="plans need Numba")


@needs_numba
@pytest.mark.parametrize("graph", KERNELS.values(), ids=KERNELS)
def test_kernels_move(graph: Graph) -> None:
    from minilite.plan import KernelStep, build_plan

    plan = build_plan(prepare(graph))
    assert all(isinstance(step, KernelStep) for step in plan.steps()), plan.explain()
    inputs = [graph.main.tensors[i].shape for i in graph.main.inputs]
    rng = np.random.default_rng(0)
    evaluate(graph, *(rng.random(shape, np.float32) for shape in inputs))


@needs_numba
@pytest.mark.parametrize("kind", [TensorType.FLOAT16, TensorType.COMPLEX128, TensorType.BFLOAT16])
def test_types_that_numba_has_not_are_words_like_others(kind: TensorType) -> None:
    from minilite.plan import KernelStep, build_plan

    graph = one_op("TRANSPOSE", [tensor((2, 3), kind), where(1, 0)], [tensor((), kind)])
    assert all(isinstance(step, KernelStep) for step in build_plan(prepare(graph)).steps())
    x = np.arange(6).reshape(2, 3).astype(kind.dtype)
    np.testing.assert_array_equal(evaluate(graph, x)[0], x.T)


def test_a_constant_is_moved_in_the_words_of_the_move() -> None:
    # Its 3 x 4 bytes are words of 4, though its elements are bytes.
    part = constant(np.arange(12, dtype=np.int8).reshape(3, 4))
    graph = one_op("CONCATENATION", [part, tensor((3, 4), I8)], [tensor((), I8)], ConcatenationOptions(1))
    (y,) = evaluate(graph, np.full((3, 4), 9, np.int8))
    np.testing.assert_array_equal(
        y, [[0, 1, 2, 3, *[9] * 4], [4, 5, 6, 7, *[9] * 4], [8, 9, 10, 11, *[9] * 4]]
    )
