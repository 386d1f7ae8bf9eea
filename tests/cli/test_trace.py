from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite.debug import Recording
from minilite.graph import Graph, TensorType
from minilite.testing.models import one_op, tensor
from minilite.writer import write_graph
from tests.networks import floats
from tests.small_models import chain_graph, chain_result, quantized_graph


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Graph], Path]:
    def written(graph: Graph) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(write_graph(graph))
        return path

    return written


def lines(result: Any) -> list[list[str]]:
    assert result.exit_code == 0, result.stderr
    return [line.split() for line in result.stdout.splitlines()]


def test_a_row_for_each_operator(run: Callable[..., Any], write: Callable[[Graph], Path]) -> None:
    head, first, second, end = lines(run("trace", write(chain_graph())))
    assert head == ["op", "name", "output", "ms", "tensor"]
    assert (first[:3], first[4:]) == (["0", "ADD", "2:f32[1x2x2x3]"], ["hidden"])
    assert (second[:3], second[4:]) == (["1", "ADD", "4:f32[1x2x2x3]"], ["StatefulPartitionedCall:0"])
    assert end[:2] == ["2", "operators,"]


def test_figures(run: Callable[..., Any], write: Callable[[Graph], Path]) -> None:
    np.save("x.npy", np.array([[0, 255]], np.uint8))
    _, row, _ = lines(run("trace", write(quantized_graph()), "--input", "x.npy", "--stats"))
    # -64 + -64 and 63.5 + 63.5 at scale 1 and zero point 10
    assert row[4:] == ["0", "137", "68.5", "0.0%", "0", "50.00%", "254", "y"]


def test_a_part_goes_to_a_file(run: Callable[..., Any], write: Callable[[Graph], Path]) -> None:
    np.save("x.npy", np.ones((1, 2, 2, 3), np.float32))
    result = run(
        "trace", write(chain_graph()), "--input", "x.npy", "--ops", "1:", "--output", "run.npz", "--memory", 0
    )
    assert [row[0] for row in lines(result)[1:-2]] == ["1"]
    recording = Recording.load("run.npz")
    assert list(recording.tensors) == [0, 2, 4]
    np.testing.assert_array_equal(recording.outputs[0], chain_result(np.ones((1, 2, 2, 3), np.float32)))
    assert sorted(path.name for path in Path().iterdir()) == ["cache", "model.tflite", "run.npz", "x.npy"]


@pytest.mark.parametrize(
    ("until", "stopped"),
    [("0", 0), ("add", 0), ("tensor:4", 1), ("tensor:hidden", 0), ("nan", None)],
)
def test_stopping(
    run: Callable[..., Any], write: Callable[[Graph], Path], until: str, stopped: int | None
) -> None:
    result = run("trace", write(chain_graph()), "--until", until, "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["stopped_at"] == stopped
    last = 1 if stopped is None else stopped
    assert [operator["index"] for operator in data["operators"]] == list(range(last + 1))


def test_json(run: Callable[..., Any], write: Callable[[Graph], Path]) -> None:
    graph = one_op("SQRT", [tensor((3,))], [tensor()])
    np.save("x.npy", floats(-1, 4, np.inf))
    result = run(
        "trace", write(graph), "--input", "x.npy", "--json", "--until", "nan", "--backend", "float64"
    )
    data = json.loads(result.stdout)
    (operator,) = data["operators"]
    assert (data["backend"], data["stopped_at"]) == ("float64", 0)
    (output,) = operator["outputs"]
    assert (output["type"], output["shape"]) == (TensorType.FLOAT32.name, [3])
    assert output["statistics"] == {
        "count": 3,
        "min": 2,
        "max": 2,
        "mean": 2,
        "zeros": 0,
        "nan": 1,
        "infinite": 1,
        "saturated": None,
        "unused_codes": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ops", "x"], "give numbers of operators, as in 10:20"),
        (["--ops", "5:9"], "no operators to trace"),
        (["--until", "CONV_2D"], "the model has ADD"),
        (["--until", "tensor:none"], "no tensor called 'none'"),
        (["--until", "7"], "operator 7 is not among those to come, 0 to 1"),
        (["--output", "run.txt"], "a recording is an .npz file"),
        (["--memory", "0", "--disk", "0"], "more than the 0 bytes of memory and the 0 bytes of disk"),
        (["--backend", "none"], "unknown backend"),
    ],
)
def test_what_is_refused(
    run: Callable[..., Any], write: Callable[[Graph], Path], arguments: list[str], message: str
) -> None:
    result = run("trace", write(chain_graph()), *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
