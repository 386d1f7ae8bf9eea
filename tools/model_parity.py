"""How near minilite is to LiteRT on whole models, and how fast: a table of every model in a folder.

Each model runs on seeded inputs on both of minilite's backends and, in processes of their own, on
LiteRT's reference kernels and its default ones. Outputs have to be equal to the reference kernels'
where they are integers, and within 1e-4 of the output's magnitude where they are floats; models with state
are run several times in a row. Then every operator runs alone, on what the reference kernels fed it,
and is held to its own tolerance; and whole runs are timed in turns with LiteRT's default path.

Where floats are quantized on the way (dynamic range), the last bit of one may cross a quantization step,
which later operators enlarge: LiteRT's own two paths lie percents apart. Float outputs of such models
are shown, and the operators alone are judged.

    python tools/model_parity.py [MODEL ...] [--seed S] [--runs N] [--threads N] [--json]

Models are files, or names of files in ``MINILITE_MODELS``; without any, all in that folder. Exit code 1
if a model differs, 2 if something is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from minilite import ops
from minilite.benchmark import random_inputs
from minilite.errors import MiniliteError
from minilite.executor import Executor, create_executor, numba_is_available
from minilite.graph import ABSENT, Array, Graph, Shape
from minilite.loader import load_graph, unsupported
from minilite.prepare import prepare
from minilite.testing.oracle import Answer, Oracle
from minilite.testing.parity import (
    compare,
    compare_operators,
    magnitude,
    near,
    rounds_floats,
    stands_alone,
)

INVOKES = 3
"""Of a model with state."""

SIZES: dict[str, dict[int, Shape]] = {
    "oww_melspectrogram": {0: (1, 17280)},
}
"""Shapes of inputs, by position, for models whose file says 1 where it means any number."""


@dataclass(frozen=True)
class OutputParity:
    """One output of one run, beside LiteRT's reference kernels'."""

    backend: str
    output: str
    invoke: int
    error: float
    allowed: float
    equal: float
    fault: str | None


@dataclass
class ModelParity:
    """What came of a model.

    Attributes
    ----------
    status:
        ``"agrees"``, ``"differs"``, or why it was not compared: ``"missing"`` operators, ``"refused"`` by
        minilite, or ``"no oracle"``: the reference kernels do not run it.
    operators, within:
        How many ran alone, and how many of them were within their tolerance.
    worst:
        The operator that used most of its tolerance.
    default:
        What LiteRT runs by default: ``"litert"``, or ``"litert-builtin"`` where that refuses the model.
    ratio:
        minilite's time over its: the median over pairs of runs.
    default_error:
        The largest difference to it, as a part of the output's magnitude.
    rounds_floats:
        Whether floats are quantized on the way.
    litert_error:
        The largest difference between LiteRT's two paths, as a part of the output's magnitude.
    """

    model: str
    status: str = "agrees"
    message: str = ""
    outputs: list[OutputParity] = field(default_factory=list)
    operators: int = 0
    within: int = 0
    worst: str = ""
    faults: list[str] = field(default_factory=list)
    default: str = ""
    milliseconds: float | None = None
    litert_milliseconds: float | None = None
    ratio: float | None = None
    default_error: float | None = None
    rounds_floats: bool = False
    litert_error: float | None = None

    def judge(self) -> None:
        """Set the status from what was compared."""
        judged = [row for row in self.outputs if not (self.rounds_floats and row.allowed)]
        found = [row.fault for row in judged if row.fault] + self.faults
        if found:
            self.status, self.message = "differs", found[0]


@dataclass(frozen=True)
class Settings:
    """How models are compared and measured."""

    seed: int = 0
    runs: int = 20
    threads: int = 1
    operators: bool = True


def model_parity(path: Path, settings: Settings) -> ModelParity:
    """Compare one model."""
    row = ModelParity(path.stem)
    try:
        graph = load_graph(path)
        if missing := unsupported(graph):
            row.status, row.message = "missing", ", ".join(missing)
            return row
        inputs_by_position = SIZES.get(path.stem, {})
        shapes = {graph.main.inputs[i]: shape for i, shape in inputs_by_position.items()}
        prepared = prepare(graph, shapes)
    except MiniliteError as error:
        row.status, row.message = "refused", str(error)
        return row
    tensors = prepared.main.tensors
    feeds = [
        list(random_inputs((tensors[i] for i in prepared.main.inputs), settings.seed + n).values())
        for n in range(INVOKES if has_state(graph) else 1)
    ]
    resize = [(i, list(shape)) for i, shape in inputs_by_position.items()]
    row.rounds_floats = any(map(rounds_floats, prepared.main.nodes()))
    with Oracle("litert-ref", timeout=600) as reference:
        loaded = reference.load(path, keep_all=True, resize=resize)
        right = _compare_with_reference(row, prepared, feeds, reference, loaded, settings)
    # The default path refuses some models, which then run without delegates.
    for runtime in ("litert", "litert-builtin"):
        with Oracle(runtime, timeout=600) as default:
            if default.load(path, threads=settings.threads, resize=resize).status == "ran":
                row.default = runtime
                _compare_with_default(row, prepared, feeds, default, right, settings)
                break
    row.judge()
    return row


def survived(path: Path, settings: Settings) -> ModelParity:
    """The same, whatever goes wrong: one model leaves the others their place in the table."""
    try:
        return model_parity(path, settings)
    except Exception as error:
        return ModelParity(path.stem, "differs", f"{type(error).__name__}: {error}")


def has_state(graph: Graph) -> bool:
    """Whether a run may depend on the runs before it."""
    every = [node for subgraph in graph.subgraphs for node in subgraph.nodes()]
    found = (ops.find(node.operator.name) for node in every)
    variables = any(tensor.is_variable for subgraph in graph.subgraphs for tensor in subgraph.tensors)
    return variables or any(op is not None and not op.pure for op in found)


def _compare_with_reference(
    row: ModelParity,
    prepared: Graph,
    feeds: Sequence[Sequence[Array]],
    reference: Oracle,
    loaded: Answer,
    settings: Settings,
) -> list[tuple[Array, ...]]:
    """Fill the row, and give the reference kernels' outputs of each run."""
    right: list[tuple[Array, ...]] = []
    backends = ["numpy", *(["numba"] if numba_is_available() else [])]
    executors = {backend: create_executor(prepared, backend=backend) for backend in backends}
    try:
        for number, feed in enumerate(feeds):
            answer = reference.invoke(feed) if loaded.status == "ran" else loaded
            if answer.status != "ran":
                row.status, row.message = "no oracle", answer.message
                return right
            right.append(answer.outputs)
            for backend, executor in executors.items():
                given = run(executor, feed)
                row.outputs += _output_rows(prepared, backend, number, given, answer.outputs)
    except MiniliteError as error:
        row.faults.append(str(error))
        return right
    finally:
        for executor in executors.values():
            executor.close()
    if settings.operators:
        _compare_operators(row, prepared, reference)
    return right


def run(executor: Executor, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of one run."""
    for index, value in zip(executor.subgraph.inputs, inputs, strict=True):
        executor.view(index)[...] = value
    executor.run()
    return [executor.view(index).copy() for index in executor.subgraph.outputs]


def _output_rows(
    graph: Graph, backend: str, invoke: int, given: Sequence[Array], expected: Sequence[Array]
) -> Iterator[OutputParity]:
    names = [graph.main.tensors[index].name for index in graph.main.outputs]
    for name, ours, theirs in zip(names, given, expected, strict=True):
        allowed = near(theirs)
        found = compare(ours, theirs, allowed)
        equal = float(np.mean(ours == theirs)) if ours.shape == theirs.shape and ours.size else 1.0
        fault = None if found.fault is None else f"{backend}, run {invoke}, {name}: {found.fault}"
        yield OutputParity(backend, name, invoke, found.error, allowed, equal, fault)


def largest_part(given: Sequence[Array], expected: Sequence[Array]) -> float:
    """The largest difference of any output, as a part of its magnitude."""
    errors = (
        compare(a, b, np.inf).error / max(magnitude(b), 1e-30)
        for a, b in zip(given, expected, strict=True)
        if a.shape == b.shape
    )
    return max(errors, default=0.0)


def _compare_operators(row: ModelParity, prepared: Graph, reference: Oracle) -> None:
    """Each operator alone, compiled where it can be, on the inputs of the last run."""
    alone = [node.operator for node in prepared.main.nodes() if stands_alone(node)]
    numbers = sorted({n for op in alone for n in (*op.inputs, *op.outputs) if n != ABSENT})
    answers = {n: reference.read([n]) for n in numbers}
    values = {n: answer.outputs[0] for n, answer in answers.items() if answer.status == "ran"}
    most = -1.0
    executor = create_executor(prepared, keep_all=True)
    try:
        for found in compare_operators(prepared, values.__getitem__, executor):
            row.operators += 1
            row.within += found.comparison.agrees
            used = found.comparison.error / found.comparison.bound if found.comparison.bound else 0.0
            if not found.comparison.agrees:
                row.faults.append(f"{found.node.operator}, {found.tensor}: {found.comparison.fault}")
            if used > most:
                most, row.worst = used, f"{found.node.operator} {used:.2f}"
    finally:
        executor.close()


def _compare_with_default(
    row: ModelParity,
    prepared: Graph,
    feeds: Sequence[Sequence[Array]],
    default: Oracle,
    right: Sequence[Sequence[Array]],
    settings: Settings,
) -> None:
    try:
        executor = create_executor(prepared, threads=settings.threads)
    except MiniliteError as error:
        row.faults.append(str(error))
        return
    try:
        for number, feed in enumerate(feeds):
            given, answer = run(executor, feed), default.invoke(feed)
            if answer.status != "ran":
                row.message = row.message or f"default: {answer.message}"
                return
            if row.status == "no oracle":
                row.outputs += _output_rows(prepared, "default", number, given, answer.outputs)
            row.default_error = max(row.default_error or 0.0, largest_part(given, answer.outputs))
            if right:
                spread = largest_part(answer.outputs, right[number])
                row.litert_error = max(row.litert_error or 0.0, spread)
        if settings.runs:
            _measure(row, executor.run, default, settings.runs)
    except MiniliteError as error:
        row.faults.append(str(error))
    finally:
        executor.close()


def _measure(row: ModelParity, run_once: Callable[[], None], default: Oracle, runs: int) -> None:
    ours, theirs = [], []
    begin = perf_counter()
    for number in range(runs + 2):
        start = perf_counter()
        run_once()
        elapsed = (perf_counter() - start) * 1e3
        (other,) = default.request({"runs": 1, "read": []}, []).milliseconds
        if number >= 2:
            ours.append(elapsed)
            theirs.append(other)
        if perf_counter() - begin > 10 and number >= 4:
            break
    row.milliseconds, row.litert_milliseconds = float(np.median(ours)), float(np.median(theirs))
    row.ratio = float(np.median(np.divide(ours, theirs)))


def report(rows: Sequence[ModelParity], console: Console) -> None:
    """A table for people, and what is wrong below it."""
    table = Table("model", "status", "outputs equal", "error / allowed", "operators", "worst", "ms", "ratio")
    for row in rows:
        integer = [o.equal for o in row.outputs]
        worst = max((o.error / o.allowed for o in row.outputs if o.allowed), default=None)
        table.add_row(
            row.model,
            row.status,
            f"{min(integer):.2%}" if integer else "-",
            "-" if worst is None else f"{worst:.3g}",
            f"{row.within} of {row.operators}" if row.operators else "-",
            row.worst or "-",
            "-" if row.milliseconds is None else f"{row.milliseconds:.3g}",
            "-" if row.ratio is None else f"{row.ratio:.2f}",
        )
    console.print(table)
    for row in rows:
        if row.message:
            console.print(f"{row.model}: {row.message}", markup=False)


def find_models(names: Sequence[str]) -> list[Path]:
    """The files of these names, or all of ``MINILITE_MODELS``."""
    folder = Path(os.environ.get("MINILITE_MODELS", "."))
    if not names:
        return sorted(folder.glob("*.tflite"))
    found = [Path(n) if Path(n).is_file() else folder / f"{n.removesuffix('.tflite')}.tflite" for n in names]
    missing = [str(path) for path in found if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"no such model: {', '.join(missing)}; MINILITE_MODELS names their folder")
    return found


def main() -> int:
    """Print the table; 1 if a model differs, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=20, help="pairs of timed runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    settings = Settings(arguments.seed, arguments.runs, arguments.threads)
    try:
        paths = find_models(arguments.models)
        if not paths:
            raise FileNotFoundError("no models: MINILITE_MODELS names their folder")
        Oracle("litert-ref").start()
        with Progress(console=Console(stderr=True), transient=True) as progress:
            rows = [survived(path, settings) for path in progress.track(paths)]
    except (MiniliteError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        report(rows, Console(width=None if sys.stdout.isatty() else 160))
    return 1 if any(row.status in ("differs", "refused") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
