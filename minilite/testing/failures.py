"""Failures on disk: the model, its inputs, everyone's outputs, and the line that runs them again."""

from __future__ import annotations

import json
import shlex
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minilite.errors import ModelNotFoundError
from minilite.graph import Array
from minilite.loader import load_graph
from minilite.testing.cases import Case
from minilite.testing.judge import Outcome

MODEL, INPUTS, REPORT = "model.tflite", "inputs.npz", "report.json"


@dataclass(frozen=True)
class Target:
    """What is fuzzed: an operator in one variant."""

    operator: str
    variant: str

    def __str__(self) -> str:
        return f"{self.operator} {self.variant}"


@dataclass(frozen=True)
class Failure:
    """What the report of a saved failure says.

    Attributes
    ----------
    kind:
        See ``judge.Outcome``.
    case:
        The operator's options and tensors, in words.
    folder:
        Where it is saved.
    """

    operator: str
    variant: str
    kind: str
    message: str
    against: str
    candidate: str | None
    case: str
    folder: str
    seed: int | None = None

    @property
    def replay(self) -> str:
        """The line that runs it again."""
        return shlex.join(["minilite", "fuzz", "--replay", self.folder])


@dataclass(frozen=True, eq=False)
class SavedCase:
    """A case as it goes to disk or to another process: nothing in it needs minilite."""

    target: Target
    model: bytes
    inputs: tuple[Array, ...]
    words: str


def saved_case(target: Target, case: Case) -> SavedCase:
    """A case as it goes to disk."""
    return SavedCase(target, case.model, case.inputs, repr(case))


def save(
    folder: Path,
    saved: SavedCase,
    outcome: Outcome,
    *,
    against: str,
    candidate: str | None = None,
    seed: int | None = None,
) -> Failure:
    """Write a failure into a folder of its own below ``folder``, named after its content."""
    digest = zlib.crc32(saved.model + b"".join(_raw(value) for value in saved.inputs))
    place = folder / f"{saved.target.operator}-{saved.target.variant}-{outcome.kind}-{digest:08x}"
    place.mkdir(parents=True, exist_ok=True)
    (place / MODEL).write_bytes(saved.model)
    _write_arrays(place / INPUTS, saved.inputs)
    for who, outputs in outcome.results.items():
        _write_arrays(place / f"outputs-{who}.npz", outputs)
    failure = Failure(
        operator=saved.target.operator,
        variant=saved.target.variant,
        kind=outcome.kind,
        message=outcome.message,
        against=against,
        candidate=candidate,
        case=saved.words,
        folder=str(place),
        seed=seed,
    )
    report = {**asdict(failure), "replay": failure.replay}
    (place / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return failure


def load(folder: Path) -> tuple[Failure, Case]:
    """A saved failure and its case.

    Raises
    ------
    ModelNotFoundError
        The folder does not hold one.
    """
    missing = [name for name in (MODEL, INPUTS, REPORT) if not (folder / name).is_file()]
    if missing:
        raise ModelNotFoundError(
            f"{folder} holds no saved failure: {', '.join(missing)} not found", rule="replay"
        )
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    report.pop("replay", None)
    failure = Failure(**{**report, "folder": str(folder)})
    graph = load_graph((folder / MODEL).read_bytes())
    return failure, Case(graph, read_arrays(folder / INPUTS))


def read_arrays(path: Path) -> tuple[Array, ...]:
    """The arrays of a file that ``save`` wrote."""
    with np.load(path) as stored:
        return tuple(_unpacked(stored, number) for number in range(int(stored["count"])))


def _write_arrays(path: Path, arrays: Sequence[Array]) -> None:
    stored: dict[str, Any] = {"count": np.array(len(arrays))}
    for number, array in enumerate(arrays):
        stored.update(_packed(number, array))
    np.savez(path, **stored)


def _packed(number: int, array: Array) -> Iterable[tuple[str, Array]]:
    """An array under the key of its number; strings, which NumPy would pickle, as bytes and lengths."""
    if array.dtype.kind != "O":
        return [(str(number), array)]
    texts = [bytes(text) for text in array.ravel().tolist()]
    return [
        (f"{number}.bytes", np.frombuffer(b"".join(texts), np.uint8)),
        (f"{number}.lengths", np.array([len(text) for text in texts], np.int64).reshape(array.shape)),
    ]


def _unpacked(stored: Mapping[str, Array], number: int) -> Array:
    if str(number) in stored:
        return stored[str(number)]
    data, lengths = stored[f"{number}.bytes"].tobytes(), stored[f"{number}.lengths"]
    ends = np.cumsum(lengths.ravel(), dtype=np.int64).tolist()
    texts = np.empty(lengths.size, object)
    for i, end in enumerate(ends):
        texts[i] = data[end - int(lengths.flat[i]) : end]
    return texts.reshape(lengths.shape)


def _raw(value: Array) -> bytes:
    return repr(value.tolist()).encode() if value.dtype.kind == "O" else value.tobytes()
