"""MINILITE_DEBUG: what runs is told on standard error, and nothing else changes."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minilite
from minilite import Interpreter, Model, TensorValueError
from minilite.debug.verbose import VerboseExecutor
from minilite.executor import numba_is_available
from minilite.graph import Array, Graph
from minilite.writer import write_graph
from tests.debug.small_runs import RUNS, X
from tests.networks import floats
from tests.ops.test_control import choice
from tests.ops.test_resource import counter
from tests.small_models import chain_graph, chain_result

BACKENDS = ["numpy", *(["numba"] if numba_is_available() else [])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize(("graph", "inputs"), RUNS.values(), ids=RUNS)
def test_results_do_not_change(
    level: int, backend: str, graph: Graph, inputs: list[Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    def results() -> list[bytes]:
        model = Model(graph, backend=backend, threads=2)
        return [value.tobytes() for _ in range(2) for value in model(*inputs)]

    expected = results()
    monkeypatch.setenv("MINILITE_DEBUG", str(level))
    assert results() == expected


def told(
    level: str, graph: Graph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("MINILITE_DEBUG", level)
    model = minilite.load(write_graph(graph), backend="numpy")
    model(*(np.ones(tensor.shape, tensor.dtype) for tensor in model.inputs))
    captured = capsys.readouterr()
    assert captured.out == ""
    return re.sub(r"\d+\.\d+ ms", "N ms", captured.err)


def test_levels_rise(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three, four = (told(level, chain_graph(), monkeypatch, capsys) for level in "1234")
    assert one.splitlines() == [
        "minilite: loaded model content: 2 operators, 0.00 MB of constants, N ms",
        "minilite: model made ready for 0:f32[1x2x2x3]: 2 operators, numpy, 1 threads, N ms",
        "minilite: model, run 1: N ms",
    ]
    operator = "minilite:    1 ADD 2:f32[1x2x2x3] 3:f32[scalar] -> 4:f32[1x2x2x3]  N ms, NumPy"
    assert operator in two.splitlines()
    figures = "minilite:        4: min 12 max 14 mean 13, 0.0% zero"
    assert figures not in two
    assert f"{operator}\n{figures}\n" in three
    values = "minilite:        4: 12 13 14 12 ... 14 12 13 14"
    assert values not in three
    assert f"{operator}\n{figures}\n{values}\n" in four


def test_subgraphs_are_told_inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told("2", choice(), monkeypatch, capsys).splitlines()
    inner = next(i for i, line in enumerate(lines) if "ADD" in line)
    outer = next(i for i, line in enumerate(lines) if " IF " in line)
    assert lines[inner].startswith("minilite:        0 ADD")
    assert lines[outer].startswith("minilite:    0 IF")
    assert inner < outer


@pytest.mark.parametrize("level", ["1", "4", "yes"])
def test_the_interpreter_keeps_its_rules(
    level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINILITE_DEBUG", level)
    interpreter = Interpreter(model_content=write_graph(chain_graph()), backend="numpy")
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, X)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(4), chain_result(X))
    with pytest.raises(TensorValueError, match="intermediate"):
        interpreter.get_tensor(2)
    assert "model, run 1" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["", "0", None])
def test_nothing_is_told_unasked(
    level: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if level is None:
        monkeypatch.delenv("MINILITE_DEBUG", raising=False)
    else:
        monkeypatch.setenv("MINILITE_DEBUG", level)
    model = minilite.load(write_graph(chain_graph()), backend="numpy")
    model(X)
    assert not isinstance(model.executor(), VerboseExecutor)
    assert capsys.readouterr().err == ""


def test_a_trace_is_told_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MINILITE_DEBUG", "2")
    trace = Model(counter(), backend="numpy").trace(floats(1, 2))
    trace.step()
    trace.back()
    assert trace.finish()[0].tolist() == [11, 22]
    assert " ASSIGN_VARIABLE " in capsys.readouterr().err
