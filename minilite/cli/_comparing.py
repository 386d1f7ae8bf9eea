"""What the commands that compare runs share: who is compared, and how figures are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from minilite.cli._console import progress_bar

if TYPE_CHECKING:
    from minilite.debug.sides import Side
    from minilite.graph import Array, Graph

INPUT_HELP = "random:SEED, zeros, a picture, x.npy, or x.npz by name or position."
AGAINST_HELP = (
    "litert, litert-ref, litert-builtin, tflite-runtime (its reference kernels), tflite-runtime-default, "
    "numpy, numba, float64, package.module.Class, or a run.npz that `minilite trace --output` wrote."
)
DIFFERS = 1


@dataclass(frozen=True)
class Choice:
    """What a command line asks to be compared."""

    model: str
    other: str | None
    source: str | None
    against: str | None
    backend: str
    threads: int | None
    python: str | None
    timeout: float


def both_sides(choice: Choice) -> tuple[Side, Side]:
    """The run that is judged and the one that is right."""
    from dataclasses import replace

    from minilite.debug.sides import check_side, own_side, record_side, saved_side
    from minilite.errors import MiniliteError, TensorValueError
    from minilite.executor import processors
    from minilite.loader import load_graph

    if choice.other is not None and choice.against is not None:
        raise typer.BadParameter("give OTHER or --against, not both")
    other, against = choice.other, choice.against or "numpy"
    check_side(against)
    recorded = other or choice.against or ""
    right = saved_side(recorded) if recorded.endswith(".npz") else None
    if choice.source is not None and (right is not None or choice.model.endswith(".npz")):
        raise TensorValueError(
            f"--input {choice.source}: a saved run was recorded on values of its own, which are used",
            rule="input",
        )
    threads = choice.threads or processors()
    with progress_bar() as show:
        if choice.model.endswith(".npz"):
            given = saved_side(choice.model)
            content: Path | bytes = given.recording.content
            inputs: Sequence[Array] = given.recording.inputs
        else:
            content = _file(choice.model)
            graph = load_graph(content)
            inputs = right.recording.inputs if right is not None else _read(choice.source, graph)
            given = own_side(choice.backend, graph, inputs, threads=threads, progress=show)
        if right is not None:
            return given, right
        if other is None:
            single = 1 if against != "numba" else threads
            return given, record_side(
                against,
                content,
                inputs,
                threads=choice.threads or single,
                python=choice.python,
                timeout=choice.timeout,
                progress=show,
            )
        twin = load_graph(_file(other))
        try:
            translated = _translated(given, twin, inputs)
        except (MiniliteError, ValueError) as error:
            raise TensorValueError(
                f"{other} does not take what {choice.model} takes: {error}", rule="input"
            ) from error
        side = own_side(choice.backend, twin, translated, threads=threads, progress=show)
        return replace(given, name=choice.model), replace(side, name=other)


def one_side(
    model: str,
    source: str | None,
    against: str | None,
    threads: int | None,
    python: str | None,
    timeout: float,
) -> Side:
    """The run of MODEL on one side; of a run of another model, its values beside MODEL's constants."""
    from dataclasses import replace

    from minilite.debug.sides import own_side, record_side, saved_side
    from minilite.debug.slicing import onto
    from minilite.errors import TensorValueError
    from minilite.loader import load_graph

    saved = next((name for name in (against, model) if name is not None and name.endswith(".npz")), None)
    if saved is not None and source is not None:
        raise TensorValueError(
            f"--input {source}: {saved} was recorded on values of its own, which are used", rule="input"
        )
    run = saved_side(model) if model.endswith(".npz") else None
    if run is not None and against is None:
        return run
    content: Path | bytes = run.recording.content if run is not None else _file(model)
    graph = load_graph(content)
    against = against or "numpy"
    with progress_bar() as show:
        if against.endswith(".npz"):
            side = saved_side(against)
        elif against.endswith(".tflite"):
            other = load_graph(_file(against))
            side = own_side("numpy", other, _read(source, other), progress=show)
        else:
            inputs = run.recording.inputs if run is not None else _read(source, graph)
            return record_side(
                against, content, inputs, threads=threads or 1, python=python, timeout=timeout, progress=show
            )
    return replace(side, recording=onto(side.recording, graph))


def thread_counts(text: str | None) -> list[int]:
    """The numbers in a text like ``1,2``; 1 and all processors if there is none."""
    from minilite.executor import processors

    if text is None:
        return sorted({1, processors()})
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"--threads {text}: give numbers from 1 on, as in --threads 1,2")
    return counts


def _read(source: str | None, graph: Graph) -> Sequence[Array]:
    from minilite.inputs import read_inputs

    return read_inputs(source or "random:0", graph)


def _file(model: str) -> Path:
    from minilite.cli._loading import locate

    return locate(model).path


def _translated(given: Side, twin: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The same input for another model: quantized or dequantized, where it has another type."""
    from minilite.debug.difference import real
    from minilite.debug.pairing import alike, held

    main = given.recording.graph.main
    ours = [main.tensors[number] for number in main.inputs]
    theirs = [twin.main.tensors[number] for number in twin.main.inputs]
    return [
        value if alike(a, b) else held(real(value, a), b)
        for a, b, value in zip(ours, theirs, inputs, strict=True)
    ]


def plain(data: Any) -> Any:
    """Data for JSON: numbers that it does not have become texts (``"inf"``, ``"nan"``)."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, complex):
        return str(data)
    return data


def figure(value: float | None) -> str:
    """A number in a table."""
    return "-" if value is None else f"{value:.4g}"


def place(index: Sequence[int]) -> str:
    """An element's index in a table."""
    return ",".join(map(str, index)) or "-"


def share(part: int, whole: int) -> str:
    """A count and its share."""
    return f"{part} ({part / whole:.2%})" if whole else str(part)
