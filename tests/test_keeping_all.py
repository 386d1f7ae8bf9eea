"""Keeping every value changes no result: fused runs and operator by operator, on any number of threads."""

from __future__ import annotations

import pytest

pytest.importorskip("numba", reason="the NumPy backend joins no operators")

from minilite.benchmark import random_inputs, set_inputs
from minilite.executor import create_executor
from minilite.loader import load_graph, unsupported
from minilite.prepare import prepare
from tests.real_models import FOLDER, MODELS, SHAPES


@pytest.mark.parametrize("name", MODELS or [pytest.param("", marks=pytest.mark.skip("no MINILITE_MODELS"))])
def test_a_run_that_keeps_all_gives_the_same_bits(name: str) -> None:
    graph = load_graph(FOLDER / f"{name}.tflite")
    if missing := unsupported(graph):
        pytest.xfail(f"minilite does not have {', '.join(missing)}")
    prepared = prepare(graph, SHAPES.get(name))
    inputs = random_inputs(prepared.main.tensors[i] for i in prepared.main.inputs)

    def outputs(threads: int, *, keep_all: bool) -> list[bytes]:
        executor = create_executor(prepared, threads=threads, keep_all=keep_all)
        set_inputs(executor, inputs)
        executor.run()
        found = [executor.view(number).tobytes() for number in executor.subgraph.outputs]
        executor.close()
        return found

    expected = outputs(1, keep_all=True)
    assert all(outputs(threads, keep_all=False) == expected for threads in (1, 2, 3))
    assert outputs(2, keep_all=True) == expected
