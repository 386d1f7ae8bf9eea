"""Operators that run subgraphs, on both backends and against LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, ModelFormatError, PrepareError
from minilite.executor import numba_is_available
from minilite.graph import Array, Graph, Subgraph, TensorType
from minilite.interpreter import Interpreter
from minilite.loader import load_graph
from minilite.model import Model
from minilite.ops.control import IfOptions, StableHLOCompositeOptions, WhileOptions
from minilite.writer import write_graph
from tests.networks import Network, floats, ints

F32, I32, BOOL = TensorType.FLOAT32, TensorType.INT32, TensorType.BOOL

BACKENDS = [
    "numpy",
    pytest.param("numba", marks=pytest.mark.skipif(not numba_is_available(), reason="no Numba")),
]


def arithmetic(index: int, name: str, value: float) -> Subgraph:
    """``f(x) = x <name> value``, on any row of floats."""
    net = Network()
    x = net.input(2)
    return net.subgraph(net.add(name, x, net.constant(floats(value)), shape=(2,)), index=index)


def choice() -> Graph:
    """``x + 1 if flag else x * 3``."""
    net = Network()
    flag, x = net.input(type=BOOL), net.input(2)
    y = net.add("IF", flag, x, options=IfOptions(1, 2), shape=(2,))
    return Graph((net.subgraph(y), arithmetic(1, "ADD", 1), arithmetic(2, "MUL", 3)))


def powers(limit: float = 100.0) -> Graph:
    """Double ``x`` [1] as long as it is below the limit, then add the number of turns."""
    net = Network()
    count, x = net.constant(ints(0)), net.input(1)
    turns, y = net.tensor(1, type=I32), net.tensor(1)
    net.do("WHILE", count, x, options=WhileOptions(1, 2), outputs=(turns, y))
    total = net.add("ADD", y, y, shape=(1,))
    main = net.subgraph(turns, y, total)

    cond = Network()
    cond.input(1, type=I32)
    x = cond.input(1)
    less = cond.add("LESS", x, cond.constant(floats(limit)), type=BOOL, shape=(1,))

    body = Network()
    count, x = body.input(1, type=I32), body.input(1)
    more = body.add("ADD", count, body.constant(ints(1)), type=I32, shape=(1,))
    twice = body.add("ADD", x, x, shape=(1,))
    return Graph((main, cond.subgraph(less, index=1), body.subgraph(more, twice, index=2)))


def loaded(graph: Graph) -> Graph:
    """Through a file, as users have it."""
    return load_graph(write_graph(graph))


def litert_outputs(litert: Any, graph: Graph, *inputs: Array) -> list[Array]:
    interpreter = litert.Interpreter(model_content=write_graph(graph))
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


@pytest.mark.parametrize("backend", BACKENDS)
def test_if_runs_one_of_two_subgraphs(backend: str) -> None:
    model = Model(loaded(choice()), backend=backend)
    x = floats(5, -1)
    np.testing.assert_array_equal(model(np.array(True), x)[0], [6, 0])
    np.testing.assert_array_equal(model(np.array(False), x)[0], [15, -3])


@pytest.mark.parametrize("flag", [True, False])
def test_if_agrees_with_litert(litert: Any, flag: bool) -> None:
    x = floats(5, -1)
    (theirs,) = litert_outputs(litert, choice(), np.array(flag), x)
    np.testing.assert_array_equal(Model(choice())(np.array(flag), x)[0], theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_while_runs_until_its_condition_fails(backend: str) -> None:
    model = Model(loaded(powers()), backend=backend)
    for start, turns, end in ((3.0, 6, 192.0), (100.0, 0, 100.0), (60.0, 1, 120.0)):
        outputs = model(floats(start))
        assert [value.tolist() for value in outputs] == [[turns], [end], [2 * end]]


def test_while_agrees_with_litert(litert: Any) -> None:
    x = floats(3)
    theirs = litert_outputs(litert, powers(), x)
    for ours, expected in zip(Model(powers())(x), theirs, strict=True):
        np.testing.assert_array_equal(ours, expected, strict=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_composite_runs_its_decomposition(backend: str) -> None:
    net = Network()
    x = net.input(2)
    options = StableHLOCompositeOptions("my.plus_one", 1)
    y = net.add("STABLEHLO_COMPOSITE", x, options=options, shape=(2,))
    graph = Graph((net.subgraph(y), arithmetic(1, "ADD", 1)))
    np.testing.assert_array_equal(Model(loaded(graph), backend=backend)(floats(1, 2))[0], [2, 3])


def test_every_intermediate_around_a_loop_can_be_read() -> None:
    values = Model(powers()).run_all(floats(3))
    assert [values[i].tolist() for i in Model(powers()).graph.main.outputs] == [[6], [192.0], [384.0]]


def test_the_interpreter_runs_loops() -> None:
    interpreter = Interpreter(model_content=write_graph(powers()))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], floats(3))
    interpreter.invoke()
    found = [interpreter.get_tensor(d["index"]).tolist() for d in interpreter.get_output_details()]
    assert found == [[6], [192.0], [384.0]]


def test_a_subgraph_that_is_not_there_is_refused_at_load() -> None:
    graph = choice()
    with pytest.raises(ModelFormatError, match=r"op 0 IF: runs subgraph 2, the file has 2") as caught:
        loaded(Graph(graph.subgraphs[:2]))
    assert caught.value.rule == "subgraph-index"


def test_subgraphs_that_run_each_other_are_refused_at_load() -> None:
    def runs(number: int, index: int) -> Subgraph:
        net = Network()
        options = StableHLOCompositeOptions("circle", number)
        y = net.add("STABLEHLO_COMPOSITE", net.input(2), options=options, shape=(2,))
        return net.subgraph(y, index=index)

    with pytest.raises(ModelFormatError, match=r"subgraph 1 op 0 .*\[1, 2\] run each other") as caught:
        loaded(Graph((runs(1, 0), runs(2, 1), runs(1, 2))))
    assert caught.value.rule == "recursion"
    with pytest.raises(ModelFormatError, match="run each other"):
        loaded(Graph((runs(0, 0),)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fault_inside_a_loop_names_both_operators(backend: str) -> None:
    main, cond, _ = powers().subgraphs
    body = Network()
    count, x = body.input(1, type=I32), body.input(1)
    more = body.add("ADD", count, body.constant(ints(1)), type=I32, shape=(1,))
    # Two elements are asked for, the value has one.
    wide = body.add("RESHAPE", x, body.constant(ints(2)), shape=(2,))
    graph = Graph((main, cond, body.subgraph(more, wide, index=2)))
    with pytest.raises(InvokeError, match=r"(?s)op 0 WHILE failed .*op 1 RESHAPE: .*do not fill") as caught:
        Model(graph, backend=backend)(floats(3))
    assert caught.value.op_name == "WHILE"


def test_a_condition_that_is_no_bool_is_refused() -> None:
    net = Network()
    x = net.input(2)
    graph = Graph(
        (net.subgraph(net.add("IF", x, x, options=IfOptions(1, 1), shape=(2,))), arithmetic(1, "ADD", 1))
    )
    with pytest.raises(PrepareError, match="BOOL"):
        Model(graph).warm_up()
