"""``minilite shadow``: a quantized model beside the float model that it stands for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from minilite.cli._console import Printer
    from minilite.debug.shadow import Shadow, ShadowRow

_ORDERS = ("order", "local", "accumulated", "saturated", "clipped", "unused_codes", "range_used")


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file: a quantized one.")],
    source: Annotated[
        str,
        typer.Option("--input", help="random:SEED, zeros, a picture, x.npy, or x.npz by name or position."),
    ] = "random:0",
    by: Annotated[str, typer.Option("--sort", help=f"One of {', '.join(_ORDERS)}.")] = "order",
    worst: Annotated[int, typer.Option(min=0, help="How many operators to mark: lowest local ratio.")] = 5,
    twin: Annotated[Path | None, typer.Option(help="Write the float twin to this .tflite file.")] = None,
    implied: Annotated[
        bool, typer.Option(help="Clamp the twin where a range that begins at zero does, as a folded RELU.")
    ] = True,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all processors")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba or numpy.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Run a quantized model and its float twin side by side: what quantization costs, and where.

    The twin is made from the .tflite alone: weights, biases and inputs become the real numbers that they
    stand for. The local ratio of signal to noise is that of an operator on the same inputs, the accumulated
    one that of the two whole runs.
    """
    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.cli._loading import locate, open_model
    from minilite.debug.shadow import shadow
    from minilite.inputs import read_inputs
    from minilite.writer import write_graph

    if by not in _ORDERS:
        raise typer.BadParameter(f"--sort {by}: use one of {', '.join(_ORDERS)}")
    if twin is not None and twin.suffix != ".tflite":
        raise typer.BadParameter(f"--twin {twin}: the twin is a model, give it the suffix .tflite")
    with open_model(locate(model), backend=backend, threads=threads) as opened, progress_bar() as show:
        found = shadow(
            opened,
            read_inputs(source, opened.graph),
            implied=implied,
            progress=lambda done, total: show(done, total, "each operator alone"),
        )
    if twin is not None:
        twin.write_bytes(write_graph(found.twin.graph))
    if as_json:
        print_json(_as_data(found, by, worst))
        return
    _print(Printer(), found, by, worst)
    if twin is not None:
        Printer().line(f"written: {twin}")


def _as_data(found: Shadow, by: str, worst: int) -> dict[str, Any]:
    """Plain values; an infinite ratio is the text ``inf`` or ``-inf``."""
    from dataclasses import asdict
    from math import isfinite

    from minilite.debug.shadow import rows_sorted

    def plain(record: Any) -> dict[str, Any]:
        return {
            name: str(value) if isinstance(value, float) and not isfinite(value) else value
            for name, value in asdict(record).items()
        }

    return {
        "operators": [plain(row) for row in rows_sorted(found.rows, by)],
        "outputs": [plain(output) for output in found.outputs],
        "worst": [row.op for row in found.worst(worst)],
    }


def _print(printer: Printer, found: Shadow, by: str, worst: int) -> None:
    from minilite.debug.shadow import rows_sorted

    marked = {id(row) for row in found.worst(worst)}
    columns = ["op", "name", "tensor", "type", ">local dB", ">accumulated dB", ">equal", ">saturated",
               ">clipped", ">unused codes", ">range used"]  # fmt: skip
    printer.table(columns, [_row(row, marked) for row in rows_sorted(found.rows, by)])
    for output in found.outputs:
        figures = [f"{_decibels(output.snr)} dB"] if output.snr is not None else []
        figures += [f"{output.equal:.2%} equal"] if output.equal is not None else []
        figures += [f"the same label in {output.same_label:.2%}"] if output.same_label is not None else []
        printer.line(f"output {output.tensor} {output.name}: {', '.join(figures)}")
    if marked:
        lowest = ", ".join(
            f"op {row.op} {row.name} ({_decibels(row.local)} dB)" for row in found.worst(worst)
        )
        printer.line(f"(!) add the most noise to what they are given: {lowest}")
    if found.twin.implied:
        printer.line(
            f"{len(found.twin.implied)} operators are clamped in the twin because their range begins at zero "
            "(--no-implied leaves them open)"
        )
    if found.twin.quantized:
        numbers = ", ".join(map(str, found.twin.quantized))
        printer.line(f"without a float form, and quantized in the twin, too: ops {numbers}")


def _row(row: ShadowRow, marked: Collection[int]) -> list[str | Text]:
    from rich.text import Text

    worst = id(row) in marked
    cells = [
        str(row.op),
        f"{row.name} (!)" if worst else row.name,
        str(row.tensor),
        row.type.lower(),
        _decibels(row.local),
        _decibels(row.accumulated),
        _share(row.equal),
        _share(row.saturated),
        _share(row.clipped),
        "" if row.unused_codes is None else str(row.unused_codes),
        _share(row.range_used),
    ]
    return [Text(cell, style="bold red" if worst else "") for cell in cells]


def _decibels(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
