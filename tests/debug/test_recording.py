"""What a run left, in memory and in a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import MiniliteError, RecordingError
from minilite.debug import Recording, record
from minilite.graph import Graph, TensorType
from minilite.testing.models import one_op, tensor
from tests.small_models import chain_graph, chain_result, quantized_graph, sum_graph

X = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    record(chain_graph(), X, backend="numpy").save(tmp_path / "run.npz")
    return tmp_path / "run.npz"


def test_values_by_number() -> None:
    run = record(chain_graph(), X, backend="numpy")
    assert list(run.tensors) == [0, 2, 4]
    np.testing.assert_array_equal(run.inputs[0], X)
    np.testing.assert_array_equal(run.tensors[2], X + np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(run.outputs[0], chain_result(X))
    np.testing.assert_array_equal(run.value(1), [1, 2, 3])
    assert sorted(run.seconds) == [0, 1]
    first, second = run
    assert (first.index, first.name, second.inputs[0] is run.tensors[2]) == (0, "ADD", True)
    with pytest.raises(ValueError, match="read-only"):
        run.tensors[2][...] = 0


@pytest.mark.parametrize(
    ("graph", "inputs"),
    [
        (chain_graph(), [X]),
        (quantized_graph(), [np.zeros((1, 2), np.uint8)]),
        (sum_graph(), [np.ones((5, 2), np.float32), np.ones((5, 2), np.float32)]),
        (
            one_op("EQUAL", [tensor((2,), TensorType.STRING)] * 2, [tensor((2,), TensorType.BOOL)]),
            [[b"a\0", b"caf\xc3\xa9"], [b"a", b"caf\xc3\xa9"]],
        ),
        (one_op("NEG", [tensor((), TensorType.INT64)], [tensor((), TensorType.INT64)]), [7]),
    ],
    ids=["chain", "quantized", "resized", "strings", "scalar"],
)
def test_a_file_gives_back_what_was_saved(graph: Graph, inputs: list[Any], tmp_path: Path) -> None:
    run = record(graph, inputs, backend="numpy")
    run.save(tmp_path / "run.npz")
    again = Recording.load(tmp_path / "run.npz")
    assert (again.digest, again.backend, again.threads) == (run.digest, "numpy", run.threads)
    assert (again.seconds, again.operators) == (run.seconds, run.operators)
    assert [t.shape for t in again.graph.main.tensors] == [t.shape for t in run.graph.main.tensors]
    assert list(again.tensors) == list(run.tensors)
    for number, value in run.tensors.items():
        assert again.tensors[number].dtype == value.dtype
        assert again.tensors[number].tolist() == value.tolist()


def test_numpy_reads_the_file(saved: Path) -> None:
    file = np.load(saved)
    np.testing.assert_array_equal(file["4"], chain_result(X))
    header = json.loads(file["recording.json"])
    assert (header["format"], header["version"]) == ("minilite-recording", 1)
    assert header["tensors"]["2"] == {
        "name": "hidden",
        "type": "FLOAT32",
        "shape": [1, 2, 2, 3],
        "dtype": "float32",
    }


def test_float64(tmp_path: Path) -> None:
    run = record(chain_graph(), X, backend="float64")
    assert run.outputs[0].dtype == np.float64
    run.save(tmp_path / "run.npz")
    assert Recording.load(tmp_path / "run.npz").outputs[0].dtype == np.float64


def test_damaged_files_are_refused(saved: Path, tmp_path: Path) -> None:
    """Every byte in turn set to another one, and the file cut at every length: never another exception."""
    content = saved.read_bytes()
    expected = {n: v.tobytes() for n, v in Recording.load(saved).tensors.items()}
    path = tmp_path / "damaged.npz"
    random = np.random.default_rng(0)
    refused = 0
    for place in random.choice(len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        for candidate in (bytes(damaged), content[:place]):
            path.write_bytes(candidate)
            try:
                found = {n: v.tobytes() for n, v in Recording.load(path).tensors.items()}
            except MiniliteError:
                refused += 1
            else:
                assert {n: found[n] for n in expected} == expected
    assert refused > 300


def rewritten(saved: Path, **changes: Any) -> Path:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["recording.json"])
    members["recording.json"] = json.dumps({**header, **changes}).encode()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return saved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "does not say that it is"),
        ({"version": 2}, "version 2 of the format"),
        ({"digest": "0"}, "not the one that ran"),
        ({"tensors": {"0": {"dtype": "float32", "shape": [-1]}}}, "no size"),
        ({"tensors": {"0": {"dtype": "float32", "shape": [1, 2, 2, 3]}, "99": {}}}, "cannot be read"),
        ({"tensors": {"0": {"dtype": "int32", "shape": [1, 2, 2, 3]}}}, "damaged"),
        ({"recorded": [0]}, "damaged"),
        ({"operators": [3]}, "damaged"),
    ],
)
def test_a_header_that_lies(saved: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        Recording.load(rewritten(saved, **changes))


def test_no_pickle_is_loaded(saved: Path) -> None:
    with (
        zipfile.ZipFile(saved, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
        archive.open("2.npy", "w") as member,
    ):
        np.lib.format.write_array(member, np.array([print], object), allow_pickle=True)
    with pytest.raises(RecordingError, match="tensor 2 cannot be read"):
        _ = Recording.load(saved).tensors[2]


def test_what_is_no_recording(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=X)
    with pytest.raises(RecordingError, match=r"no recording: it has no recording\.json"):
        Recording.load(tmp_path / "x.npz")
    with pytest.raises(RecordingError, match="is missing"):
        Recording.load(tmp_path / "none.npz")
    with pytest.raises(RecordingError, match="cannot be written"):
        record(chain_graph(), X, backend="numpy").save(tmp_path / "none" / "x.npz")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.npz"]
