"""``minilite build``: a network of the DeepLab family as a file."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from minilite_models.weights import Weights

    from minilite.graph import Array, Graph, Tensor

_LARGEST = 8193


def command(
    network: Annotated[
        str, typer.Argument(help="deeplabv1, deeplabv1-7x7, deeplabv2, deeplabv3 or deeplabv3plus.")
    ],
    output: Annotated[Path, typer.Option(help="File to write.")],
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the picture.")] = "257x257",
    type_: Annotated[str, typer.Option("--type", help="float32, float16 (weights) or int8.")] = "float32",
    backbone: Annotated[
        str | None,
        typer.Option(
            help="mobilenetv2, resnet50, resnet101 or xception.", show_default="the network's first"
        ),
    ] = None,
    output_stride: Annotated[
        int | None, typer.Option(help="8, 16 or 32.", show_default="v2 8, v3 and v3+ 16")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes, background included.")] = 21,
    width: Annotated[
        float, typer.Option(min=0.01, max=4, help="What the backbone's channels are multiplied by.")
    ] = 1.0,
    argmax: Annotated[bool, typer.Option("--argmax", help="Give labels (int64) instead of scores.")] = False,
    resizable: Annotated[
        bool, typer.Option("--resizable", help="Let programs resize the input: sizes are computed.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Weights are drawn from it.")] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(help="Take weights from this .npz instead, by the names that inspect shows."),
    ] = None,
    epsilon: Annotated[float, typer.Option(min=0, help="Of the batch normalisations in --weights.")] = 1e-3,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Picture, folder of pictures or .npz to calibrate int8 with; may be repeated.",
            show_default="drawn scenes",
        ),
    ] = None,
    float_io: Annotated[
        bool, typer.Option("--float-io", help="Float inputs and outputs for an int8 model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a network of the DeepLab family as a .tflite file.

    Its weights are random, if none are given: good for measuring and comparing, not for segmenting.
    """
    from minilite_models import deeplab, family

    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.writer import write_graph

    if type_ not in family.TYPES:
        raise typer.BadParameter(f"--type {type_}: one of {', '.join(family.TYPES)}")
    if output.suffix != ".tflite":
        raise typer.BadParameter(f"--output {output}: models are .tflite files")
    start = perf_counter()
    settings = deeplab.Settings(
        _size(size),
        classes,
        width,
        weights=_weights(seed, weights, epsilon),
        argmax=argmax,
        resizable=resizable,
    )
    with progress_bar() as show:
        graph = family.build(network, settings, backbone=backbone, output_stride=output_stride)
        samples = _samples(calibrate or [], graph)
        total = len(samples) or family.SAMPLES
        converted = family.convert(
            graph,
            type_,
            samples=samples,
            float_io=float_io,
            progress=lambda done: show(done, total, "calibrating"),
            compiling=lambda done, of, name: show(done, of, f"compiling once: {name.partition('[')[0]}"),
        )
    content = write_graph(converted)
    _write(output, content)
    summary = _summary(converted, output, len(content), perf_counter() - start)
    if as_json:
        print_json(summary)
        return
    (_, path), *rest = summary.items()
    rows = [(name.replace("_", " "), f"{v:,}" if isinstance(v, int) else str(v)) for name, v in rest]
    Printer().table(["file", path], rows)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()) or not all(
        1 <= int(n) <= _LARGEST for n in (height, width)
    ):
        raise typer.BadParameter(
            f"--size {text}: give HEIGHTxWIDTH, each from 1 to {_LARGEST}, as in 257x257"
        )
    return int(height), int(width)


def _weights(seed: int, path: Path | None, epsilon: float) -> Weights:
    import zipfile

    import numpy as np
    from minilite_models.weights import Given, Seeded

    from minilite.errors import TensorValueError

    if path is None:
        return Seeded(seed)
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise TensorValueError(
                f"--weights {path}: one array without a name; give an .npz", rule="weights"
            )
        return Given({name: loaded[name] for name in loaded}, epsilon)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TensorValueError(f"--weights {path}: cannot be read: {error}", rule="weights") from error


def _samples(paths: list[Path], graph: Graph) -> list[list[Array]]:
    from dataclasses import replace

    from minilite.graph import with_tensors
    from minilite.inputs import read_inputs

    # A picture is resized to the size asked for, even where another could be given later.
    tensors = tuple(replace(tensor, shape_signature=tensor.shape) for tensor in graph.main.tensors)
    fixed = with_tensors(graph, 0, tensors)
    files = [
        file
        for path in paths
        for file in (sorted(f for f in path.iterdir() if f.is_file()) if path.is_dir() else [path])
    ]
    return [read_inputs(str(file), fixed, option="--calibrate") for file in files]


def _write(path: Path, content: bytes) -> None:
    from minilite.errors import TensorValueError

    try:
        path.write_bytes(content)
    except OSError as error:
        raise TensorValueError(
            f"--output {path}: cannot be written: {error.strerror}", rule="output"
        ) from error


def _summary(graph: Graph, path: Path, size: int, seconds: float) -> dict[str, Any]:
    """What was written; the file first."""
    from minilite.inspection import summarise

    tensors = graph.main.tensors
    totals = summarise(graph).subgraphs[0].totals
    return {
        "file": str(path),
        "bytes": size,
        "network": graph.description,
        "input": _tensor(tensors[graph.main.inputs[0]]),
        "output": _tensor(tensors[graph.main.outputs[0]]),
        "operators": sum(totals.operators.values()),
        "multiply_adds": totals.multiply_adds,
        "seconds": round(seconds, 3),
    }


def _tensor(tensor: Tensor) -> str:
    sizes = "x".join("?" if size < 0 else str(size) for size in tensor.shape_signature)
    return f"{tensor.name}: {tensor.type.name.lower()} {sizes}"
