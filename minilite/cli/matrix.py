"""``minilite matrix``: one model in every runtime, resolver and number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minilite.cli._comparing import INPUT_HELP

if TYPE_CHECKING:
    from minilite.cli._console import Printer
    from minilite.debug.matrix import Cell


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    source: Annotated[str, typer.Option("--input", help=INPUT_HELP)] = "random:0",
    threads: Annotated[
        str | None, typer.Option(help="Numbers of threads, as in 1,2.", show_default="1 and all processors")
    ] = None,
    runs: Annotated[int, typer.Option(min=0, help="Timed runs of each.")] = 10,
    against: Annotated[
        str | None,
        typer.Option(help="The baseline of differences.", show_default="litert-ref, else minilite numpy"),
    ] = None,
    python: Annotated[str | None, typer.Option(help="The Python that has tflite-runtime.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a run counts as hung.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Run a model in every installed runtime, each in a process that may crash, and compare outputs.

    Exit code 0 if all that run agree (integers equal, floats within 1e-4 of the magnitude), 1 if one differs
    or crashes, 2 if the baseline does not run. A runtime that refuses the model or is not installed is shown
    and does not count.
    """
    from dataclasses import asdict

    from minilite.cli._comparing import DIFFERS, plain, thread_counts
    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.cli._loading import locate
    from minilite.debug.matrix import matrix
    from minilite.inputs import read_inputs
    from minilite.loader import load_graph

    path = locate(model).path
    inputs = read_inputs(source, load_graph(path))
    with progress_bar() as show:
        cells = matrix(
            path,
            inputs,
            threads=thread_counts(threads),
            runs=runs,
            against=against,
            python=python,
            timeout=timeout,
            progress=show,
        )
    failed = any(cell.agrees is False or cell.status == "crash" for cell in cells)
    if as_json:
        rows = [{**asdict(cell), "largest": cell.largest} for cell in cells]
        print_json(plain({"agrees": not failed, "model": str(path), "cells": rows}))
    else:
        _print(Printer(), cells)
    if failed:
        raise typer.Exit(DIFFERS)


def _print(printer: Printer, cells: list[Cell]) -> None:
    from minilite.cli._comparing import figure, share
    from minilite.cli._console import milliseconds

    lines = [
        (
            cell.runtime,
            cell.version,
            cell.resolver,
            str(cell.threads),
            _verdict(cell),
            figure(cell.largest),
            "-" if cell.flips is None else share(*cell.flips),
            "-" if cell.milliseconds is None else milliseconds(cell.milliseconds),
        )
        for cell in cells
    ]
    columns = ["runtime", "package", "resolver", ">threads", "result"]
    columns += [">max difference", ">label flips", ">median ms"]
    printer.table(columns, lines)
    told: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.message:
            told.setdefault((cell.runtime, cell.message), []).append(str(cell.threads))
    for (runtime, message), counts in told.items():
        printer.line(f"{runtime}, threads {', '.join(counts)}: {message}")


def _verdict(cell: Cell) -> str:
    if cell.is_baseline:
        return "ok, baseline"
    return {True: "ok, agrees", False: "ok, differs", None: cell.status}[cell.agrees]
