from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite.graph import Padding
from minilite.ops.pooling import Pool2DOptions
from minilite.testing.models import one_op, tensor
from minilite.writer import write_graph
from tests.networks import floats


@pytest.fixture
def sum_model(tmp_path: Path) -> Path:
    """``total = left + right``, rows of two."""
    specs = [tensor((1, 2), name="left"), tensor((1, 2), name="right")]
    path = tmp_path / "sum.tflite"
    path.write_bytes(write_graph(one_op("ADD", specs, [tensor((1, 2), name="total")])))
    return path


def test_arrays_by_name_and_position(run: Callable[..., Any], sum_model: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"left": floats(1, 2)[None], "1": floats(10, 20)[None]}
    np.savez(tmp_path / "in.npz", **given)
    result = run("run", sum_model, "--input", "in.npz", "--output", "out.npz", "--json")
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)["outputs"]
    assert (row["name"], row["shape"], row["min"], row["max"], row["mean"]) == ("total", [1, 2], 11, 22, 16.5)
    assert np.load("out.npz")["total"].tolist() == [[11, 22]]


def test_every_tensor(run: Callable[..., Any], sum_model: Path) -> None:
    result = run("run", sum_model, "--input", "random:3", "--all")
    assert result.exit_code == 0, result.stderr
    assert [line[: line.index("  ")] for line in result.stdout.splitlines()[1:4]] == [
        "0: left",
        "1: right",
        "2: total",
    ]


def test_the_same_seed_gives_the_same(run: Callable[..., Any], sum_model: Path) -> None:
    first, again, other = (run("run", sum_model, "--input", f"random:{s}", "--json") for s in (1, 1, 2))
    outputs = [json.loads(result.stdout)["outputs"] for result in (first, again, other)]
    assert outputs[0] == outputs[1] != outputs[2]


def test_a_picture(run: Callable[..., Any], tiny_model: Path, photo: Path) -> None:
    result = run("run", tiny_model, "--input", photo, "--json")
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)["outputs"]
    assert (row["min"], row["max"]) == (-3, 3)


def test_up_to_the_first_missing_operator(run: Callable[..., Any], foreign_model: Path) -> None:
    refused = run("run", foreign_model)
    assert refused.exit_code == 2
    assert "NobodyHasThis" in refused.stderr
    result = run("run", foreign_model, "--allow-missing", "--input", "zeros", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["outputs"][0]["shape"] == [1, 4]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("random:x", "give a seed"),
        ("random:", "give a seed"),
        ("nothing.png", "there is no such file"),
        ("missing.npz", "cannot be read"),
        ("partial.npz", "nothing in it for right"),
        ("strange.npz", "'elsewhere' is none of 'left', 'right'"),
        ("wrong.npz", "expected 2 axes"),
    ],
)
def test_bad_input_says_what_is_wrong(
    run: Callable[..., Any], sum_model: Path, source: str, message: str
) -> None:
    row = np.zeros((1, 2), np.float32)
    np.savez("partial.npz", left=row)
    np.savez("strange.npz", left=row, elsewhere=row)
    np.savez("wrong.npz", left=row, right=row[0])
    result = run("run", sum_model, "--input", source)
    assert result.exit_code == 2
    assert message in result.stderr


def test_sizes_that_a_file_leaves_open_are_asked_for(run: Callable[..., Any], tmp_path: Path) -> None:
    options = Pool2DOptions(padding=Padding.VALID, stride_w=1, stride_h=1, filter_width=1, filter_height=4)
    graph = one_op("MAX_POOL_2D", [tensor((1, 1, 1, 1), name="sound")], [tensor()], options)
    sound = replace(graph.main.tensors[0], shape_signature=(1, -1, 1, 1))
    main = replace(graph.main, tensors=(sound, graph.main.tensors[1]))
    path = tmp_path / "open.tflite"
    path.write_bytes(write_graph(replace(graph, subgraphs=(main,))))
    result = run("run", path)
    assert result.exit_code == 2
    assert "'sound' 1x-1x1x1" in result.stderr
    assert "gave 1x1x1x1" in result.stderr
    np.save(tmp_path / "long.npy", np.zeros((1, 9, 1, 1), np.float32))
    assert run("run", path, "--input", "long.npy").exit_code == 0
