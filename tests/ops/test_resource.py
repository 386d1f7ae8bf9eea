"""Variables and hash tables, on both backends and against LiteRT."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Array, Graph, TensorType
from minilite.interpreter import Interpreter
from minilite.model import Model
from minilite.ops.control import CallOnceOptions
from minilite.ops.resource import HashtableOptions, VarHandleOptions
from minilite.writer import write_graph
from tests.networks import Network, floats, longs
from tests.ops.test_control import BACKENDS, litert_outputs, loaded

F32, I64, RESOURCE, STRING = TensorType.FLOAT32, TensorType.INT64, TensorType.RESOURCE, TensorType.STRING


def handle(net: Network, name: str = "total") -> int:
    return net.add("VAR_HANDLE", options=VarHandleOptions("", name), type=RESOURCE)


def counter() -> Graph:
    """``total += x``, which begins at [10, 20] and is returned."""
    net = Network()
    x = net.input(2)
    net.do("CALL_ONCE", options=CallOnceOptions(1))
    variable = handle(net)
    total = net.add("ADD", net.add("READ_VARIABLE", variable, shape=(2,)), x, shape=(2,))
    net.do("ASSIGN_VARIABLE", variable, total)
    start = Network()
    start.do("ASSIGN_VARIABLE", handle(start), start.constant(floats(10, 20)))
    return Graph((net.subgraph(total), start.subgraph(index=1)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_variable_is_remembered(backend: str) -> None:
    model, other = (Model(loaded(counter()), backend=backend) for _ in range(2))
    assert model(floats(1, 2))[0].tolist() == [11, 22]
    assert model(floats(1, 2))[0].tolist() == [12, 24]
    assert other(floats(0, 0))[0].tolist() == [10, 20], "each model has its own"
    assert model.run_all(floats(1, 2))[model.graph.main.outputs[0]].tolist() == [13, 26]


def test_variables_agree_with_litert(litert: Any) -> None:
    interpreters = [kind(model_content=write_graph(counter())) for kind in (Interpreter, litert.Interpreter)]
    seen: list[list[Any]] = [[], []]
    for interpreter, values in zip(interpreters, seen, strict=True):
        interpreter.allocate_tensors()
        for step in range(4):
            if step == 3:
                interpreter.reset_all_variables()
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], floats(1, step))
            interpreter.invoke()
            values.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist())
    assert seen[0] == seen[1]


def test_a_copy_goes_on_from_where_it_was_made() -> None:
    interpreter = Interpreter(model_content=write_graph(counter()))
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, floats(1, 1))
    interpreter.invoke()
    second = copy.deepcopy(interpreter)
    for one in (interpreter, second):
        one.invoke()
        assert one.get_tensor(one.get_output_details()[0]["index"]).tolist() == [12, 22]


def test_reading_before_assigning_is_an_error() -> None:
    net = Network()
    net.input(1)
    y = net.add("READ_VARIABLE", handle(net, "never"), shape=(2,))
    with pytest.raises(InvokeError, match=r"op 1 READ_VARIABLE .* before it is assigned"):
        Model(Graph((net.subgraph(y),)))(floats(0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_read_stays_when_the_variable_changes(backend: str) -> None:
    """``t = v; v = x; y = t + x``, where v begins at [10, 20]."""
    net = Network()
    x = net.input(2)
    net.do("CALL_ONCE", options=CallOnceOptions(1))
    variable = handle(net)
    read = net.add("READ_VARIABLE", variable, shape=(2,))
    net.do("ASSIGN_VARIABLE", variable, x)
    y = net.add("ADD", read, x, shape=(2,))
    model = Model(Graph((net.subgraph(y), counter().subgraphs[1])), backend=backend)
    assert model(floats(1, 2))[0].tolist() == [11, 22]
    assert model(floats(5, 5))[0].tolist() == [6, 7]


def test_a_variable_takes_the_shape_it_is_assigned() -> None:
    net = Network()
    x = net.input(1, shape_signature=(-1,))
    variable = handle(net)
    net.do("ASSIGN_VARIABLE", variable, x)
    read = net.add("READ_VARIABLE", variable, shape=(1,), shape_signature=(-1,))
    y = net.add("MUL", read, net.constant(floats(2)), shape=(1,), shape_signature=(-1,))
    model = Model(Graph((net.subgraph(y),)))
    assert model(floats(1, 2, 3))[0].tolist() == [2, 4, 6]
    assert model(floats(5))[0].tolist() == [10]


def strings(*texts: bytes) -> Array:
    return np.array(texts, object)


def table(forward: bool = True) -> Graph:
    """Numbers of words, or words of numbers, from a table of two; and how many it has."""
    net = Network()
    words, numbers = strings(b"cat", b"dog"), longs(3, 5)
    key, value = (STRING, I64) if forward else (I64, STRING)
    keys, values = (words, numbers) if forward else (numbers, words)
    default = longs(-1) if forward else strings(b"?")
    query = net.input(3, type=key)
    found = net.add("HASHTABLE", options=HashtableOptions(7, key, value), type=RESOURCE, shape=(1,))
    net.do("HASHTABLE_IMPORT", found, net.constant(keys), net.constant(values))
    answer = net.add("HASHTABLE_FIND", found, query, net.constant(default), type=value, shape=(3,))
    size = net.add("HASHTABLE_SIZE", found, type=I64, shape=(1,))
    return Graph((net.subgraph(answer, size),))


@pytest.mark.parametrize("backend", BACKENDS)
def test_tables_look_up_words_and_numbers(backend: str) -> None:
    answer, size = Model(loaded(table()), backend=backend)(strings(b"dog", b"cow", b"cat"))
    assert (answer.tolist(), size.tolist()) == ([5, -1, 3], [2])
    answer, _ = Model(loaded(table(forward=False)), backend=backend)(longs(3, 4, 5))
    assert answer.tolist() == [b"cat", b"?", b"dog"]


def test_tables_agree_with_litert(litert: Any) -> None:
    for graph, query in ((table(), strings(b"dog", b"cow", b"cat")), (table(False), longs(3, 4, 5))):
        theirs = litert_outputs(litert, graph, query)
        ours = Model(graph)(query)
        assert [value.tolist() for value in ours] == [value.tolist() for value in theirs]


def test_the_interpreter_takes_and_gives_texts() -> None:
    interpreter = Interpreter(model_content=write_graph(table(forward=False)))
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, longs(3, 4, 5))
    interpreter.invoke()
    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist() == [
        b"cat",
        b"?",
        b"dog",
    ]
    interpreter = Interpreter(model_content=write_graph(table()))
    interpreter.allocate_tensors()
    for words in (strings(b"dog", b"cow", b"cat"), np.array(["dog", "cow", "cat"])):
        interpreter.set_tensor(0, words)
        interpreter.invoke()
        assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist() == [5, -1, 3]


def test_tables_of_other_types_are_refused() -> None:
    net = Network()
    net.input(1)
    net.add("HASHTABLE", options=HashtableOptions(7, F32, I64), type=RESOURCE, shape=(1,))
    with pytest.raises(PrepareError, match="from FLOAT32 to INT64") as caught:
        Model(Graph((net.subgraph(0),))).warm_up()
    assert caught.value.rule == "types"
