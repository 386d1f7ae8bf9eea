"""Random numbers: the generator, and what is made of its words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.executor import create_executor
from minilite.graph import Graph, TensorType
from minilite.ops.random import Philox, RandomOptions
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from minilite.writer import write_graph
from tests.oracle import run

I32, I64 = TensorType.INT32, TensorType.INT64


def uniform(shape: tuple[int, ...], seed: int, seed2: int, name: str = "RANDOM_UNIFORM") -> Graph:
    return one_op(name, [constant(np.array(shape, np.int32))], [tensor()], RandomOptions(seed, seed2))


def test_the_generator_gives_its_authors_numbers() -> None:
    # A known answer of Random123: counter and key of ones alone.
    generator = Philox(-1, -1)
    generator.skip((1 << 64) - 1)
    (block,) = generator.blocks(1)
    assert [f"{word:08x}" for word in block] == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]


def test_the_counter_carries_into_its_upper_half() -> None:
    across, behind = Philox(7, 0), Philox(7, 1)
    across.skip((1 << 64) - 2)
    np.testing.assert_array_equal(across.blocks(4)[2:], behind.blocks(2))
    np.testing.assert_array_equal(across.blocks(1), behind.blocks(1))


@pytest.mark.parametrize("name", ["RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL"])
def test_numbers_go_on_from_run_to_run_as_litert_has_them(litert: Any, name: str) -> None:
    # Seven numbers are two blocks: what is left of the second is lost.
    graph = prepare(uniform((7,), 3, 5, name))
    interpreter = litert.Interpreter(model_content=write_graph(graph), num_threads=1)
    interpreter.allocate_tensors()
    executor = create_executor(graph)
    for _ in range(3):
        interpreter.invoke()
        (ours,) = run(executor, [])
        theirs = interpreter.get_tensor(graph.main.outputs[0])
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0)


def test_draws_go_on_from_run_to_run_as_litert_has_them(litert: Any) -> None:
    inputs = [tensor((2, 5)), constant(np.array(6, np.int32))]
    graph = prepare(one_op("MULTINOMIAL", inputs, [tensor((), I64)], RandomOptions(3, 5)))
    logits = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
    interpreter = litert.Interpreter(model_content=write_graph(graph), num_threads=1)
    interpreter.allocate_tensors()
    executor = create_executor(graph)
    for _ in range(3):
        interpreter.set_tensor(0, logits)
        interpreter.invoke()
        np.testing.assert_array_equal(
            run(executor, [logits])[0], interpreter.get_tensor(graph.main.outputs[0])
        )


def test_without_seeds_no_two_models_agree() -> None:
    # A seed's upper half does not count.
    for seeds in ((0, 0), (1 << 32, 1 << 40)):
        first, second = (run(create_executor(prepare(uniform((64,), *seeds))), [])[0] for _ in range(2))
        assert (first != second).any()
        assert ((first >= 0) & (first < 1)).all()


def test_numbers_are_no_constants() -> None:
    graph = prepare(uniform((4,), 1, 2))
    assert not graph.main.tensors[graph.main.outputs[0]].is_constant


def test_moments() -> None:
    (flat,) = run(create_executor(prepare(uniform((40000,), 1, 2))), [])
    (bell,) = run(create_executor(prepare(uniform((40000,), 1, 2, "RANDOM_STANDARD_NORMAL"))), [])
    assert abs(flat.mean() - 0.5) < 0.01
    assert abs(flat.std() - 12**-0.5) < 0.01
    assert abs(bell.mean()) < 0.02
    assert abs(bell.std() - 1) < 0.02


def test_classes_are_drawn_by_their_probabilities() -> None:
    logits = np.log(np.array([[1, 2, 1], [0, 0, 1]], np.float32), where=[[True] * 3, [False, False, True]],
                    out=np.full((2, 3), -np.inf, np.float32))  # fmt: skip
    inputs = [tensor((2, 3)), constant(np.array(4000, np.int32))]
    graph = one_op("MULTINOMIAL", inputs, [tensor((), I32)], RandomOptions(1, 2))
    (drawn,) = run(create_executor(prepare(graph)), [logits])
    np.testing.assert_allclose(np.bincount(drawn[0], minlength=3) / 4000, [0.25, 0.5, 0.25], atol=0.03)
    assert (drawn[1] == 2).all()


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("random-shape", uniform((2, -1), 1, 1)),
        ("types", one_op("RANDOM_UNIFORM", [constant(np.zeros(1, np.int64))], [tensor()])),
        ("rank", one_op("MULTINOMIAL", [tensor((3,)), constant(np.int32(1))], [tensor((), I64)])),
        ("classes", one_op("MULTINOMIAL", [tensor((3, 0)), constant(np.int32(1))], [tensor((), I64)])),
        ("samples", one_op("MULTINOMIAL", [tensor((3, 1)), constant(np.int32(-1))], [tensor((), I64)])),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
