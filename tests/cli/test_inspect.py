from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_the_table_for_a_pipe_is_plain(run: Run, tiny_model: Path) -> None:
    result = run("inspect", tiny_model, "--tensors")
    assert result.exit_code == 0, result.output
    assert "  input 0:f32[1x8x8x3]  photo" in result.stdout
    row = next(line for line in result.stdout.splitlines() if "CONV_2D" in line)
    assert "0:f32[1x8x8x3], 1:f32[2x1x1x3], 2:f32[2]" in row
    assert "3:f32[1x8x8x2]" in row
    assert "…" not in result.stdout
    assert "1 operators: 1 CONV_2D" in result.stdout
    assert any(
        line.split() == ["2", "float32", "2", "8", "yes", "bias"] for line in result.stdout.splitlines()
    )


def test_json_has_everything(run: Run, tiny_model: Path) -> None:
    data = json.loads(run("inspect", tiny_model, "--json").stdout)
    (subgraph,) = data["subgraphs"]
    (operator,) = subgraph["operators"]
    assert operator["name"] == "CONV_2D"
    assert operator["multiply_adds"] == 8 * 8 * 2 * 3
    assert operator["weight_bytes"] == (2 * 3 + 2) * 4
    assert operator["options"]["padding"] == "SAME"
    assert subgraph["totals"] == {
        "operators": {"CONV_2D": 1},
        "multiply_adds": 384,
        "weight_bytes": 32,
        "activation_bytes": (8 * 8 * 3 + 8 * 8 * 2) * 4,
    }
    assert data["bytes"] == tiny_model.stat().st_size


def test_operators_minilite_does_not_have_are_marked(run: Run, foreign_model: Path) -> None:
    result = run("inspect", foreign_model)
    assert result.exit_code == 0, result.output
    assert "NobodyHasThis (!)" in result.stdout
    assert "op 0 NobodyHasThis: minilite does not have this operator" in result.stdout


def test_a_missing_model(run: Run) -> None:
    result = run("inspect", "missing.tflite")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Known names: deeplabv3" in result.stderr


def test_every_real_model_can_be_inspected(run: Run, models_dir: Path) -> None:
    for path in sorted(models_dir.glob("*.tflite")):
        result = run("inspect", path, "--json")
        assert result.exit_code == 0, (path, result.output)
        assert json.loads(result.stdout)["subgraphs"][0]["operators"]
