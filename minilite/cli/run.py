"""``minilite run``: any model on any input, and what comes out."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilite.notation import figure, sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minilite.graph import Array
    from minilite.model import Model


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    source: Annotated[
        str,
        typer.Option("--input", help="random:SEED, zeros, a picture, x.npy, or x.npz by name or position."),
    ] = "random:0",
    output: Annotated[
        Path | None, typer.Option(help="Write the outputs, by name, to this .npz file.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every tensor, by its number in the file, not only the outputs.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Run up to the first operator minilite does not have.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all processors")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba or numpy.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run a model once and summarise its outputs."""
    from minilite.cli._console import Printer, print_json
    from minilite.cli._loading import locate, open_model, warm_up
    from minilite.inputs import read_inputs

    if output is not None and output.suffix != ".npz":
        raise typer.BadParameter(f"--output {output}: the outputs go to an .npz file")
    opened = open_model(locate(model), backend=backend, threads=threads, allow_missing=allow_missing)
    inputs = read_inputs(source, opened.graph)
    warm_up(opened, inputs, source)
    start = perf_counter()
    values = _run(opened, inputs, every)
    milliseconds = (perf_counter() - start) * 1e3
    if output is not None:
        _save(output, values)
    rows = [_summary(name, value) for name, value in values.items()]
    if as_json:
        print_json({"backend": opened.backend, "run_ms": milliseconds, "outputs": rows})
        return
    printer = Printer()
    columns = ["name", "type", "shape", ">min", ">max", ">mean", ">NaN"]
    keys = ("name", "type", "shape", "min", "max", "mean", "nan")
    printer.table(columns, [tuple(_text(row[key]) for key in keys) for row in rows])
    printer.line(f"{milliseconds:.1f} ms, {opened.backend}")
    if output is not None:
        printer.line(f"written: {output}")


def _run(model: Model, inputs: list[Array], every: bool) -> dict[str, Array]:
    if every:
        tensors = model.graph.main.tensors
        return {f"{i}: {tensors[i].name}": value for i, value in model.run_all(*inputs).items()}
    outputs = model(*inputs)
    names = list(outputs.names)
    return {
        name if names.count(name) == 1 else f"{position}: {name}": value
        for position, (name, value) in enumerate(zip(names, outputs, strict=True))
    }


def _save(path: Path, values: Mapping[str, Array]) -> None:
    import numpy as np

    # Texts as fixed-width bytes: files with Python objects in them cannot be read safely.
    plain: dict[str, Any] = {
        name: value.astype(np.bytes_) if value.dtype == object else value for name, value in values.items()
    }
    np.savez(path, **plain)


def _summary(name: str, value: Array) -> dict[str, Any]:
    import numpy as np

    summary: dict[str, Any] = {"name": name, "type": str(value.dtype), "shape": list(value.shape)}
    numbers = value.dtype.kind in "biuf" and value.size > 0
    finite = value[np.isfinite(value)] if numbers else value[:0]
    known = numbers and finite.size > 0
    summary["min"] = finite.min().item() if known else None
    summary["max"] = finite.max().item() if known else None
    summary["mean"] = float(finite.mean(dtype=np.float64)) if known else None
    summary["nan"] = int(np.isnan(value).sum()) if numbers else None
    return summary


def _text(value: Any) -> str:
    return sizes(value) if isinstance(value, list) else figure(value)
