"""A run stepped through: the bits of an ordinary one, and what can be done between two operators."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minilite
from minilite import InvokeError, Model, TensorValueError
from minilite.benchmark import random_inputs
from minilite.debug import Event, Recording, Trace, record
from minilite.executor import numba_is_available
from minilite.graph import Array, Graph, TensorType
from minilite.loader import load_graph, unsupported
from minilite.ops.control import IfOptions
from minilite.testing.draw import with_inputs
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.networks import joined, networks
from minilite.writer import write_graph
from tests.debug.small_runs import RUNS, SHAPED, X
from tests.networks import Network, computed_shape, floats
from tests.ops.test_resource import counter
from tests.real_models import FOLDER, MODELS, SHAPES
from tests.small_models import chain_graph, chain_result

BACKENDS = ["numpy", *(["numba"] if numba_is_available() else [])]
both = pytest.mark.parametrize("backend", BACKENDS)


def bits(values: object) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in values]  # type: ignore[attr-defined]


# --- the bits of an ordinary run ----------------------------------------------------------------------


@both
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("graph", "inputs"), RUNS.values(), ids=RUNS)
def test_a_trace_gives_the_bits_of_a_call(
    backend: str, threads: int, graph: Graph, inputs: list[Array]
) -> None:
    model = Model(graph, backend=backend, threads=threads)
    trace = model.trace(*inputs)
    events = list(trace)
    assert [event.index for event in events] == list(range(len(graph.main.operators)))
    assert bits(trace.finish()) == bits(trace.recording().outputs) == bits(model(*inputs))


@settings(settings.get_profile("few"))
@given(st.sampled_from([TensorType.FLOAT32, TensorType.INT8]).flatmap(networks), st.data())
def test_random_networks(graph: Graph, data: st.DataObject) -> None:
    case = data.draw(with_inputs(graph))
    model = Model(case.graph, backend=BACKENDS[-1], threads=2)
    with np.errstate(all="ignore"):
        run = record(model, case.inputs)
        assert bits(run.outputs) == bits(model(*case.inputs))
        everything = model.run_all(*case.inputs)
    assert all(value.tobytes() == everything[number].tobytes() for number, value in run.tensors.items())


@pytest.mark.skipif(not numba_is_available(), reason="the NumPy backend joins no operators")
@pytest.mark.parametrize("name", MODELS or [pytest.param("", marks=pytest.mark.skip("no MINILITE_MODELS"))])
def test_real_models(name: str) -> None:
    graph = load_graph(FOLDER / f"{name}.tflite")
    if missing := unsupported(graph):
        pytest.xfail(f"minilite does not have {', '.join(missing)}")
    shapes = SHAPES.get(name, {})
    inputs = [replace(t, shape=shapes.get(t.index, t.shape)) for t in Model(graph).inputs]
    values = list(random_inputs(inputs).values())
    with Model(graph, threads=2) as model, model.trace(*values) as trace:
        assert bits(trace.finish()) == bits(model(*values))


# --- events -------------------------------------------------------------------------------------------


@both
def test_an_event_tells_what_ran(backend: str) -> None:
    first, second = Model(chain_graph(), backend=backend).trace(X)
    assert (first.index, first.name, first.options) == (0, "ADD", chain_graph().main.operators[0].options)
    np.testing.assert_array_equal(first.outputs[0], X + np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(first.inputs[1], [1, 2, 3])
    assert second.inputs[0] is first.outputs[0]
    np.testing.assert_array_equal(second.outputs[0], chain_result(X))
    assert (second.statistics[0].min, second.statistics[0].max) == (11, 24)
    assert first.seconds > 0
    assert repr(first).startswith("<op 0 ADD -> tensor 2 'hidden' (FLOAT32 1x2x2x3)")


@both
def test_events_stay_as_they_are(backend: str) -> None:
    trace = Model(chain_graph(), backend=backend).trace(X)
    first, second = trace
    kept = [value.copy() for value in (*first.outputs, *second.outputs)]
    trace.go_to(0)
    trace.patch(0, X * 100)
    again = trace.run()
    assert bits(kept) == bits((*first.outputs, *second.outputs))
    np.testing.assert_array_equal(again[1].outputs[0], chain_result(X * 100))


@both
def test_shapes_known_only_now_stand_in_the_event(backend: str) -> None:
    events = list(Model(computed_shape(), backend=backend).trace(*SHAPED))
    assert [event.node.output.shape for event in events] == [(12,), (3, 4), (3, 4), (3, 4)]


# --- stopping -----------------------------------------------------------------------------------------


@both
def test_stopping_at_an_operator_a_tensor_or_a_predicate(backend: str) -> None:
    model = Model(computed_shape(), backend=backend)

    def stopped(**condition: object) -> int | None:
        event = model.trace(*SHAPED).until(**condition)  # type: ignore[arg-type]
        return None if event is None else event.index

    assert stopped(op=2) == 2
    assert stopped(op="RESHAPE") == 1
    assert stopped(tensor=3) == 1
    assert stopped(tensor="t4") == 2
    assert stopped(when=lambda event: event.statistics[0].max == 44) == 2
    assert stopped(op="CONV_2D") is None


@both
def test_stopping_at_the_first_nan(backend: str) -> None:
    net = Network()
    x = net.input(3)
    root = net.add("SQRT", net.add("NEG", x, shape=(3,)), shape=(3,))
    graph = net.graph(net.add("ADD", root, root, shape=(3,)))
    trace = Model(graph, backend=backend).trace(floats(0, 1, 2))
    event = trace.until(nan=True)
    assert isinstance(event, Event)
    assert (event.name, event.statistics[0].nan, trace.position) == ("SQRT", 2, 2)
    trace.patch(root, floats(0, 1, 2))
    assert trace.until(nan=True) is None
    assert trace.finish()[0].tolist() == [0, 2, 4]


def test_what_cannot_come_is_not_waited_for() -> None:
    trace = Model(chain_graph(), backend="numpy").trace(X)
    trace.step()
    with pytest.raises(InvokeError, match="operator 0 is not among those to come, 1 to 1"):
        trace.until(op=0)
    with pytest.raises(TensorValueError, match="no tensor called 'nothing'"):
        trace.until(tensor="nothing")
    trace.step()
    with pytest.raises(InvokeError, match="ends before operator 2"):
        trace.step()


# --- patching -----------------------------------------------------------------------------------------


@both
def test_a_patch_is_what_later_operators_read(backend: str) -> None:
    trace = Model(chain_graph(), backend=backend).trace(X)
    trace.step()
    trace.patch("hidden", np.zeros_like(X))
    assert trace.finish()[0].tolist() == np.full_like(X, 10).tolist()
    assert trace.recording().patched == (2,)
    assert not trace.recording().tensors[2].any()


@both
def test_a_patch_changes_a_dynamic_shape(backend: str) -> None:
    trace = Model(computed_shape(), backend=backend).trace(*SHAPED)
    trace.patch(1, [2, 6])
    assert trace.until(op="RESHAPE").outputs[0].shape == (2, 6)  # type: ignore[union-attr]
    trace.patch(3, np.ones((1, 5), np.float32))
    assert trace.finish()[0].tolist() == [[4] * 5]
    trace.go_to(0)
    assert trace.finish()[0].shape == (2, 6), "made before the operator it goes back to"


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        (1, floats(1, 2, 3), "is a constant"),
        (4, X, "is computed by op 1 ADD, which would overwrite"),
        (0, X[0], "expected 4 axes"),
        (0, X[:, :1], r"expected \(1, 2, 2, 3\), given \(1, 1, 2, 3\)"),
        (0, X.astype(complex), "expected float32"),
        (9, X, "no tensor called 9"),
    ],
)
def test_patches_that_are_refused(tensor: int, value: Array, message: str) -> None:
    with pytest.raises(TensorValueError, match=message):
        Model(chain_graph(), backend="numpy").trace(X).patch(tensor, value)


# --- back, ranges, going on ---------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("graph", "inputs"), RUNS.values(), ids=RUNS)
def test_stepping_back_and_again_gives_the_same(backend: str, graph: Graph, inputs: list[Array]) -> None:
    trace = Model(graph, backend=backend).trace(*inputs)
    once = [bits(event.outputs) for event in trace]
    for count in range(1, len(once) + 1):
        trace.back(count)
        assert trace.position == len(once) - count
        assert [bits(event.outputs) for event in trace] == once[trace.position - count :]


@both
def test_going_back_forgets(backend: str) -> None:
    trace = Model(chain_graph(), backend=backend).trace(X)
    trace.step()
    trace.patch("hidden", X)
    trace.step()
    trace.back(2)
    assert (list(trace.recording().tensors), trace.recording().patched) == ([0], ())
    with pytest.raises(TensorValueError, match="which has not run yet"):
        trace.value("hidden")
    assert trace.finish()[0].tolist() == chain_result(X).tolist()


@both
def test_a_part_of_the_operators(backend: str) -> None:
    model = Model(computed_shape(), backend=backend)
    whole = record(model, SHAPED)
    trace = Trace(model, SHAPED, operators=range(1, 3))
    assert [event.index for event in trace] == [1, 2]
    run = trace.recording()
    assert list(run.tensors) == [0, 1, 2, 3, 4]
    assert bits(run.tensors.values()) == bits(whole.tensors[i] for i in range(5))
    assert bits(trace.finish()) == bits(trace.finish()) == bits(whole.outputs)
    assert [event.index for event in trace.run(from_op=1, to_op=2)] == [1]
    with pytest.raises(InvokeError, match="operator 0 is outside of those traced, 1 to 3"):
        trace.run(from_op=0)
    with pytest.raises(TensorValueError, match="no operators to trace"):
        Trace(model, SHAPED, operators=range(7, 9))


@both
@pytest.mark.parametrize("start", range(4))
def test_going_on_from_a_recording(backend: str, start: int, tmp_path: Path) -> None:
    record(computed_shape(), SHAPED, backend="numpy").save(tmp_path / "run.npz")
    run = Recording.load(tmp_path / "run.npz")
    trace = run.resume(start, backend=backend)
    assert [event.index for event in trace] == list(range(start, 4))
    assert bits(trace.finish()) == bits(run.outputs)
    assert bits(trace.recording().tensors[i] for i in range(2)) == bits(SHAPED)


def test_recordings_do_not_keep_variables() -> None:
    run = record(counter(), [floats(1, 2)], backend="numpy")
    assert run.resume(0).finish()[0].tolist() == [11, 22]
    with pytest.raises(InvokeError, match="op 0 CALL_ONCE changes what outlives a run"):
        run.resume(2)


def test_what_a_recording_does_not_have() -> None:
    run = record(chain_graph(), X, backend="numpy", operators=range(1))
    assert run.resume(1).finish()[0].tolist() == chain_result(X).tolist()
    with pytest.raises(TensorValueError, match="keeps operators 0 to 0"):
        _ = run.outputs


class Simulated:
    """What a trace promises, on a dictionary of all values: for the graphs of ``woven``."""

    def __init__(self, graph: Graph, x: Array) -> None:
        self.operators = graph.main.operators
        self.constants = {t.index: t.data for t in graph.main.tensors if t.data is not None}
        self.values: dict[int, Array] = {graph.main.inputs[0]: x}
        self.patches: list[tuple[int, int, Array]] = []
        self.position = 0

    def step(self) -> Array:
        operator = self.operators[self.position]
        a, b = ({**self.values, **self.constants}[number] for number in operator.inputs)
        self.values[operator.outputs[0]] = a + b if operator.name == "ADD" else a * b
        self.position += 1
        return self.values[operator.outputs[0]]

    def patch(self, number: int, value: Array) -> None:
        self.patches.append((self.position, number, self.values[number]))
        self.values[number] = value

    def go_to(self, position: int) -> None:
        while self.position < position:
            self.step()
        while self.patches and self.patches[-1][0] > position:
            _, number, self.values[number] = self.patches.pop()
        for operator in self.operators[position : self.position]:
            del self.values[operator.outputs[0]]
        self.position = position


def is_read(graph: Graph, number: int, position: int) -> bool:
    """Whether an operator from a position on reads a tensor, or the model gives it."""
    read = {n for operator in graph.main.operators[position:] for n in operator.inputs}
    return number in read | set(graph.main.outputs)


def woven(random: np.random.Generator, count: int) -> Graph:
    """Sums and products of any two values that there are: some live long, some are read by nobody."""
    net = Network()
    made = [net.input(3), net.constant(floats(0.5, 2, -1))]
    for _ in range(count):
        a, b = random.choice(made, 2).tolist()
        made.append(net.add(str(random.choice(["ADD", "MUL"])), a, b, shape=(3,)))
    return net.graph(made[-1], made[len(made) // 2])


@both
@pytest.mark.parametrize("seed", range(12))
def test_any_way_through_a_run(backend: str, seed: int, tmp_path: Path) -> None:
    """Steps, ways back and forward, patches, ends: against a dictionary that forgets nothing."""
    random = np.random.default_rng(seed)
    graph, x = woven(random, 12), floats(1, -1, 0.25)
    first, last = int(random.integers(0, 4)), int(random.integers(5, 13))
    memory = None if seed % 2 else 40
    trace = Trace(
        Model(graph, backend=backend), x, operators=slice(first, last), memory=memory, folder=tmp_path
    )
    known = Simulated(graph, x)
    known.go_to(first)
    for _ in range(60):
        action = random.choice(["step", "go", "patch", "finish", "look"], p=[0.4, 0.2, 0.2, 0.1, 0.1])
        if action == "step" and trace.position < last:
            assert bits(trace.step().outputs) == bits([known.step()])
        elif action == "go":
            position = int(random.integers(first, last + 1))
            trace.go_to(position)
            known.go_to(position)
        elif action == "patch":
            number = int(random.choice([n for n in known.values if not trace.tensor(n).is_constant]))
            value = random.integers(-2, 3, 3).astype(np.float32)
            if number in trace.recording().tensors or is_read(graph, number, trace.position):
                trace.patch(number, value)
                known.patch(number, value)
            else:
                with pytest.raises(TensorValueError, match="made and read before the operators traced"):
                    trace.patch(number, value)
        elif action == "finish":
            outputs = trace.finish()
            known.go_to(12)
            assert bits(outputs) == bits(known.values[i] for i in graph.main.outputs)
            known.go_to(last)
        for number, value in trace.recording().tensors.items():
            assert value.tobytes() == known.values[number].tobytes(), number


# --- what outlives a run ------------------------------------------------------------------------------


@both
def test_a_trace_shows_the_next_call_and_leaves_the_model(backend: str) -> None:
    model = Model(counter(), backend=backend)
    model(floats(1, 2))
    for _ in range(2):
        assert model.trace(floats(1, 2)).finish()[0].tolist() == [12, 24]
    assert model(floats(1, 2))[0].tolist() == [12, 24]


@both
def test_variable_tensors(backend: str) -> None:
    """SVDF-like state: a variable that an RNN carries from call to call."""
    weights = [np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), floats(0, 0)]
    graph = one_op(
        "RNN",
        [tensor((1, 2)), *map(constant, weights), tensor((1, 2), is_variable=True)],
        [tensor((1, 2))],
    )
    model, x = Model(graph, backend=backend), floats(1, 2)[None]
    model(x)
    trace = model.trace(x)
    event = trace.step()
    np.testing.assert_array_equal(event.inputs[4], floats(1, 2)[None])
    np.testing.assert_array_equal(trace.value(4), event.outputs[0])
    trace.back()
    assert trace.value(4).tolist() == [[1, 2]]
    trace.patch(4, [[0, 0]])
    assert trace.finish()[0].tolist() == [[1, 2]]
    assert model(x)[0].tolist() == event.outputs[0].tolist() == [[2, 4]]


def remembering_branch() -> Graph:
    """``IF flag`` calls an RNN whose state is a variable of the subgraph; then ``x + x``."""
    main, inner, other = Network(), Network(), Network()
    flag, x = main.input(type=TensorType.BOOL), main.input(1, 2)
    y = main.add("IF", flag, x, options=IfOptions(1, 2), shape=(1, 2))
    last = main.add("ADD", y, y, shape=(1, 2))
    weights = [inner.constant(np.eye(2, dtype=np.float32)) for _ in range(2)]
    given = inner.input(1, 2)
    bias, state = inner.constant(floats(0, 0)), inner.tensor(1, 2, is_variable=True)
    made = inner.add("RNN", given, *weights, bias, state, shape=(1, 2))
    same = other.input(1, 2)
    doubled = other.add("ADD", same, same, shape=(1, 2))
    return joined(main.subgraph(last), inner.subgraph(made), other.subgraph(doubled))


@both
def test_state_inside_a_subgraph_is_not_taken_back(backend: str) -> None:
    trace = Model(remembering_branch(), backend=backend).trace(np.array(True), floats(1, 2)[None])
    assert trace.finish()[0].tolist() == [[2, 4]]
    trace.back()
    with pytest.raises(InvokeError, match="cannot go back over op 0 IF: it runs a subgraph with variables"):
        trace.back()
    assert trace.position == 1
    assert trace.finish()[0].tolist() == [[2, 4]]


# --- budgets ------------------------------------------------------------------------------------------


@both
def test_what_does_not_fit_in_memory_goes_to_disk(backend: str, tmp_path: Path) -> None:
    expected = record(chain_graph(), X, backend=backend)
    trace = Trace(Model(chain_graph(), backend=backend), X, memory=2 * X.nbytes, folder=tmp_path)
    events = list(trace)
    run = trace.recording()
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert bits(run.tensors.values()) == bits(expected.tensors.values())
    trace.back(2)
    assert bits(trace.run()[1].outputs) == bits(events[1].outputs)
    assert len(list(tmp_path.rglob("*.npy"))) == 2, "the recording's, and the one of the second run"
    run.save(tmp_path / "run.npz")
    assert bits(Recording.load(tmp_path / "run.npz").tensors.values()) == bits(expected.tensors.values())
    del run, trace
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_what_does_not_fit_at_all_is_an_error() -> None:
    with pytest.raises(InvokeError, match="more than the 0 bytes of memory and the 100 bytes of disk"):
        record(chain_graph(), X, backend="numpy", memory=0, disk=100)
    assert len(record(chain_graph(), X, backend="numpy", memory=0, disk=3 * X.nbytes).tensors) == 3


def test_importing_minilite_does_not_import_the_debugger() -> None:
    script = "import sys, minilite.model; print([m for m in sys.modules if m.startswith('minilite.debug')])"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"


def test_a_model_as_bytes() -> None:
    model = minilite.load(write_graph(chain_graph()), backend="numpy")
    assert len(list(model.trace(x=X))) == 2
