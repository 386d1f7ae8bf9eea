"""Graphs whose shapes are known only as they run: what is compiled, what is kept, what changes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="pieces are made of plans")

from minilite.errors import InvokeError, TensorValueError
from minilite.executor import Executor, create_executor
from minilite.graph import Array, Graph, TensorType
from minilite.ops.reshaping import ReshapeOptions
from minilite.pieces import PiecewiseExecutor, create_plan_executor
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.scheduler import PlanExecutor
from tests.networks import Network, computed_shape

I32 = TensorType.INT32
ROWS, SHAPE, SUM, RESHAPED, TWICE, LAST = range(6)


@pytest.fixture(autouse=True)
def _plans_for_little_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilite.pieces._LITTLE", 0)


X = np.arange(12, dtype=np.float32)


def run(executor: Executor, shape: tuple[int, int], x: Array = X) -> Array:
    executor.view(ROWS)[...] = x
    executor.view(SHAPE)[...] = shape
    executor.run()
    return executor.view(LAST)


def test_shapes_known_before_the_run_need_no_pieces() -> None:
    net = Network()
    x = net.input(12)
    assert isinstance(create_plan_executor(net.graph(net.add("ADD", x, x, shape=(12,)))), PlanExecutor)


@pytest.mark.parametrize("threads", [1, 2])
def test_results_follow_the_shape(threads: int) -> None:
    executor = create_executor(computed_shape(), threads=threads)
    assert isinstance(executor, PiecewiseExecutor)
    for shape in ((3, 4), (2, 6), (3, 4), (12, 1)):
        y = run(executor, shape)
        np.testing.assert_array_equal(y, (8 * X).reshape(shape))
        assert executor.subgraph.tensors[LAST].shape == shape
        np.testing.assert_array_equal(y, run(ReferenceExecutor(computed_shape()), shape))


def test_plans_are_kept_for_shapes_seen_before() -> None:
    executor = PiecewiseExecutor(computed_shape())
    run(executor, (3, 4))
    made = dict(executor._pieces)
    run(executor, (3, 4))
    assert executor._pieces == made
    run(executor, (2, 6))
    assert len(executor._pieces) > len(made)


def test_what_stands_around_the_dynamic_operator_is_compiled() -> None:
    executor = PiecewiseExecutor(computed_shape())
    run(executor, (3, 4))
    assert [executor.is_compiled(i) for i in range(4)] == [True, False, True, True]


def test_little_operators_of_dynamic_shapes_do_without_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilite.pieces._LITTLE", 24)
    executor = PiecewiseExecutor(computed_shape())
    for shape in ((3, 4), (2, 6)):
        np.testing.assert_array_equal(run(executor, shape), (8 * X).reshape(shape))
    assert [executor.is_compiled(i) for i in range(4)] == [True, False, False, False]
    assert len(executor._pieces) == 1


def test_a_dynamic_input_takes_any_shape() -> None:
    net = Network()
    x = net.input(2, 3)
    doubled = net.add("ADD", x, x, shape=(2, 3))
    y = net.add("ADD", net.constant(np.ones(3, np.float32)), net.constant(np.ones(3, np.float32)), shape=(3,))
    graph = prepare(Graph((net.subgraph(doubled, y),)), dynamic={x})
    executors: list[Executor] = [PiecewiseExecutor(graph), ReferenceExecutor(graph)]
    for executor in executors:
        for shape in ((2, 3), (4, 1), (2, 3), (0, 5)):
            value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            executor.write(x, value)
            executor.run()
            np.testing.assert_array_equal(executor.view(doubled), 2 * value)
            np.testing.assert_array_equal(executor.view(y), [2, 2, 2])


def test_what_depends_on_nothing_dynamic_runs_first_under_one_plan() -> None:
    net = Network()
    x, shape = net.input(12), net.input(2, type=I32)
    reshaped = net.add("RESHAPE", x, shape, options=ReshapeOptions(), shape=(1, 1))
    after = net.add("ADD", x, x, shape=(12,))
    executor = PiecewiseExecutor(net.graph(reshaped, net.add("MUL", after, after, shape=(12,))))
    executor.view(x)[...], executor.view(shape)[...] = X, (3, 4)
    executor.run()
    assert [list(piece.operators) for piece in executor._pieces.values()] == [[1, 2]]
    np.testing.assert_array_equal(executor.view(executor.subgraph.outputs[1]), 4 * X * X)
    np.testing.assert_array_equal(executor.view(reshaped), X.reshape(3, 4))


def test_intermediates_are_kept_only_on_demand() -> None:
    executor = PiecewiseExecutor(computed_shape())
    run(executor, (3, 4))
    with pytest.raises(TensorValueError, match="not kept"):
        executor.view(TWICE)
    keeping = PiecewiseExecutor(computed_shape(), keep_all=True)
    run(keeping, (3, 4))
    np.testing.assert_array_equal(keeping.view(SUM), 2 * X)
    np.testing.assert_array_equal(keeping.view(RESHAPED), (2 * X).reshape(3, 4))
    np.testing.assert_array_equal(keeping.view(TWICE), (4 * X).reshape(3, 4))


def test_operators_run_one_by_one_give_the_same() -> None:
    executor = PiecewiseExecutor(computed_shape(), keep_all=True)
    executor.view(ROWS)[...] = X
    executor.view(SHAPE)[...] = (3, 4)
    for i in range(4):
        executor.run(i, i + 1)
    np.testing.assert_array_equal(executor.view(LAST), (8 * X).reshape(3, 4))


def test_a_view_shows_every_run_of_the_same_shape() -> None:
    executor = PiecewiseExecutor(computed_shape())
    y = run(executor, (3, 4))
    run(executor, (3, 4), -X)
    np.testing.assert_array_equal(y, (-8 * X).reshape(3, 4))


def test_a_shape_that_does_not_fit_is_an_error_and_the_next_run_is_right() -> None:
    executor = PiecewiseExecutor(computed_shape())
    with pytest.raises(InvokeError, match=r"op 1 RESHAPE .* do not fill"):
        run(executor, (5, 5))
    np.testing.assert_array_equal(run(executor, (3, 4)), (8 * X).reshape(3, 4))


def test_closing_twice_is_fine_and_a_later_run_is_refused() -> None:
    executor = PiecewiseExecutor(computed_shape(), threads=2)
    run(executor, (3, 4))
    executor.close()
    executor.close()
    with pytest.raises(InvokeError, match="closed"):
        run(executor, (3, 4))
