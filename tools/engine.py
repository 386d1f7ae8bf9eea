"""What the engine promises, measured: times beside LiteRT's in the same process, starts, memory.

    python tools/engine.py [--pairs N] [--json] [PART ...]

Parts: ``deeplab`` (float32, float32 to a mask, uint8), ``models`` (every model in ``MINILITE_MODELS`` that
LiteRT runs, one thread), ``sizes`` (time per pixel of a DeepLab v3 whose input is resized), ``process``
(starts and memory of ``minilite segment``); all of them by default. Ratios are minilite's time over
LiteRT's: the median over pairs of runs that take turns. Without LiteRT, or without a model, a part says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from minilite_models.deeplab import Settings
from minilite_models.family import build
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from minilite import memory
from minilite.benchmark import measure, random_inputs, set_inputs
from minilite.catalogue import find_model, models_folder
from minilite.errors import MiniliteError
from minilite.graph import Array, Graph, Subgraph, TensorType
from minilite.interpreter import Interpreter
from minilite.labelling import with_labels
from minilite.litert import LiteRT
from minilite.loader import load_graph
from minilite.memory import Lifetime
from minilite.model import Model
from minilite.scheduler import PlanExecutor
from minilite.writer import write_graph

SIZES = (257, 513, 1025)


@dataclass(frozen=True)
class Figure:
    """One line: what was measured, how much, and beside what."""

    part: str
    what: str
    value: float
    unit: str
    beside: float | None = None
    ratio: float | None = None
    note: str = ""


def paired(
    part: str,
    what: str,
    own: Callable[[], object],
    litert: Callable[[], object],
    pairs: int,
    note: str = "",
) -> Figure:
    """Two things timed in turns."""
    times, others = measure([own, litert], pairs)
    ratio = float(np.median(np.divide(times, others)))
    return Figure(part, what, float(np.median(times)), "ms", float(np.median(others)), ratio, note)


def deeplab(pairs: int) -> Iterator[Figure]:
    """The starter model and its uint8 sibling, on one and on two threads."""
    for name, words in (("deeplabv3", "float32"), ("deeplabv3_uint8", "uint8 256")):
        path = find_model(name).path
        for threads in (1, 2):
            yield invoke("deeplab", f"DeepLab {words}, {threads} threads", path, threads, pairs)
            if name == "deeplabv3":
                yield mask(path, threads, pairs)


def invoke(part: str, what: str, path: Path, threads: int, pairs: int) -> Figure:
    """Whole runs on random input, inputs set before."""
    litert = LiteRT(path, threads)
    with Model(load_graph(path), threads=threads) as model:
        executor = model.executor()
        try:
            inputs = random_inputs(executor.subgraph.tensors[i] for i in executor.subgraph.inputs)
            set_inputs(executor, inputs)
            litert.set_inputs(inputs)
            return paired(part, what, executor.run, litert.run, pairs, f"LiteRT {litert.kernels}")
        finally:
            executor.close()


def mask(path: Path, threads: int, pairs: int) -> Figure:
    """A picture's array to the class of each pixel; LiteRT: set, invoke, get, and NumPy's argmax."""
    litert = LiteRT(path, threads)
    graph = load_graph(path)
    (number,), (scores,) = graph.main.inputs, graph.main.outputs
    x = random_inputs([graph.main.tensors[number]])[number]
    with Model(with_labels(graph), threads=threads) as model:

        def other() -> Array:
            litert.set_inputs({number: x})
            litert.run()
            found: Array = litert.value(scores).argmax(-1)
            return found

        equal = np.mean(np.asarray(model(x)) == other())
        what = f"DeepLab float32, array to mask, {threads} threads"
        return paired("deeplab", what, lambda: model(x), other, pairs, f"{equal:.2%} of the labels equal")


def models(pairs: int) -> Iterator[Figure]:
    """Every model of the folder on one thread, and the geometric means of float and of int8 models."""
    folder = models_folder()
    if folder is None:
        raise MiniliteError("set MINILITE_MODELS to a folder of models", rule="models")
    ratios: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*.tflite")):
        try:
            graph = load_graph(path)
            figure = invoke("models", path.stem, path, 1, pairs)
        except (MiniliteError, RuntimeError, ValueError) as error:
            yield Figure("models", path.stem, float("nan"), "", note=str(error).splitlines()[0][:70])
            continue
        assert figure.ratio is not None
        ratios.setdefault(kind_of(graph), []).append(figure.ratio)
        yield figure
    for kind, values in sorted(ratios.items()):
        mean = float(np.exp(np.mean(np.log(values))))
        yield Figure("models", f"{kind}: geometric mean of {len(values)}", mean, "", ratio=mean)


def kind_of(graph: Graph) -> str:
    """What a network mostly computes in: by its convolutions and products, or its outputs."""
    main = graph.main
    heavy = [o for o in main.operators if o.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    if any(main.tensors[o.inputs[0]].type is not TensorType.FLOAT32 for o in heavy):
        return "integer models"
    if any(main.tensors[o.inputs[1]].type in (TensorType.INT8, TensorType.UINT8) for o in heavy):
        return "dynamic-range models"
    return "float models"


def sizes(pairs: int) -> Iterator[Figure]:
    """A DeepLab v3 of our own whose sizes are computed, resized: nanoseconds a pixel of its input."""
    content = write_graph(build("deeplabv3", Settings(resizable=True), backbone="mobilenetv2"))
    first: float | None = None
    for threads in (1, 2):
        for side in SIZES:
            interpreter = Interpreter(model_content=content, num_threads=threads)
            number = interpreter.get_input_details()[0]["index"]
            interpreter.resize_tensor_input(number, [1, side, side, 3])
            interpreter.allocate_tensors()
            interpreter.set_tensor(number, np.zeros((1, side, side, 3), np.float32))
            (times,) = measure([interpreter.invoke], max(5, pairs // 4))
            per_pixel = float(np.median(times)) * 1e6 / side**2
            first = per_pixel if side == SIZES[0] else first
            assert first is not None
            what = f"DeepLab v3 at {side} x {side}, {threads} threads"
            yield Figure("sizes", what, per_pixel, "ns/pixel", ratio=per_pixel / first, note="ratio: to 257")


def process(pairs: int) -> Iterator[Figure]:
    """``minilite segment`` as a process: the first ever, and later ones; memory."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "photo.png")
        picture = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
        Image.fromarray(picture).save(photo)
        environment = {**os.environ, "MINILITE_CACHE": str(Path(folder, "cache"))}
        command = [sys.executable, "-c", _SEGMENT, "segment", str(photo), "--json"]
        for what, repeats in (("first start ever", 1), ("later starts", max(3, pairs // 12))):
            runs = [run_process(command, environment) for _ in range(repeats)]
            seconds, megabytes = (float(np.median(values)) for values in zip(*runs, strict=True))
            yield Figure("process", f"minilite segment, {what}", seconds, "s")
            yield Figure("process", f"minilite segment, {what}: peak memory", megabytes, "MB")
    graph = load_graph(find_model("deeplabv3").path)
    executor = Model(graph, threads=2).executor()
    assert isinstance(executor, PlanExecutor)
    apart = operators_apart(executor.subgraph) / 2**20
    arena = executor.plan.arena_bytes / 2**20
    note = (
        "beside: what is alive at most where operators run one by one, the least any arena of theirs can be"
    )
    yield Figure("process", "DeepLab's arena", arena, "MiB", apart, arena / apart, note)


def run_process(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until it is over, and its peak resident memory in MB."""
    before = perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = perf_counter() - before
    if done.returncode:
        raise MiniliteError(f"{' '.join(command[1:])} failed: {done.stderr[-200:]}", rule="process")
    return seconds, float(done.stderr.split()[-1])


# A process begins with its parent's peak; the system's own account of it begins anew.
_SEGMENT = """
import resource, sys
from pathlib import Path
from minilite.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else ()
    peak = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    unit = 1 if sys.platform == "darwin" else 1024
    kilobytes = peak[0] if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 1024
    print(kilobytes * 1024 / 1e6, file=sys.stderr)
"""


def operators_apart(subgraph: Subgraph) -> int:
    """Bytes alive at most when the file's operators run one after the other, each with tensors of its own."""
    last = len(subgraph.operators)
    born = dict.fromkeys(subgraph.inputs, 0)
    dies = dict.fromkeys((*subgraph.inputs, *subgraph.outputs), last)
    for node in subgraph.nodes():
        for number in node.operator.outputs:
            born.setdefault(number, node.operator.index)
        for number in (*node.operator.inputs, *node.operator.outputs):
            if number in born:
                dies[number] = max(dies.get(number, 0), node.operator.index)
    lives = (Lifetime(subgraph.tensors[i].nbytes, first, dies[i]) for i, first in born.items())
    return memory.peak(list(lives))


PARTS: dict[str, Callable[[int], Iterator[Figure]]] = {
    part.__name__: part for part in (deeplab, models, sizes, process)
}


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    faults: list[str] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        for name in options.parts or PARTS:
            try:
                for figure in PARTS[name](options.pairs):
                    figures.append(figure)
                    progress.update(task, description=f"measured {figure.what}")
            except (MiniliteError, ImportError) as error:
                faults.append(f"{name}: {error}")
    if options.json:
        print(json.dumps({"figures": [asdict(f) for f in figures], "faults": faults}, indent=2))
    else:
        show(figures)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 2 if faults else 0


def show(figures: list[Figure]) -> None:
    """A table of the figures."""
    table = Table("measured", "minilite", "LiteRT", "ratio", "")
    for figure in figures:
        cells = (f"{figure.value:.2f} {figure.unit}", figure.beside, figure.ratio)
        table.add_row(
            figure.what, cells[0], *("" if v is None else f"{v:.2f}" for v in cells[1:]), figure.note
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
