"""Rewrites: what is joined, what is not and why, and that no bit changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="passes ask how the kernels' sums are blocked")
from minilite_kernels import matmul, vector

from minilite.errors import ModelFormatError
from minilite.graph import Activation, Array, Graph, Padding, Quantization, Subgraph, TensorType
from minilite.loader import load_graph
from minilite.ops import fused
from minilite.ops.convolution import Conv2DOptions
from minilite.ops.depthwise_convolution import DepthwiseConv2DOptions
from minilite.ops.elementwise import AddOptions
from minilite.ops.joining import ConcatenationOptions
from minilite.ops.selection import ArgMaxOptions
from minilite.passes import rewrite
from minilite.passes.constant_branch import fold_constant_branch
from minilite.passes.depthwise import join_expansion, join_projection
from minilite.passes.labels import join_labels
from minilite.passes.residual import join_residual
from minilite.plan import KernelStep, build_plan
from minilite.reference import ReferenceExecutor
from minilite.scheduler import PlanExecutor
from minilite.testing.models import one_op, tensor
from minilite.writer import write_graph
from tests.networks import Network, ints

BLOCK, WIDTH = matmul.BLOCK, vector.WIDTH


def names(subgraph: Subgraph) -> list[str]:
    return [operator.name for operator in subgraph.operators]


def run(executor: Any, x: Array) -> list[Array]:
    executor.view(executor.subgraph.inputs[0])[...] = x
    executor.run()
    return [executor.view(i).copy() for i in executor.subgraph.outputs]


def assert_same_bits(graph: Graph, x: Array) -> None:
    """Joined, and operator by operator, on one thread and on three; and near the reference."""
    apart = run(PlanExecutor(graph, keep_all=True, threads=1), x)
    for threads in (1, 3):
        for a, b in zip(run(PlanExecutor(graph, threads=threads), x), apart, strict=True):
            assert a.tobytes() == b.tobytes()
    for a, b in zip(run(ReferenceExecutor(graph), x), apart, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1.0, float(np.abs(a).max())))


def picture(graph: Graph, seed: int = 0) -> Array:
    shape = graph.main.tensors[graph.main.inputs[0]].shape
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- a residual addition ----------------------------------------------------------------------------


def residual(taps: int = 1, **add: Any) -> Graph:
    net = Network()
    x = net.input(1, 9, 7, 20)
    first = net.convolution(x, 37, 20)
    second = net.convolution(first, 37, 37, taps)
    return net.graph(net.add("ADD", first, second, options=AddOptions(**add)))


@pytest.mark.parametrize("taps", [1, 3])
@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU6])
def test_an_addition_joins_the_later_convolution(taps: int, activation: Activation) -> None:
    graph = residual(taps, fused_activation_function=activation)
    notes: list[str] = []
    assert names(join_residual(graph.main, notes)) == ["CONV_2D", "CONV_2D+ADD"]
    assert "op 2 ADD: added where op 1 CONV_2D stores its result" in notes
    assert_same_bits(graph, picture(graph))


def test_a_result_that_others_read_stays() -> None:
    net = Network()
    x = net.input(1, 5, 5, 8)
    one = net.convolution(x, 8, 8)
    graph = net.graph(net.add("ADD", one, x), one)
    notes: list[str] = []
    assert names(join_residual(graph.main, notes)) == ["CONV_2D", "ADD"]
    assert notes[0].startswith("op 1 ADD: not joined to op 0 CONV_2D: tensor ")
    assert notes[0].endswith("is read by others, too")
    assert_same_bits(graph, picture(graph))


def test_an_addition_that_broadcasts_stays() -> None:
    net = Network()
    x = net.input(1, 5, 5, 8)
    row = net.constant(np.ones(8, np.float32))
    graph = net.graph(net.add("ADD", net.convolution(x, 8, 8), row))
    notes: list[str] = []
    assert names(join_residual(graph.main, notes)) == ["CONV_2D", "ADD"]
    assert notes[0].endswith("the shapes differ")


def test_twice_the_same_is_not_a_residual() -> None:
    net = Network()
    one = net.convolution(net.input(1, 5, 5, 8), 8, 8)
    graph = net.graph(net.add("ADD", one, one))
    assert names(join_residual(graph.main, [])) == ["CONV_2D", "ADD"]
    assert_same_bits(graph, picture(graph))


# --- an expansion and its depthwise filter ----------------------------------------------------------


def expansion(channels: int, taps: int = 1, size: int = 11, **depthwise: Any) -> Graph:
    net = Network()
    x = net.input(1, size, size + 2, 9)
    wide = net.convolution(x, channels, 9, taps)
    weights = net.constant(net.rng.standard_normal((1, 3, 3, channels)).astype(np.float32))
    options = DepthwiseConv2DOptions(**{"stride_w": 1, "stride_h": 1, **depthwise})
    filtered = net.add("DEPTHWISE_CONV_2D", wide, weights, options=options)
    return net.graph(net.convolution(filtered, 5, channels))


@pytest.fixture
def _small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Join expansions of any size, as if no cache held what lies between."""
    monkeypatch.setattr(fused, "_LEAST_EXPANDED_BYTES", 0)


def test_an_expansion_that_fits_the_caches_stays() -> None:
    notes: list[str] = []
    graph = expansion(64)
    assert names(join_expansion(graph.main, notes)) == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert notes == [
        "op 1 DEPTHWISE_CONV_2D: not joined to op 0 CONV_2D: "
        f"the {11 * 13 * 64 * 4:,} bytes between them stay in the threads' caches"
    ]


@pytest.mark.usefixtures("_small_caches")
@pytest.mark.parametrize("channels", [WIDTH, 3 * WIDTH + 1, 70, 96])
@pytest.mark.parametrize(
    "depthwise",
    [
        {},
        {"stride_w": 2, "stride_h": 2},
        {"dilation_w_factor": 4, "dilation_h_factor": 4},
        {"padding": Padding.VALID, "fused_activation_function": Activation.RELU6},
    ],
)
def test_a_depthwise_filter_joins_its_expansion(channels: int, depthwise: dict[str, Any]) -> None:
    graph = expansion(channels, **depthwise)
    assert names(join_expansion(graph.main, [])) == ["CONV_2D+DEPTHWISE_CONV_2D", "CONV_2D"]
    assert_same_bits(graph, picture(graph))


@pytest.mark.usefixtures("_small_caches")
def test_a_large_picture_is_expanded_in_bands() -> None:
    graph = expansion(64, size=150)
    (step, *_) = build_plan(graph).steps()
    arguments: Any = step.arguments  # type: ignore[union-attr]
    assert arguments["band"] < 150
    assert_same_bits(graph, picture(graph))


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (lambda: expansion(64, taps=3), "it is no 1x1 convolution of stride 1 and one group"),
        (lambda: expansion(3), "its channels are fewer than"),
    ],
)
def test_what_is_not_expanded_by_pixels_stays(graph: Any, words: str) -> None:
    notes: list[str] = []
    assert names(join_expansion(graph().main, notes)) == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert words in notes[0]
    assert_same_bits(graph(), picture(graph()))


# --- a depthwise filter and its projection ----------------------------------------------------------


def separable(
    *,
    channels: int = 48,
    columns: int = 37,
    size: int = 11,
    batch: int = 1,
    taps: int = 1,
    residual: bool = False,
    **depthwise: Any,
) -> Graph:
    net = Network()
    x = net.input(batch, size, size + 2, channels)
    weights = net.constant(net.rng.standard_normal((1, 3, 3, channels)).astype(np.float32))
    bias = net.constant(net.rng.standard_normal(channels).astype(np.float32))
    options = DepthwiseConv2DOptions(**{"stride_w": 1, "stride_h": 1, **depthwise})
    shortcut = net.convolution(x, columns, channels) if residual else None
    filtered = net.add("DEPTHWISE_CONV_2D", x, weights, bias, options=options)
    projected = net.convolution(filtered, columns, channels, taps)
    if shortcut is None:
        return net.graph(projected)
    return net.graph(net.add("ADD", shortcut, projected, options=AddOptions(Activation.RELU6)))


@pytest.mark.parametrize("channels", [WIDTH, 3 * WIDTH + 1, 70])
@pytest.mark.parametrize(
    "depthwise",
    [
        {},
        {"stride_w": 2, "stride_h": 2},
        {"dilation_w_factor": 4, "dilation_h_factor": 4},
        {"padding": Padding.VALID, "fused_activation_function": Activation.RELU6},
    ],
)
def test_a_depthwise_filter_joins_its_projection(channels: int, depthwise: dict[str, Any]) -> None:
    graph = separable(channels=channels, batch=2, **depthwise)
    assert names(join_projection(graph.main, [])) == ["DEPTHWISE_CONV_2D+CONV_2D"]
    assert_same_bits(graph, picture(graph))


@pytest.mark.parametrize("columns", [1, matmul.PANEL, matmul.PANEL + 5])
def test_a_projection_takes_its_addition_along(columns: int) -> None:
    graph = separable(columns=columns, residual=True)
    notes: list[str] = []
    joined = join_projection(join_residual(graph.main, notes), notes)
    assert names(joined) == ["CONV_2D", "DEPTHWISE_CONV_2D+CONV_2D+ADD"]
    assert notes[-1] == "op 3 CONV_2D+ADD: projects what op 1 DEPTHWISE_CONV_2D filters, some rows at a time"
    assert_same_bits(graph, picture(graph))


def test_many_rows_are_filtered_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_BLOCK_BYTES", 1)
    graph = separable(size=100)
    (step,) = build_plan(graph).steps()
    assert isinstance(step, KernelStep)
    assert step.arguments["filtered"].size == 102 * 48, "a row"
    assert step.grain > 1
    assert_same_bits(graph, picture(graph))


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (lambda: separable(taps=3), "it is no 1x1 convolution of stride 1 and one group"),
        (lambda: separable(channels=3), "its channels are fewer than"),
    ],
)
def test_what_is_not_projected_by_pixels_stays(graph: Any, words: str) -> None:
    notes: list[str] = []
    assert names(join_projection(graph().main, notes)) == ["DEPTHWISE_CONV_2D", "CONV_2D"]
    assert words in notes[0]
    assert_same_bits(graph(), picture(graph()))


# --- a branch that is the same everywhere -----------------------------------------------------------


def pooled_branch(constant: int = BLOCK, filters: int = 2 * matmul.PANEL, *, swapped: bool = False) -> Graph:
    """A pixel spread over the plane and joined to other features, as image-level features are."""
    net = Network()
    x = net.input(1, 6, 5, 12)
    pixel = net.convolution(net.add("MEAN", x, net.constant(ints(1, 2)), options=_keep_dims()), constant, 12)
    plane = net.add("RESIZE_BILINEAR", pixel, net.constant(ints(6, 5)))
    other = net.convolution(x, 40, 12)
    parts = (other, plane) if swapped else (plane, other)
    joined = net.add("CONCATENATION", *parts, options=ConcatenationOptions(axis=3))
    return net.graph(net.convolution(joined, filters, constant + 40))


def _keep_dims() -> Any:
    from minilite import ops

    op = ops.find("MEAN")
    assert op is not None
    assert op.options is not None
    return op.options(keep_dims=True)


def test_the_branch_becomes_a_part_of_the_bias() -> None:
    graph = pooled_branch()
    notes: list[str] = []
    folded = fold_constant_branch(graph.main, notes)
    assert names(folded) == ["MEAN", "CONV_2D", "CONV_2D", "CONV_2D", "CONV_2D"]
    assert notes == ["op 5 CONV_2D: the plane of op 2 RESIZE_BILINEAR is a part of its bias"]
    assert folded.tensors[: len(graph.main.tensors)] == graph.main.tensors, "tensors keep their numbers"
    assert_same_bits(graph, picture(graph))


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (lambda: pooled_branch(constant=BLOCK - 8), "no multiple of the 128"),
        (lambda: pooled_branch(filters=2 * matmul.PANEL - 1), "do not fill whole vectors"),
    ],
)
def test_a_branch_that_would_change_the_order_of_sums_stays(graph: Any, words: str) -> None:
    notes: list[str] = []
    assert "CONCATENATION" in names(fold_constant_branch(graph().main, notes))
    assert words in notes[0]
    assert_same_bits(graph(), picture(graph()))


def test_a_branch_that_comes_last_stays() -> None:
    graph = pooled_branch(swapped=True)
    assert "CONCATENATION" in names(fold_constant_branch(graph.main, []))
    assert_same_bits(graph, picture(graph))


# --- all of them ------------------------------------------------------------------------------------


def test_a_plan_with_all_values_kept_is_not_rewritten() -> None:
    graph = residual()
    assert names(build_plan(graph, keep_all=True).rewritten) == ["CONV_2D", "CONV_2D", "ADD"]
    plan = build_plan(graph)
    assert names(plan.rewritten) == ["CONV_2D", "CONV_2D+ADD"]
    assert names(plan.subgraph) == ["CONV_2D", "CONV_2D", "ADD"]
    assert "op 2 ADD: added where op 1 CONV_2D stores its result" in plan.explain()


def test_the_reference_of_what_is_joined_is_that_of_its_parts() -> None:
    for graph in (residual(3), expansion(70), pooled_branch()):
        joined = replace(graph, subgraphs=(rewrite(graph.main),))
        x = picture(graph)
        for a, b in zip(run(ReferenceExecutor(joined), x), run(ReferenceExecutor(graph), x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_file_cannot_name_a_joined_operator() -> None:
    graph = one_op("CONV_2D+ADD", [tensor((1,))], [tensor((1,))], custom_options=b"")
    with pytest.raises(ModelFormatError, match=r"called 'CONV_2D\+ADD'"):
        load_graph(write_graph(graph))


def test_weights_that_are_computed_are_not_joined() -> None:
    net = Network()
    x, weights = net.input(1, 4, 4, 8), net.input(8, 1, 1, 8)
    options = Conv2DOptions(stride_w=1, stride_h=1)
    y = net.add("CONV_2D", x, weights, options=options)
    graph = net.graph(net.add("ADD", y, x))
    notes: list[str] = []
    assert names(rewrite(graph.main, notes)) == ["CONV_2D", "ADD"]
    assert notes[0].endswith("its weights are computed")


# --- a mask from scores -----------------------------------------------------------------------------


def mask(
    classes: int = 21, kind: TensorType = TensorType.FLOAT32, size: tuple[int, int] = (9, 11), axis: int = 3
) -> Graph:
    net = Network()
    scale = (
        None if kind is TensorType.FLOAT32 else Quantization(np.full(1, 0.1, np.float32), np.full(1, 3), 0)
    )
    x = net.input(2, 3, 4, classes, type=kind, quantization=scale)
    scores = net.add("RESIZE_BILINEAR", x, net.constant(ints(*size)), type=kind, quantization=scale)
    options = ArgMaxOptions(TensorType.INT32)
    return net.graph(
        net.add("ARG_MAX", scores, net.constant(ints(axis)), options=options, type=TensorType.INT32)
    )


@pytest.mark.parametrize("classes", [2, WIDTH, WIDTH + 5, 2 * WIDTH, 70])
@pytest.mark.parametrize("kind", [TensorType.FLOAT32, TensorType.UINT8])
@pytest.mark.parametrize("axis", [3, -1])
def test_a_mask_is_made_where_its_scores_are(classes: int, kind: TensorType, axis: int) -> None:
    graph = mask(classes, kind, axis=axis)
    assert names(join_labels(graph.main, [])) == ["RESIZE_BILINEAR+ARG_MAX"]
    # Few values: the first of several largest has to be found.
    x = np.random.default_rng(0).integers(0, 4, (2, 3, 4, classes)).astype(kind.dtype)
    if kind is TensorType.FLOAT32:
        x[0, 0, 0, ::2] = np.nan
    apart = run(PlanExecutor(graph, keep_all=True, threads=1), x)
    for executor in (PlanExecutor(graph, threads=3), ReferenceExecutor(graph)):
        for a, b in zip(run(executor, x), apart, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("options", [{"kind": TensorType.INT8}, {"size": (3, 4)}, {"axis": 1}])
def test_what_is_no_mask_of_interpolated_floats_stays(options: dict[str, Any]) -> None:
    graph = mask(**options)
    notes: list[str] = []
    assert names(join_labels(graph.main, notes)) == ["RESIZE_BILINEAR", "ARG_MAX"]
    assert "not joined to op 0 RESIZE_BILINEAR" in notes[0]


# --- a concatenation without copies -----------------------------------------------------------------


def pyramid(rates: tuple[int, ...] = (1, 2, 3), *, pooled: bool = True, read_outside: bool = False) -> Graph:
    """Branches side by side, as ASPP has them: a 1x1, some 3x3, and one that no kernel writes in parts."""
    net = Network()
    x = net.input(2, 9, 47, 12)
    branches = [net.convolution(x, 21, 12)]
    for rate in rates:
        weights = net.constant(net.rng.standard_normal((19, 3, 3, 12)).astype(np.float32))
        options = Conv2DOptions(
            stride_w=1, stride_h=1, dilation_w_factor=rate, dilation_h_factor=rate,
            fused_activation_function=Activation.RELU,
        )  # fmt: skip
        branches.append(net.add("CONV_2D", x, weights, options=options))
    if pooled:
        branches.insert(1, net.add("RELU", x))
    joined = net.add("CONCATENATION", *branches, options=ConcatenationOptions(axis=3))
    return net.graph(joined, *(branches[:1] if read_outside else ()))


@pytest.mark.parametrize(("pooled", "copies"), [(False, 0), (True, 1)])
def test_branches_write_their_parts_of_a_concatenation(pooled: bool, copies: int) -> None:
    graph = pyramid(pooled=pooled)
    plan = build_plan(graph)
    joins = [step for step in plan.steps() if step.node.operator.name == "CONCATENATION"]
    assert len(joins) == copies
    assert len([note for note in plan.notes if "writes its part of what" in note]) == 4
    assert_same_bits(graph, picture(graph))


def test_a_branch_that_is_read_outside_is_copied() -> None:
    graph = pyramid(pooled=False, read_outside=True)
    joins = [step for step in build_plan(graph).steps() if step.node.operator.name == "CONCATENATION"]
    assert len(joins) == 1
    assert_same_bits(graph, picture(graph))


def test_a_concatenation_of_rows_copies() -> None:
    net = Network()
    x = net.input(1, 4, 5, 6)
    parts = (net.convolution(x, 7, 6), net.convolution(x, 7, 6))
    graph = net.graph(net.add("CONCATENATION", *parts, options=ConcatenationOptions(axis=1)))
    assert not any("writes its part" in note for note in build_plan(graph).notes)
    assert_same_bits(graph, picture(graph))


def test_numbers_without_axes_are_joined() -> None:
    net = Network()
    parts = [net.add("RELU", net.input()) for _ in range(2)]
    graph = net.graph(net.add("CONCATENATION", *parts, options=ConcatenationOptions(axis=0)))
    executor = PlanExecutor(graph)
    for value, number in zip((1.5, 2.5), graph.main.inputs, strict=True):
        executor.view(number)[...] = value
    executor.run()
    assert executor.view(graph.main.outputs[0]).tolist() == [1.5, 2.5]
    executor.close()
