"""How well the packaged models segment scenes they have not seen, on minilite and on LiteRT.

    python tools/evaluate_shapes.py [--scenes N] [--json]

Intersection over union of each class over all pixels of the scenes with the seeds 0, 1, 2, ...; where LiteRT
is installed, its default path and its reference kernels stand beside minilite.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
from minilite_models import scenes
from rich.console import Console
from rich.progress import track
from rich.table import Table

from minilite.catalogue import FoundModel, find_model
from minilite.errors import BackendError
from minilite.graph import Array
from minilite.model import Model, load
from minilite.segmentation import Segmenter, labels_from_scores, model_input, segmenter_for
from minilite.testing.oracle import Answer, Oracle

MODELS = ("shapes", "shapes-int8")
ORACLES = {"LiteRT": "litert", "LiteRT, reference kernels": "litert-ref"}


@dataclass(frozen=True)
class Evaluation:
    """A model in a runtime.

    Attributes
    ----------
    mean_iou:
        Over all classes, the background among them.
    equal_labels:
        Share of the pixels that have the label that minilite gives them.
    milliseconds:
        Median time of a run.
    """

    model: str
    runtime: str
    mean_iou: float
    iou: dict[str, float]
    pixel_accuracy: float
    equal_labels: float
    milliseconds: float


Runtime = Callable[[Array], tuple[Array, float]]
"""The model's input to its scores, and how long that took in milliseconds."""


class Confusion:
    """Pixels by what is true and what was found."""

    def __init__(self, classes: int) -> None:
        self.pixels = np.zeros((classes, classes), np.int64)

    def add(self, truth: npt.NDArray[np.uint8], found: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of a picture."""
        classes = len(self.pixels)
        pairs = truth.astype(np.int64) * classes + found
        self.pixels += np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each class; NaN where a class neither is nor was found."""
        hits = self.pixels.diagonal()
        union = self.pixels.sum(0) + self.pixels.sum(1) - hits
        shares: npt.NDArray[np.float64] = np.divide(
            hits, union, out=np.full(len(hits), np.nan), where=union > 0
        )
        return shares

    @property
    def accuracy(self) -> float:
        """Share of the pixels that were found right."""
        return float(self.pixels.trace() / self.pixels.sum())


def evaluate(
    name: str, seeds: range, runtimes: dict[str, Runtime], segmenter: Segmenter
) -> Iterator[Evaluation]:
    """Segment the scenes in each runtime; the first is the one that labels are compared with."""
    confusions = {runtime: Confusion(len(scenes.CLASSES)) for runtime in runtimes}
    times: dict[str, list[float]] = {runtime: [] for runtime in runtimes}
    equal = dict.fromkeys(runtimes, 0.0)
    for seed in track(seeds, name, console=Console(stderr=True), transient=True):
        scene = scenes.draw(seed)
        values = model_input(scene.image, segmenter.input, segmenter.normalisation)
        ours = None
        for runtime, run in runtimes.items():
            scores, milliseconds = run(values)
            labels = labels_from_scores(scores[0], scene.truth.shape)
            ours = labels if ours is None else ours
            confusions[runtime].add(scene.truth, labels)
            equal[runtime] += float(np.mean(labels == ours)) / len(seeds)
            times[runtime].append(milliseconds)
    for runtime, confusion in confusions.items():
        iou = dict(zip(scenes.CLASSES, confusion.iou.tolist(), strict=True))
        mean, middle = float(np.nanmean(confusion.iou)), float(np.median(times[runtime]))
        yield Evaluation(name, runtime, mean, iou, confusion.accuracy, equal[runtime], middle)


def minilite_runtime(model: Model) -> Runtime:
    """A model in minilite."""

    def run(values: Array) -> tuple[Array, float]:
        start = perf_counter()
        scores = np.asarray(model(values)[0])
        return scores, (perf_counter() - start) * 1e3

    return run


def oracle_runtime(oracle: Oracle, found: FoundModel) -> Runtime:
    """A model in another runtime.

    Raises
    ------
    BackendError
        It does not load the model; or, when it is called, does not run it.
    """

    def checked(answer: Answer) -> Answer:
        if answer.status != "ran":
            raise BackendError(f"{oracle.runtime}: {answer.message}", rule="oracle")
        return answer

    checked(oracle.load(found.path))

    def run(values: Array) -> tuple[Array, float]:
        answer = checked(oracle.invoke([values]))
        return answer.outputs[0], answer.milliseconds[0]

    return run


def evaluations(seeds: range) -> Iterator[Evaluation]:
    """Both models in all runtimes that are here."""
    for name in MODELS:
        found = find_model(name)
        segmenter = segmenter_for(load(found.path, threads=1), found.known)
        with ExitStack() as stack:
            runtimes = {"minilite": minilite_runtime(segmenter.model)}
            for title, oracle in ORACLES.items():
                try:
                    runtimes[title] = oracle_runtime(stack.enter_context(Oracle(oracle)), found)
                except BackendError as error:
                    print(f"{title} is left out: {error}", file=sys.stderr)
            yield from evaluate(name, seeds, runtimes, segmenter)


def main() -> None:
    """Evaluate, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = list(evaluations(range(options.scenes)))
    if options.json:
        print(json.dumps([asdict(item) for item in found], indent=2))
        return
    table = Table()
    for heading in ("model", "runtime", "mean IoU", *scenes.CLASSES, "pixels right", "as minilite", "ms"):
        table.add_column(heading, justify="left" if heading in ("model", "runtime") else "right")
    for item in found:
        figures = (item.mean_iou, *item.iou.values(), item.pixel_accuracy)
        equal, time = f"{item.equal_labels:.5f}", f"{item.milliseconds:.2f}"
        table.add_row(item.model, item.runtime, *(f"{figure:.4f}" for figure in figures), equal, time)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    main()
