from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minilite import ops
from minilite.errors import InvokeError, TensorValueError
from minilite.graph import Array, Graph, Operator, Subgraph, Tensor, TensorType
from minilite.ops.pooling import Pool2DOptions
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.small_models import chain_graph, chain_result

F32, I32, U8 = TensorType.FLOAT32, TensorType.INT32, TensorType.UINT8
X = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
HIDDEN = 2


def run(executor: ReferenceExecutor, *inputs: Array) -> Array:
    for index, value in zip(executor.subgraph.inputs, inputs, strict=True):
        executor.view(index)[...] = value
    executor.run()
    return executor.view(executor.subgraph.outputs[0])


def test_runs_operators_in_order() -> None:
    np.testing.assert_array_equal(run(ReferenceExecutor(prepare(chain_graph())), X), chain_result(X))


def test_inputs_are_zero_until_they_are_written() -> None:
    executor = ReferenceExecutor(prepare(chain_graph()))
    executor.run()
    np.testing.assert_array_equal(executor.view(4), chain_result(np.zeros_like(X)))


def test_a_view_shows_every_run() -> None:
    executor = ReferenceExecutor(prepare(chain_graph()))
    output = executor.view(4)
    run(executor, X)
    np.testing.assert_array_equal(output, chain_result(X))
    run(executor, -X)
    np.testing.assert_array_equal(output, chain_result(-X))


def test_intermediates_are_kept_only_on_demand() -> None:
    executor = ReferenceExecutor(prepare(chain_graph()))
    run(executor, X)
    with pytest.raises(
        TensorValueError, match=r"tensor 2 'hidden'.*experimental_preserve_all_tensors=True"
    ) as caught:
        executor.view(HIDDEN)
    assert (caught.value.tensor, caught.value.rule) == (HIDDEN, "not-kept")
    keeping = ReferenceExecutor(prepare(chain_graph()), keep_all=True)
    run(keeping, X)
    np.testing.assert_array_equal(keeping.view(HIDDEN), X + np.array([1, 2, 3], np.float32))


def test_constants_can_be_seen_but_not_written() -> None:
    bias = ReferenceExecutor(prepare(chain_graph())).view(1)
    np.testing.assert_array_equal(bias, [1, 2, 3])
    assert not bias.flags.writeable


def test_runs_a_part_if_all_is_kept() -> None:
    executor = ReferenceExecutor(prepare(chain_graph()), keep_all=True)
    executor.view(HIDDEN)[...] = X
    executor.run(1)
    np.testing.assert_array_equal(executor.view(4), X + 10)
    executor.run(0, 1)
    np.testing.assert_array_equal(executor.view(HIDDEN)[0, 0, 0], [1, 2, 3])
    with pytest.raises(InvokeError, match="keep_all=True"):
        ReferenceExecutor(prepare(chain_graph())).run(0, 1)


def test_a_reshaped_input_is_not_the_output() -> None:
    graph = one_op("RESHAPE", [tensor((2,)), constant(np.array([2, 1], np.int32))], [tensor()])
    executor = ReferenceExecutor(prepare(graph))
    output = run(executor, np.array([1, 2], np.float32))
    executor.view(0)[...] = 0
    np.testing.assert_array_equal(output.ravel(), [1, 2])
    executor = ReferenceExecutor(prepare(one_op("RESHAPE", [tensor((2,)), tensor((2,), I32)], [tensor()])))
    output = run(executor, np.array([1, 2], np.float32), np.array([2, 1], np.int32))
    executor.view(0)[...] = 0
    np.testing.assert_array_equal(output.ravel(), [1, 2])


def test_float64_is_not_rounded_to_float32_on_the_way() -> None:
    x = X + 2.0**-40
    executor = ReferenceExecutor(prepare(chain_graph()), float_type=np.float64)
    y = run(executor, x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, x + np.array([11, 12, 13]))
    # A scale is what the file holds, its product with a step is not rounded again.
    dequantize = one_op("DEQUANTIZE", [tensor((1,), U8, scale=0.1)], [tensor()])
    executor = ReferenceExecutor(prepare(dequantize), float_type=np.float64)
    assert run(executor, np.array([3], np.uint8)).item() == 3 * float(np.float32(0.1))


def test_a_quantized_variable_starts_at_its_zero_point() -> None:
    variable = TensorSpec((2,), U8, scale=0.5, zero_point=7, is_variable=True)
    graph = prepare(one_op("QUANTIZE", [variable], [tensor((), U8, scale=0.5, zero_point=9)]))
    executor = ReferenceExecutor(graph)
    executor.run()
    np.testing.assert_array_equal(executor.view(0), [7, 7])
    np.testing.assert_array_equal(executor.view(1), [9, 9])


def resize_then_pool() -> Graph:
    """A picture resized to a size that is an input, then pooled: shapes known only at run time."""
    tensors = tuple(
        Tensor(i, name, kind, shape, shape)
        for i, (name, kind, shape) in enumerate(
            [
                ("x", F32, (1, 1, 2, 1)),
                ("size", I32, (2,)),
                ("resized", F32, (1, 1, 1, 1)),
                ("y", F32, (1, 1, 1, 1)),
            ]
        )
    )
    pool = Pool2DOptions(stride_w=1, stride_h=1, filter_width=2, filter_height=1)
    resize = ops.find("RESIZE_BILINEAR")
    assert resize is not None
    assert resize.options is not None
    operators = (
        Operator(0, "RESIZE_BILINEAR", (0, 1), (2,), resize.options()),
        Operator(1, "MAX_POOL_2D", (2,), (3,), pool),
    )
    return Graph((Subgraph(0, "main", tensors, operators, (0, 1), (3,)),))


def test_shapes_known_only_at_run_time_reach_later_operators() -> None:
    executor = ReferenceExecutor(prepare(resize_then_pool()))
    x = np.array([0, 8], np.float32).reshape(1, 1, 2, 1)
    for size, expected in ((4, [4, 8, 8, 8]), (2, [8, 8]), (1, [0])):
        y = run(executor, x, np.array([1, size], np.int32))
        np.testing.assert_array_equal(y.ravel(), expected)
        assert executor.subgraph.tensors[3].shape == (1, 1, size, 1)


def test_failures_name_the_operator_and_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(type(ops.find("ADD")), "evaluate", fail)
    with pytest.raises(
        InvokeError, match=r"op 0 ADD failed on .*'bias'.* -> .*'hidden'.*: MemoryError: no room"
    ) as caught:
        ReferenceExecutor(prepare(chain_graph())).run()
    assert (caught.value.op_index, caught.value.op_name) == (0, "ADD")
    assert isinstance(caught.value.__cause__, MemoryError)


def test_runs_the_subgraph_it_is_given() -> None:
    first = chain_graph().main
    graph = Graph((first, replace(first, index=1, outputs=(HIDDEN,))))
    y = run(ReferenceExecutor(prepare(graph, subgraph=1), subgraph=1), X)
    np.testing.assert_array_equal(y, X + np.array([1, 2, 3], np.float32))
