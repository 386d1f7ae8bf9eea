"""Plans: their order, their memory, what they share, and the faults that ``verify`` finds."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="plans need Numba")
from minilite_kernels.arrangement import copy
from minilite_kernels.convolution import convolve_float

from minilite import memory
from minilite.errors import MiniliteError
from minilite.graph import Graph, TensorType
from minilite.memory import Lifetime
from minilite.ops.convolution import Conv2DOptions
from minilite.ops.reshaping import ReshapeOptions
from minilite.plan import Buffer, KernelStep, Plan, PythonStep, build_plan
from minilite.prepare import prepare
from minilite.scheduler import PlanExecutor
from minilite.testing.models import constant, one_op, tensor
from tests.networks import Network, branches


def names(plan: Plan) -> list[list[str]]:
    """Operators by stage."""
    return [[step.node.operator.name for step in stage] for stage in plan.stages]


def kernel_step(plan: Plan, kernel: Any) -> KernelStep:
    return next(s for s in plan.steps() if isinstance(s, KernelStep) and s.kernel is kernel)


# --- order ---------------------------------------------------------------------------------------


def test_independent_branches_share_a_stage() -> None:
    assert names(build_plan(branches())) == [
        ["CONV_2D"],
        ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"],
        # The convolutions have written their parts of it.
        ["CONCATENATION"],
        ["ADD"],
    ]


def test_an_operator_without_a_kernel_stands_alone() -> None:
    plan = build_plan(branches(python_step=True))
    assert ["ADD_N"] in names(plan)
    (stage,) = (stage for stage in plan.stages if isinstance(stage[0], PythonStep))
    assert len(stage) == 1
    before = names(plan)[: plan.stages.index(stage)]
    # What comes before it in the file is complete, what comes behind has not begun.
    assert [name for stage in before for name in stage] == [
        "CONV_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
    ]


def test_keep_all_keeps_the_order_of_the_file() -> None:
    plan = build_plan(branches(), keep_all=True)
    assert all(len(stage) == 1 for stage in plan.stages)
    operators = [stage[0].node.operator.index for stage in plan.stages]
    assert operators == sorted(operators)
    assert set(operators) == set(range(7))


def test_large_steps_are_cut_and_small_ones_are_not() -> None:
    large = kernel_step(build_plan(branches(size=32)), convolve_float)
    assert large.extent == 32 * 32
    assert large.chunks > 1
    assert (large.chunks - 1) * large.grain < large.extent <= large.chunks * large.grain
    assert kernel_step(build_plan(branches(size=2)), convolve_float).chunks == 1


def test_an_empty_graph_has_an_empty_plan() -> None:
    net = Network()
    x = net.input(2, 2)
    plan = build_plan(net.graph(x))
    assert (plan.stages, plan.arena_bytes, plan.scratch_bytes) == ((), 64, 0)
    assert plan.is_kept(x)


# --- memory --------------------------------------------------------------------------------------


def test_memory_is_used_again() -> None:
    net = Network()
    value = net.input(64)
    for _ in range(6):
        value = net.add("ADD", value, value)
    plan = build_plan(net.graph(value))
    # The input, and two that take turns: the output is one of them.
    assert plan.arena_bytes == 3 * 256
    assert build_plan(net.graph(value), keep_all=True).arena_bytes == 7 * 256


def test_only_inputs_and_outputs_are_kept() -> None:
    graph = branches()
    plan, everything = build_plan(graph), build_plan(graph, keep_all=True)
    computed = [t.index for t in graph.main.tensors if not t.is_constant]
    fixed = {*graph.main.inputs, *graph.main.outputs}
    assert {i for i in computed if plan.is_kept(i)} == fixed
    assert all(everything.is_kept(i) for i in computed)
    assert not any(everything.is_kept(t.index) for t in graph.main.tensors if t.is_constant)


def test_scratch_is_that_of_the_largest_step() -> None:
    plan = build_plan(branches())
    step = kernel_step(plan, convolve_float)
    # One patch of 3 x 3 x 16 floats for each pixel of a chunk.
    assert plan.scratch_bytes == memory.align(step.grain * 9 * 16 * 4)


def test_several_scratch_arrays_lie_one_behind_the_other() -> None:
    from minilite.ops.resize import ResizeBilinearOptions

    net = Network()
    size = net.constant(np.array([7, 9], np.int32))
    resized = net.add("RESIZE_BILINEAR", net.input(1, 3, 5, 2), size, options=ResizeBilinearOptions())
    plan = build_plan(net.graph(resized))
    (step,) = plan.steps()
    assert isinstance(step, KernelStep)
    above, below = step.arguments["above"], step.arguments["below"]
    assert above.offset == 0
    assert below.offset == memory.align(above.nbytes)
    assert plan.scratch_bytes == below.offset + memory.align(below.nbytes)


# --- aliases -------------------------------------------------------------------------------------


def reshaped(*, of_input: bool = False, to_output: bool = False) -> tuple[Graph, int, int]:
    """A RESHAPE with an ADD before it (unless ``of_input``) and behind (unless ``to_output``)."""
    net = Network()
    source = net.input(2, 6)
    if not of_input:
        source = net.add("ADD", source, source)
    target = net.reshape(source, 3, 4)
    last = target if to_output else net.add("ADD", target, target)
    return net.graph(last), source, target


def test_a_reshape_between_operators_is_no_step_and_no_memory() -> None:
    graph, source, target = reshaped()
    plan = build_plan(graph)
    assert names(plan) == [["ADD"], ["ADD"]]
    assert plan.buffer_of(target) is plan.buffer_of(source) is not None


@pytest.mark.parametrize(
    "case", [{"of_input": True}, {"to_output": True}, {"of_input": True, "to_output": True}]
)
def test_memory_that_others_may_write_is_copied(case: dict[str, bool]) -> None:
    graph, source, target = reshaped(**case)
    plan = build_plan(graph)
    assert kernel_step(plan, copy).node.operator.name == "RESHAPE"
    assert plan.buffer_of(target) is not plan.buffer_of(source)


def test_keep_all_copies_instead_of_sharing() -> None:
    graph, source, target = reshaped()
    plan = build_plan(graph, keep_all=True)
    assert plan.buffer_of(target) is not plan.buffer_of(source)


def test_an_alias_of_an_alias_lives_as_long_as_its_last_reader() -> None:
    net = Network()
    x = net.input(2, 6)
    source = net.add("ADD", x, x)
    first = net.reshape(source, 12)
    second = net.reshape(first, 4, 3)
    other = net.add("ADD", net.add("ADD", x, x), x)
    third = net.add("ADD", net.reshape(other, 4, 3), second)
    graph = net.graph(third)
    plan = build_plan(graph)
    buffer = plan.buffer_of(second)
    assert buffer is not None
    assert buffer is plan.buffer_of(first) is plan.buffer_of(source)
    assert (buffer.life.first, buffer.life.last) == (0, 2)
    executor = PlanExecutor(graph, threads=1)
    executor.view(x)[...] = np.arange(12).reshape(2, 6)
    executor.run()
    assert executor.view(third).ravel().tolist() == [5 * i for i in range(12)]
    executor.close()


def test_a_constant_can_be_reshaped() -> None:
    net = Network()
    net.input(1)
    shaped = net.add(
        "RESHAPE", net.constant(np.arange(4, dtype=np.float32)), options=ReshapeOptions(new_shape=(2, 2))
    )
    executor = PlanExecutor(net.graph(net.add("ADD", shaped, shaped)), threads=1)
    executor.run()
    assert executor.view(shaped + 1).tolist() == [[0, 2], [4, 6]]
    executor.close()


# --- what plans share ----------------------------------------------------------------------------


def test_weights_are_packed_once_for_all_plans_of_a_graph() -> None:
    graph = branches()
    one, two = build_plan(graph), build_plan(graph, keep_all=True)
    weights = [kernel_step(plan, convolve_float).arguments["weights"] for plan in (one, two)]
    assert weights[0] is weights[1]
    assert not weights[0].flags.writeable
    assert weights[0].ctypes.data % memory.ALIGNMENT == 0
    other = kernel_step(build_plan(branches()), convolve_float).arguments["weights"]
    assert other is not weights[0]


def test_packed_weights_go_with_the_last_plan() -> None:
    plan = build_plan(branches())
    packed = weakref.ref(kernel_step(plan, convolve_float).arguments["weights"])
    assert packed() is not None
    del plan
    gc.collect()
    assert packed() is None


# --- verify --------------------------------------------------------------------------------------


def moved(plan: Plan, key: int, offset: int) -> Plan:
    buffer = replace(plan.buffers[key], offset=offset)
    return replace(plan, buffers={**plan.buffers, key: buffer})


def test_plans_pass_their_own_check() -> None:
    for keep_all in (False, True):
        build_plan(branches(python_step=True), keep_all=keep_all).verify()


def test_buffers_in_the_same_place_are_found() -> None:
    graph = branches()
    plan = build_plan(graph)
    (x,), (output,) = graph.main.inputs, graph.main.outputs
    with pytest.raises(MiniliteError, match="live at the same time in the same memory") as caught:
        moved(plan, x, plan.buffers[output].offset).verify()
    assert caught.value.rule == "arena"
    assert "'t0'" in str(caught.value)


def test_a_partial_overlap_is_found_too() -> None:
    graph = branches()
    plan = build_plan(graph)
    (x,), (output,) = graph.main.inputs, graph.main.outputs
    size = plan.buffers[output].life.nbytes
    with pytest.raises(MiniliteError, match="same memory"):
        moved(plan, x, plan.buffers[output].offset + size - memory.ALIGNMENT).verify()


def placed(*buffers: tuple[int, Lifetime]) -> Plan:
    """A plan of these offsets and lifetimes only, for the first tensors of the graph."""
    places = {number: Buffer(number, *buffer) for number, buffer in enumerate(buffers)}
    return replace(build_plan(branches()), stages=(), buffers=places, arena_bytes=640)


def test_an_overlap_behind_another_buffer_is_found() -> None:
    # By offset: a long one, one inside its range that is not alive then, and one that is.
    long, later, inside = Lifetime(640, 0, 1), Lifetime(64, 2, 3), Lifetime(64, 1, 1)
    placed((0, long), (64, later), (128, later)).verify()
    with pytest.raises(MiniliteError, match=r"tensor 0 .* and tensor 2 "):
        placed((0, long), (64, later), (128, inside)).verify()


@pytest.mark.parametrize("offset", [8, 576])
def test_buffers_that_leave_the_block_or_their_alignment_are_found(offset: int) -> None:
    placed((512, Lifetime(128, 0, 0))).verify()
    with pytest.raises(MiniliteError, match=r"buffer of tensor 0 .* leaves its block"):
        placed((offset, Lifetime(128, 0, 0))).verify()


@pytest.mark.parametrize("first", [0, 1, 2])
def test_stages_in_the_wrong_order_are_found(first: int) -> None:
    plan = build_plan(branches())
    stages = list(plan.stages)
    stages[first], stages[first + 1] = stages[first + 1], stages[first]
    with pytest.raises(MiniliteError, match="before it is written") as caught:
        replace(plan, stages=tuple(stages)).verify()
    assert caught.value.rule == "order"
    assert f"stage {first}" in str(caught.value)


@pytest.mark.parametrize(("scale", "kernel"), [(1e9, True), (1e12, False)])
def test_scales_that_shift_further_than_a_register_is_wide_keep_the_reference(
    scale: float, kernel: bool
) -> None:
    x, y = tensor((4,), TensorType.INT16, scale=scale), tensor((4,), TensorType.INT8, scale=1.0)
    (step,) = build_plan(prepare(one_op("QUANTIZE", [x], [y]))).steps()
    assert isinstance(step, KernelStep) is kernel


def test_steps_of_one_operator_pass_values_on_in_memory_of_the_plan() -> None:
    weights = constant(np.ones((4, 1, 1, 8), np.int8), scale=1.0)
    options = Conv2DOptions(stride_w=1, stride_h=1)
    for keep_all in (False, True):
        graph = prepare(one_op("CONV_2D", [tensor((1, 5, 5, 8)), weights], [tensor()], options))
        plan = build_plan(graph, keep_all=keep_all)
        names = [step.kernel.name for step in plan.steps() if isinstance(step, KernelStep)]
        assert names == ["find_ranges", "quantize_rows", "convolve_hybrid"]
        assert [t.index for t in plan.temporaries] == [3, 4, 5, 6]
        assert plan.temporaries[1].nbytes == 5 * 5 * 8
        assert all(plan.buffers[t.index].life.nbytes == t.nbytes for t in plan.temporaries)
        assert "quantize_rows" in plan.explain()


def test_a_reader_before_the_last_of_several_writers_is_found() -> None:
    # The concatenation's parts come in one stage; one of them moves behind the operator that reads it.
    plan = build_plan(branches())
    number = next(i for i, stage in enumerate(plan.stages) if stage[0].node.operator.name == "CONCATENATION")
    stages = list(plan.stages)
    late, stages[number] = stages[number][:1], stages[number][1:]
    stages.insert(number + 2, late)
    with pytest.raises(MiniliteError, match="before it is written"):
        replace(plan, stages=tuple(stages)).verify()


def test_a_reader_in_the_stage_of_its_writer_is_found() -> None:
    plan = build_plan(branches())
    together = (plan.stages[0] + plan.stages[1], *plan.stages[2:])
    with pytest.raises(MiniliteError, match="before it is written"):
        replace(plan, stages=together).verify()


# --- explain -------------------------------------------------------------------------------------


def test_explain_names_every_step() -> None:
    plan = build_plan(branches(python_step=True))
    lines = plan.explain().splitlines()
    steps = list(plan.steps())
    assert lines[0] == f"{len(plan.stages)} stages, {len(steps) - 1} kernel steps, 1 Python steps"
    assert f"arena {plan.arena_bytes:,} bytes" in lines[1]
    assert f"scratch {plan.scratch_bytes:,} bytes a thread" in lines[1]
    assert lines[len(steps) + 2 :] == ["joined, and not joined:", *plan.notes]
    assert plan.notes
    for step, line in zip(steps, lines[2 : len(steps) + 2], strict=True):
        assert str(step.node.operator) in line
        if isinstance(step, KernelStep):
            assert step.entry.name in line
            assert f"{step.extent} in {step.chunks} chunks of {step.grain}" in line
        else:
            assert "NumPy reference" in line


# --- sizes of zero -------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_all", [False, True])
def test_nothing_is_computed_from_nothing(keep_all: bool) -> None:
    # An empty value passes from an operator that has a kernel to one that has none.
    net = Network()
    x = net.input(0, 3)
    added = net.add("ADD", x, x)
    out = net.add("ADD", net.add("ADD_N", added, added), x)
    executor = PlanExecutor(net.graph(out), threads=2, keep_all=keep_all)
    executor.run()
    assert executor.view(out).shape == (0, 3)
    executor.close()


def test_in_order_memory_is_shared_and_parts_can_be_run() -> None:
    net = Network()
    x = value = net.input(64)
    for _ in range(6):
        value = net.add("ADD", value, x, shape=(64,))
    graph = net.graph(value)
    plan = build_plan(graph, in_order=True)
    assert plan.arena_bytes == 3 * 256, "the input, and two that take turns"
    assert build_plan(graph, keep_all=True).arena_bytes == 7 * 256
    executor = PlanExecutor(graph, in_order=True)
    executor.view(x)[...] = 1
    for operator in range(6):
        executor.run(operator, operator + 1)
        assert executor.view(graph.main.operators[operator].outputs[0]).tolist() == [operator + 2] * 64
