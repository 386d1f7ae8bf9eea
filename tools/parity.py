"""How near minilite is to LiteRT on the DeepLab models: the figures of the README, measured again.

Masks and scores of the demo photos against LiteRT's default path and its reference kernels, all
three against minilite's own float64 run; and every operator of both models, fed with what LiteRT's
reference kernels fed it, within the operator's tolerance (float) or equal (uint8).

    python tools/parity.py [--threads N] [--json]

Needs LiteRT, the demo photos and the models in ``MINILITE_MODELS`` or the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from demo import photos
from rich.console import Console
from rich.table import Table

from minilite.catalogue import find_model
from minilite.debug import compare, record_side
from minilite.errors import MiniliteError, RuntimeFailedError
from minilite.executor import create_executor
from minilite.graph import Array, Graph
from minilite.images import load_image
from minilite.loader import load_graph
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.segmentation import model_input
from minilite.testing.oracle import Oracle


@dataclass(frozen=True)
class PhotoParity:
    """One photo through one model, against one of LiteRT's runtimes."""

    model: str
    photo: str
    runtime: str
    equal_labels: float
    largest_difference: float
    ours_to_float64: float | None
    theirs_to_float64: float | None


@dataclass(frozen=True)
class OperatorParity:
    """One operator on the inputs that LiteRT's reference kernels gave it."""

    model: str
    operator: str
    kind: str
    local_error: float
    bound: float
    inherited_error: float

    @property
    def passed(self) -> bool:
        """Whether the local error is within the operator's own tolerance."""
        return self.local_error <= self.bound


def litert_output(path: Path, runtime: str, feed: Array, threads: int) -> Array:
    """What LiteRT makes of a picture, in a process of its own."""
    with Oracle(runtime) as oracle:
        answer = oracle.load(path, threads=threads)
        if answer.status == "ran":
            answer = oracle.invoke([feed])
    if answer.status != "ran":
        raise RuntimeFailedError(f"{runtime}: {answer.message}", rule=answer.status)
    return answer.outputs[0]


def photo_parity(
    name: str, graph: Graph, path: Path, normalisation: Any, threads: int
) -> Iterator[PhotoParity]:
    """Each demo photo against both runtimes (the default one refuses the uint8 model: left out there)."""
    executor = create_executor(graph, threads=threads)
    (source,), (output,) = graph.main.inputs, graph.main.outputs
    tensor = graph.main.tensors[source]
    real = graph.main.tensors[output].dtype == np.float32
    for photo, file in photos().items():
        feed = model_input(load_image(file), tensor, normalisation)
        executor.view(source)[...] = feed
        executor.run()
        ours = executor.view(output)
        truth = None
        if real:
            exact = ReferenceExecutor(graph, float_type=np.float64)
            exact.view(source)[...] = feed
            exact.run()
            truth = exact.view(output)
        for runtime in ("litert", "litert-ref") if real else ("litert-ref",):
            theirs = litert_output(path, runtime, feed, threads)
            labels = [np.argmax(x, -1) if real else x for x in (ours, theirs)]
            yield PhotoParity(
                name,
                photo,
                runtime,
                float(np.mean(labels[0] == labels[1])),
                largest(ours, theirs),
                None if truth is None else largest(ours, truth),
                None if truth is None else largest(theirs, truth),
            )


def operator_parity(name: str, graph: Graph, path: Path, normalisation: Any) -> Iterator[OperatorParity]:
    """Every operator alone, and what is left of the errors of all before it."""
    (source,) = graph.main.inputs
    feed = model_input(load_image(next(iter(photos().values()))), graph.main.tensors[source], normalisation)
    ours, theirs = (record_side(side, path, [feed]) for side in ("numba", "litert-ref"))
    for row in compare(ours, theirs).rows:
        assert row.local is not None, "every operator of DeepLab can be run alone"
        yield OperatorParity(
            name,
            f"op {row.operator} {row.name}",
            row.local.tolerance,
            row.local.error,
            row.local.allowed,
            row.total.absolute.max,
        )


def largest(a: Array, b: Array) -> float:
    """The largest absolute difference."""
    return float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0))


def report(photos_: list[PhotoParity], operators: list[OperatorParity], console: Console) -> None:
    """Two tables for people."""
    table = Table(
        "model", "photo", "runtime", "equal labels", "max difference", "ours to f64", "theirs to f64"
    )
    for row in photos_:
        errors = ["-" if e is None else f"{e:.3g}" for e in (row.ours_to_float64, row.theirs_to_float64)]
        table.add_row(
            row.model,
            row.photo,
            row.runtime,
            f"{row.equal_labels:.4%}",
            f"{row.largest_difference:.3g}",
            *errors,
        )
    console.print(table)
    table = Table(
        "model", "operators", "within tolerance", "worst local error / bound", "worst inherited error"
    )
    for model in dict.fromkeys(row.model for row in operators):
        rows = [row for row in operators if row.model == model]
        worst = max(rows, key=lambda r: r.local_error / r.bound if r.bound else r.local_error)
        table.add_row(
            model,
            str(len(rows)),
            str(sum(row.passed for row in rows)),
            f"{worst.local_error:.3g} / {worst.bound:.3g} ({worst.operator})",
            f"{max(row.inherited_error for row in rows):.3g}",
        )
    console.print(table)


def main() -> int:
    """Print the tables; 1 if an operator breaks its tolerance, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    by_photo: list[PhotoParity] = []
    by_operator: list[OperatorParity] = []
    try:
        for name in ("deeplabv3", "deeplabv3_uint8"):
            found = find_model(name)
            assert found.known is not None
            graph = prepare(load_graph(found.path))
            normalisation = found.known.normalisation
            by_photo += photo_parity(name, graph, found.path, normalisation, arguments.threads)
            by_operator += operator_parity(name, graph, found.path, normalisation)
    except MiniliteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"photos": [*map(asdict, by_photo)], "operators": [*map(asdict, by_operator)]}))
    else:
        report(by_photo, by_operator, Console(width=None if sys.stdout.isatty() else 160))
    return 0 if all(row.passed for row in by_operator) else 1


if __name__ == "__main__":
    sys.exit(main())
