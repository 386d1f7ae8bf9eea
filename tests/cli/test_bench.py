from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minilite.writer import write_graph
from tests.networks import branches

Run = Callable[..., Any]


def test_tables(run: Run, tiny_model: Path) -> None:
    result = run("bench", tiny_model, "--threads", "1,2", "--runs", "3", "--backend", "numpy")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines[1:3]] == ["1", "2"]
    assert [
        "node",
        "type",
        "start",
        "first",
        "avg",
        "ms",
        "%",
        "cdf",
        "%",
        "times",
        "called",
        "name",
    ] in lines
    assert any(line[:1] == ["CONV_2D"] and line[-1] == "scores" for line in lines)


def test_operators_without_a_kernel_are_marked(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="asks for the Numba backend")
    path = tmp_path / "model.tflite"
    path.write_bytes(write_graph(branches(python_step=True)))
    table = run("bench", path, "--threads", "1", "--runs", "2").stdout
    marked = [line.split()[:2] for line in table.splitlines() if "(NumPy)" in line]
    assert marked == [["ADD_N", "(NumPy)"]]
    data = json.loads(run("bench", path, "--threads", "1", "--runs", "2", "--json").stdout)
    rows = data["profile"]["operators"]
    assert [row["node_type"] for row in rows if not row["compiled"]] == ["ADD_N"]
    # On the NumPy backend all of them are, and nothing has to be marked.
    assert "(NumPy)" not in run("bench", path, "--runs", "2", "--backend", "numpy").stdout


def test_json_against_litert(run: Run, tiny_model: Path, litert: Any) -> None:
    result = run(
        "bench",
        tiny_model,
        "--threads",
        1,
        "--runs",
        3,
        "--backend",
        "numpy",
        "--against",
        "litert",
        "--json",
    )
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    (measured,) = data["results"]
    assert measured["minilite"]["runs"] == 3
    comparison = measured["comparison"]
    assert comparison["ratio_of_medians"] > 0
    (scores,) = comparison["differences"]
    assert scores["name"] == "scores"
    assert scores["largest"] < 1e-5
    (row,) = data["profile"]["operators"]
    assert (row["node_type"], row["share"], row["cumulated"]) == ("CONV_2D", 1.0, 1.0)


def test_stages_of_the_plan(run: Run, tiny_model: Path) -> None:
    pytest.importorskip("numba", reason="asks for the Numba backend")
    table = run("bench", tiny_model, "--threads", "1", "--runs", "2").stdout
    assert "GFLOP/s" in table
    data = json.loads(run("bench", tiny_model, "--threads", "1", "--runs", "2", "--json").stdout)
    (stage,) = data["plan"]["stages"]
    assert stage["operators"] == ["op 0 CONV_2D"]
    assert stage["lost_ms"] <= stage["milliseconds"]
    assert data["plan"]["peak"]["gflops"] > 0
    numpy = json.loads(run("bench", tiny_model, "--runs", "2", "--backend", "numpy", "--json").stdout)
    assert numpy["plan"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "0"], "give numbers from 1 on"),
        (["--threads", "one"], "give numbers from 1 on"),
        (["--against", "tvm"], "only litert"),
        (["--runs", "0"], "--runs"),
    ],
)
def test_bad_options(options: list[str], message: str, run: Run, tiny_model: Path) -> None:
    result = run("bench", tiny_model, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_litert_that_is_not_installed(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert", None)
    result = run("bench", tiny_model, "--against", "litert", "--runs", 1)
    assert result.exit_code == 2
    assert "install ai-edge-litert" in result.stderr
