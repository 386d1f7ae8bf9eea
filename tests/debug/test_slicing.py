"""A few operators as a model of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import SliceError, load
from minilite.debug import record
from minilite.debug.sides import Side
from minilite.debug.slicing import cut, onto, write_slice
from minilite.graph import Graph, TensorType
from minilite.loader import load_graph
from minilite.post_training import to_float16
from minilite.writer import write_graph
from tests.debug.planted import LAST, flipped, float_input, int8_input, int8_network, network, run
from tests.networks import Network

ROOT = Path(__file__).parents[2]


def sliced(side: Side, first: int, last: int, folder: Path) -> Graph:
    write_slice(folder, cut(side.recording, range(first, last)), side, "network.tflite")
    return load_graph(folder / "model.tflite")


def replay(folder: Path, **environment: str) -> tuple[int, dict[str, Any]]:
    """Run the script from elsewhere; its exit code, and what became of each runtime."""
    folders = os.pathsep.join(map(str, (ROOT, ROOT / "kernels", ROOT / "models")))
    child = subprocess.run(
        [sys.executable, str(folder / "replay.py"), "--json"],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": folders, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout, child.stderr
    return child.returncode, {row["runtime"]: row for row in json.loads(child.stdout)["runtimes"]}


def test_a_slice_gives_what_the_whole_gave(tmp_path: Path) -> None:
    side = run(network(), float_input())
    graph = sliced(side, 1, 4, tmp_path)
    main = graph.main
    assert [operator.name for operator in main.operators] == [
        "DEPTHWISE_CONV_2D",
        "AVERAGE_POOL_2D",
        "CONV_2D",
    ]
    assert (len(main.inputs), len(main.outputs)) == (1, 1)
    with np.load(tmp_path / "inputs.npz") as given, np.load(tmp_path / "expected.npz") as expected:
        whole = side.recording
        np.testing.assert_array_equal(given["0"], whole.value(whole.node(0).output.index))
        made = load(tmp_path / "model.tflite", backend="numpy")(given["0"])[0]
        np.testing.assert_array_equal(made, expected["0"])
        np.testing.assert_array_equal(made, whole.value(whole.node(LAST).output.index))
    description = json.loads((tmp_path / "slice.json").read_text())
    assert description["operators"] == [1, 4]
    assert description["inputs"][0]["tensor"] == whole.node(0).output.index


def test_only_what_is_needed_is_in_it(tmp_path: Path) -> None:
    side = run(network(), float_input())
    graph = sliced(side, LAST, LAST + 1, tmp_path)
    assert len(graph.main.tensors) == 4
    constants = sum(t.nbytes for t in graph.main.tensors if t.is_constant)
    assert constants == (8 * 8 + 8) * 4
    assert (tmp_path / "model.tflite").stat().st_size < constants + 2000


def test_what_is_read_behind_becomes_an_output() -> None:
    """The first convolution is read by the second operator and by the last one, which adds it."""
    side = run(network(), float_input())
    assert len(cut(side.recording, range(2)).outputs) == 2
    assert len(cut(side.recording, range(5)).outputs) == 1


def test_constants_that_were_computed_come_along() -> None:
    """float16 weights behind DEQUANTIZE: a convolution alone has them as float32, with it as in the file."""
    graph = to_float16(network())
    recording = run(graph, float_input()).recording
    number = next(o.index for o in graph.main.operators if o.name == "DEPTHWISE_CONV_2D")
    alone = cut(recording, range(number, number + 1)).graph.main
    assert alone.tensors[alone.operators[0].inputs[1]].type is TensorType.FLOAT32
    assert alone.tensors[alone.operators[0].inputs[1]].is_constant
    whole = cut(recording, range(number + 1)).graph.main
    assert [o.name for o in whole.operators].count("DEQUANTIZE") > 1
    assert TensorType.FLOAT16 in {t.type for t in whole.tensors if t.is_constant}


def test_the_values_of_another_model_of_the_same_structure() -> None:
    """A wrong weight: its operator, on what the right model fed it, and what that made of it."""
    right = run(int8_network(), int8_input()).recording
    piece = cut(onto(right, flipped(int8_network(), LAST)), range(LAST, LAST + 1))
    made = load(write_graph(piece.graph), backend="numpy")(*piece.inputs)[0]
    assert np.count_nonzero(made != piece.outputs[0]) > 0
    assert piece.allowed == (0,)
    with pytest.raises(SliceError, match="another model"):
        onto(right, network())


def test_replay(tmp_path: Path) -> None:
    side = run(int8_network(), int8_input())
    sliced(side, 0, 1, tmp_path / "bug")
    code, rows = replay(tmp_path / "bug", MINILITE_TFLITE_RUNTIME_PYTHON=sys.executable)
    assert rows["minilite"]["status"] == rows["minilite-numpy"]["status"] == "agrees"
    assert rows["litert-ref"]["status"] in ("agrees", "missing")
    assert rows["tflite-runtime"]["status"] in ("agrees", "missing")
    # LiteRT's default kernels may round int8 in another way: then the script says so.
    differ = [row for row in rows.values() if row["status"] == "differs"]
    assert code == (1 if differ else 0)
    assert all(row["outputs"][0]["largest"] == "1.0" for row in differ)


def test_replay_shows_what_differs(tmp_path: Path) -> None:
    side = run(int8_network(), int8_input())
    wrong = replace(side, recording=onto(side.recording, flipped(int8_network(), LAST)))
    sliced(wrong, LAST, LAST + 1, tmp_path / "bug")
    code, rows = replay(tmp_path / "bug", MINILITE_TFLITE_RUNTIME_PYTHON="no-such-python")
    assert code == 1
    assert rows["minilite"]["status"] == rows["minilite-numpy"]["status"] == "differs"
    assert rows["tflite-runtime"]["status"] == "missing"
    assert rows["minilite"]["outputs"][0]["unequal"] > 0


def test_ranges_that_are_none() -> None:
    recording = run(network(), float_input()).recording
    for wrong in (range(3, 3), range(4, 9), range(-1, 2)):
        with pytest.raises(SliceError, match="operators 0 to 4"):
            cut(recording, wrong)


def test_handles_cannot_be_given() -> None:
    net = Network()
    handle = net.add("VAR_HANDLE", type=TensorType.RESOURCE)
    x = net.input(2)
    net.do("ASSIGN_VARIABLE", handle, x)
    graph = Graph((net.subgraph(net.add("READ_VARIABLE", handle, shape=(2,))),))
    recording = record(graph, [np.ones(2, np.float32)], backend="numpy")
    with pytest.raises(SliceError, match="op 0 VAR_HANDLE"):
        cut(recording, range(1, 2))
    assert len(cut(recording, range(3)).outputs) == 1
