"""``minilite bisect``: the first operator that makes an error of its own."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from minilite.cli._comparing import AGAINST_HELP, INPUT_HELP

if TYPE_CHECKING:
    from minilite.cli._console import Printer
    from minilite.debug.bisect import Bisection


def command(
    model: Annotated[
        str, typer.Argument(help="Name of a known model, a .tflite file, or a run.npz recorded before.")
    ],
    other: Annotated[
        str | None, typer.Argument(help="Another model to compare with (a changed copy), or run.npz.")
    ] = None,
    source: Annotated[str | None, typer.Option("--input", help=INPUT_HELP, show_default="random:0")] = None,
    against: Annotated[str | None, typer.Option(help=AGAINST_HELP, show_default="numpy")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, help="Allowed instead of operators' own: steps of integers, absolute for floats."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, show_default="all processors, for other runtimes 1")
    ] = None,
    backend: Annotated[str, typer.Option(help="What runs MODEL: auto, numba or numpy.")] = "auto",
    python: Annotated[str | None, typer.Option(help="The Python that has the other runtime.")] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds after which the other runtime counts as hung.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the finding as JSON.")] = False,
) -> None:
    """Find the first operator whose own error breaks its tolerance, and say how to slice it out.

    Operators run alone, one after the other, on the values that the other side had, so that an error before
    one does not count against it.

    Exit code 0 if there is none, 1 if there is, 2 if something is missing.
    """
    from dataclasses import asdict

    from minilite.cli._comparing import DIFFERS, Choice, both_sides, plain
    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.debug.bisect import bisect

    choice = Choice(model, other, source, against, backend, threads, python, timeout)
    given, expected = both_sides(choice)
    with progress_bar() as show:
        found = bisect(given, expected, tolerance=tolerance, progress=show)
    line = (
        None if found.row is None else _slice_line(choice.model, other, source, against, found.row.operator)
    )
    if as_json:
        print_json(plain({"agrees": found.agrees, **asdict(found), "slice": line}))
    else:
        _print(Printer(), found, line)
    if not found.agrees:
        raise typer.Exit(DIFFERS)


def _slice_line(model: str, other: str | None, source: str | None, against: str | None, operator: int) -> str:
    words = ["minilite", "slice", model, "--ops", f"{operator}:{operator + 1}"]
    right = other or against
    if source is not None:
        words += ["--input", source]
    if right is not None:
        words += ["--against", right]
    return shlex.join([*words, "--output", f"bug-op{operator}"])


def _print(printer: Printer, found: Bisection, line: str | None) -> None:
    from minilite.cli._comparing import figure, place, share

    printer.line(f"given     {found.given}")
    printer.line(f"expected  {found.expected}")
    for note in found.notes:
        printer.line(f"note: {note}")
    if found.unjudged:
        printer.line(f"note: differ and cannot be judged alone: {', '.join(found.unjudged)}")
    printer.line()
    row = found.row
    if row is None:
        printer.line(found.fault or f"none of {found.operators} operators breaks its tolerance")
        return
    printer.line(
        f"op {row.operator} {row.name} is the first to break its tolerance, operator {found.examined} of "
        f"{found.operators} examined"
    )
    local = row.local if row.local is not None and not row.local.agrees else row.own
    assert local is not None
    sizes = "x".join(map(str, row.shape)) or "scalar"
    printer.line(f"  output     tensor {row.tensor} {row.tensor_name!r} ({row.type} {sizes})")
    printer.line(f"  error      {local.fault}")
    printer.line(f"  worst at   {place(local.worst)}")
    printer.line(f"  unequal    {share(local.difference.unequal, local.difference.elements)}")
    printer.line(f"  tolerance  {local.tolerance}; {local.needed} would have passed")
    printer.line()
    columns = [">input", "name", "type", "shape", "", ">max difference", ">unequal", "worst at"]
    lines = []
    for given in found.inputs:
        kind = "constant" if given.is_constant else "computed"
        apart = "-" if given.difference is None else figure(given.difference.absolute.max)
        shape = "x".join(map(str, given.shape)) or "scalar"
        unequal = "-" if given.difference is None else str(given.difference.unequal)
        worst = "-" if given.difference is None else place(given.difference.worst)
        lines.append((str(given.tensor), given.name, given.type, shape, kind, apart, unequal, worst))
    printer.table(columns, lines)
    printer.line()
    printer.line(f"to slice it out: {line}")
