"""``minilite compare``, ``bisect``, ``slice`` and ``matrix``: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite.debug import record
from minilite.executor import numba_is_available
from minilite.writer import write_graph
from tests.debug.planted import LAST, flipped, float_input, int8_network, network, pools

ROOT = Path(__file__).parents[2]
NUMPY = ("--backend", "numpy")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "network.tflite").write_bytes(write_graph(int8_network()))
    return tmp_path / "network.tflite"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A copy with one weight of the last convolution flipped."""
    (tmp_path / "flipped.tflite").write_bytes(write_graph(flipped(int8_network(), LAST)))
    return tmp_path / "flipped.tflite"


def test_compare_agrees(run: Callable[..., Any], model: Path) -> None:
    result = run("compare", model, *NUMPY, "--per-op")
    assert result.exit_code == 0, result.output
    assert "of 5 tensors 5 agree" in result.stdout
    assert "AVERAGE_POOL_2D" in result.stdout


def test_a_flipped_weight_is_found_bisected_and_sliced_out(
    run: Callable[..., Any], model: Path, wrong: Path
) -> None:
    compared = run("compare", wrong, model, *NUMPY, "--json")
    assert compared.exit_code == 1, compared.output
    report = json.loads(compared.stdout)
    assert [row["operator"] for row in report["rows"] if row["verdict"] == "born"] == [LAST]
    assert report["agrees"] is False
    assert len(report["faults"]) == 1

    bisected = run("bisect", wrong, model, *NUMPY, "--json")
    assert bisected.exit_code == 1, bisected.output
    found = json.loads(bisected.stdout)
    assert found["row"]["operator"] == LAST
    words = found["slice"].split()
    assert words[:2] == ["minilite", "slice"]

    sliced = run(*words[1:])
    assert sliced.exit_code == 0, sliced.output
    folder = Path(words[words.index("--output") + 1])
    again = run(
        "run", folder / "model.tflite", "--input", folder / "inputs.npz", "--output", "made.npz", *NUMPY
    )
    assert again.exit_code == 0, again.output
    with np.load("made.npz") as made, np.load(folder / "expected.npz") as expected:
        (name,) = made.files
        assert np.any(made[name] != expected["0"])


_SUM_OF_ROWS = "combine_rows(x, line, w, row, np.int32(0), _add)"


def test_a_compiled_kernel_changed_by_one_step_is_found(tmp_path: Path) -> None:
    """A copy of the kernels, in which sums of an average pool of integers begin at 1 instead of 0."""
    if not numba_is_available():
        pytest.skip("kernels need numba")
    shutil.copytree(ROOT / "kernels", tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "kernels" / "minilite_kernels" / "pooling.py"
    text = source.read_text()
    assert text.count(_SUM_OF_ROWS) == 1
    source.write_text(text.replace(_SUM_OF_ROWS, _SUM_OF_ROWS.replace("int32(0)", "int32(1)")))
    folders = os.pathsep.join(map(str, (tmp_path / "kernels", ROOT, ROOT / "models")))

    def minilite(*words: str) -> tuple[int, Any]:
        child = subprocess.run(
            [sys.executable, "-m", "minilite", *words, "--json"],
            env={**os.environ, "PYTHONPATH": folders},
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.stdout, child.stderr
        return child.returncode, json.loads(child.stdout)

    model = tmp_path / "pools.tflite"
    model.write_bytes(write_graph(pools()))
    code, report = minilite("compare", str(model), "--against", "numpy")
    assert code == 1
    born = [row for row in report["rows"] if row["verdict"] == "born"]
    assert [row["operator"] for row in born] == [1]
    assert born[0]["local"]["needed"] == "steps(1)"
    code, found = minilite("bisect", str(model), "--against", "numpy")
    assert (code, found["row"]["operator"]) == (1, 1)


def test_saved_runs(run: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    from minilite.inputs import read_inputs
    from minilite.loader import load_graph

    graph = load_graph(model)
    record(graph, read_inputs("random:3", graph), backend="numpy").save("run.npz")
    assert run("compare", model, *NUMPY, "--against", "run.npz").exit_code == 0
    assert run("compare", "run.npz", "run.npz").exit_code == 0
    assert run("compare", "run.npz").exit_code == 0
    assert run("bisect", "run.npz", "--against", "numpy").exit_code == 0
    sliced = run("slice", "run.npz", "--ops", "1", "--json")
    assert sliced.exit_code == 0, sliced.output
    assert json.loads(sliced.stdout)["operators"] == ["DEPTHWISE_CONV_2D"]
    refused = run("compare", model, *NUMPY, "--against", "run.npz", "--input", "zeros")
    assert refused.exit_code == 2
    assert "recorded on values of its own" in refused.stderr


def test_a_quantized_twin(run: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    (tmp_path / "float.tflite").write_bytes(write_graph(network()))
    np.save(tmp_path / "x.npy", float_input())
    result = run("compare", "float.tflite", model, *NUMPY, "--input", "x.npy")
    assert result.exit_code == 0, result.output
    assert "not judged" in result.stdout
    assert "--tolerance STEPS judges" in result.stdout
    assert (
        run("compare", "float.tflite", model, *NUMPY, "--input", "x.npy", "--tolerance", "0").exit_code == 1
    )


def test_a_runtime_that_dies_is_reported(run: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    dies = "import os\n\nclass Interpreter:\n    def __init__(self, **_):\n        os.abort()\n"
    (tmp_path / "dying.py").write_text(dies)
    result = run("compare", model, *NUMPY, "--against", "dying.Interpreter")
    assert result.exit_code == 2
    assert "dying.Interpreter died with SIGABRT" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "network.tflite", "--against", "nobody"), "nobody to compare with"),
        (("compare", "network.tflite", "--match", "luck"), "use auto, name or order"),
        (("compare", "network.tflite", "network.tflite", "--against", "numpy"), "not both"),
        (("bisect", "network.tflite", "--against", "missing.npz"), "missing.npz"),
        (("slice", "network.tflite", "--ops", "a:b"), "give operators as"),
        (("slice", "network.tflite", "--ops", "3:9"), "operators 0 to"),
        (("matrix", "network.tflite", "--threads", "0"), "give numbers from 1 on"),
    ],
)
def test_usage(run: Callable[..., Any], model: Path, words: tuple[str, ...], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_bisect_finds_nothing(run: Callable[..., Any], model: Path) -> None:
    result = run("bisect", model, *NUMPY)
    assert result.exit_code == 0
    assert "none of 5 operators breaks its tolerance" in result.stdout


def test_matrix(run: Callable[..., Any], model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ("minilite numpy", "minilite.interpreter.Interpreter:BUILTIN_REF", "BUILTIN_REF")
    gone = ("gone", "nobody.Interpreter", "AUTO")
    monkeypatch.setattr("minilite.debug.matrix.candidates", lambda: [own, gone])
    result = run("matrix", model, "--threads", "1", "--runs", "1", "--against", "minilite numpy")
    assert result.exit_code == 0, result.output
    assert "ok, baseline" in result.stdout
    assert "missing" in result.stdout
    rows = json.loads(run("matrix", model, "--against", "minilite numpy", "--json").stdout)["cells"]
    assert [row["status"] for row in rows] == ["ok", "missing"]
    assert run("matrix", model, "--against", "gone").exit_code == 2
