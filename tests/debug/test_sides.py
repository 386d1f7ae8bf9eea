"""Whom a run is compared with: runtimes in processes of their own, which may not survive it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minilite import BackendError, RuntimeFailedError
from minilite.debug.compare import compare
from minilite.debug.sides import exposable, own_side, record_side, with_outputs
from minilite.graph import Graph, TensorType
from minilite.loader import load_graph
from minilite.ops.control import WhileOptions
from minilite.testing import oracle
from minilite.writer import write_graph
from tests.debug.planted import LAST, flipped, float_input, int8_input, int8_network, network, run
from tests.networks import Network

CANDIDATES = "tests.testing.candidates"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "network.tflite").write_bytes(write_graph(int8_network()))
    return tmp_path / "network.tflite"


def test_values_of_a_runtime_that_keeps_none_are_exposed(path: Path) -> None:
    side = record_side("minilite.interpreter.Interpreter", path, [int8_input()])
    assert side.intermediates == "exposed"
    assert "the same bits" in side.note
    assert len(side.recording.tensors) == 6
    assert compare(run(int8_network(), int8_input()), side).agrees
    report = compare(run(flipped(int8_network(), LAST), int8_input()), side)
    assert [row.operator for row in report.born] == [LAST]


def test_only_outputs_can_be_had(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the copy that exposes all values does not run."""
    monkeypatch.setattr("minilite.debug.sides.with_outputs", lambda graph, _: with_outputs(graph, [99999]))
    monkeypatch.setattr("minilite.debug.sides.write_graph", lambda _: b"no model")
    side = record_side("minilite.interpreter.Interpreter", path, [int8_input()])
    assert side.intermediates == "none"
    agreeing = compare(run(int8_network(), int8_input()), side)
    assert agreeing.agrees
    assert any("no intermediate values" in note for note in agreeing.notes)
    report = compare(run(flipped(int8_network(), LAST), int8_input()), side)
    assert not report.agrees
    assert "output tensor" in report.faults[0]


@pytest.mark.parametrize("runtime", ["litert-ref", "litert", "litert-builtin"])
def test_litert(path: Path, runtime: str, tmp_path: Path) -> None:
    if not oracle.is_available(runtime):
        pytest.skip("ai-edge-litert is not installed")
    model = tmp_path / "float.tflite"
    model.write_bytes(write_graph(network()))
    side = record_side(runtime, model, [float_input()])
    assert side.about.startswith("ai-edge-litert ")
    assert side.intermediates == ("kept" if runtime == "litert-ref" else "exposed")
    report = compare(run(network(), float_input()), side)
    assert report.agrees, report.faults
    assert all(row.local is not None for row in report.rows)
    assert any("reference kernels" in note for note in report.notes) == (runtime != "litert-ref")
    wrong = compare(run(flipped(network(), LAST), float_input()), side)
    assert [row.operator for row in wrong.born] == [LAST]


@pytest.mark.parametrize(
    ("candidate", "message"),
    [("Crashes", "died with SIGABRT"), ("Refuses", "not today"), ("Hangs", "hung for more than 2 s")],
)
def test_runtimes_that_fail_are_reported(path: Path, candidate: str, message: str) -> None:
    with pytest.raises(RuntimeFailedError, match=message):
        record_side(f"{CANDIDATES}.{candidate}", path, [int8_input()], timeout=2)


def test_nobody_of_that_name(path: Path) -> None:
    with pytest.raises(BackendError, match="numpy, float64, litert"):
        record_side("litret", path, [int8_input()])


def test_exposed_tensors_are_those_that_operators_compute(path: Path) -> None:
    graph = load_graph(path)
    numbers = exposable(graph.main)
    assert len(numbers) == 4
    exposed = with_outputs(graph, numbers)
    assert exposed.main.outputs == (*graph.main.outputs, *numbers)
    assert not set(numbers) & set(graph.main.outputs)


def test_other_sizes_than_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "network.tflite"
    path.write_bytes(write_graph(network()))
    x = np.concatenate([float_input(), float_input(1)])
    side = record_side("minilite.interpreter.Interpreter:BUILTIN_REF", path, [x])
    assert side.recording.outputs[0].shape == (2, 8, 8, 8)
    assert compare(run(network(), x), side).agrees


def test_what_nobody_reads_of_a_loop_is_not_read() -> None:
    """LiteRT keeps zeros for it."""
    net = Network()
    count, x = net.input(type=TensorType.INT32), net.input(2)
    outputs = (net.tensor(type=TensorType.INT32), net.tensor(2))
    net.do("WHILE", count, x, options=WhileOptions(1, 2), outputs=outputs)
    main = net.subgraph(net.add("ADD", outputs[1], outputs[1], shape=(2,)))
    condition, body = Network(), Network()
    for part in (condition, body):
        part.input(type=TensorType.INT32)
        part.input(2)
    less = condition.add("LESS", 0, condition.constant(np.array(3, np.int32)), type=TensorType.BOOL)
    more = body.add("ADD", 0, body.constant(np.array(1, np.int32)), type=TensorType.INT32)
    twice = body.add("ADD", 1, 1, shape=(2,))
    graph = Graph((main, condition.subgraph(less, index=1), body.subgraph(more, twice, index=2)))
    assert exposable(graph.main) == [outputs[1]]
    if not oracle.is_available("litert-ref"):
        pytest.skip("ai-edge-litert is not installed")
    inputs = [np.array(0, np.int32), np.ones(2, np.float32)]
    side = record_side("litert-ref", write_graph(graph), inputs)
    report = compare(own_side("numpy", graph, inputs), side)
    assert report.agrees, report.faults
    assert [row.name for row in report.rows] == ["WHILE", "ADD"]
