"""``minilite compare``: how far every tensor of a run is from another run's, and who made the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minilite.cli._comparing import AGAINST_HELP, INPUT_HELP

if TYPE_CHECKING:
    from minilite.cli._console import Printer
    from minilite.debug.compare import Report, Row

_SHOWN = 10
"""Operators with the largest errors that are shown without --per-op."""


def command(
    model: Annotated[
        str, typer.Argument(help="Name of a known model, a .tflite file, or a run.npz recorded before.")
    ],
    other: Annotated[
        str | None,
        typer.Argument(help="Another model to compare with (a quantized twin, a changed copy), or run.npz."),
    ] = None,
    source: Annotated[str | None, typer.Option("--input", help=INPUT_HELP, show_default="random:0")] = None,
    against: Annotated[str | None, typer.Option(help=AGAINST_HELP, show_default="numpy")] = None,
    per_op: Annotated[bool, typer.Option("--per-op", help="A line for every operator.")] = False,
    match: Annotated[str, typer.Option(help="Pair two models' tensors by name or order, or auto.")] = "auto",
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
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare a run with another runtime's, with a reference, a saved run, or another model's.

    Every operator also runs alone on the other side's inputs and is held to its own tolerance: that is its
    local error; what the whole run has beyond it is inherited from operators before. Other runtimes run in
    processes of their own and may crash.

    Exit code 0 if all operators keep their tolerance, 1 if one does not, 2 if something is missing.
    """
    from dataclasses import asdict

    from minilite.cli._comparing import DIFFERS, Choice, both_sides, plain
    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.debug.compare import compare

    if match not in ("auto", "name", "order"):
        raise typer.BadParameter(f"--match {match}: use auto, name or order")
    given, expected = both_sides(Choice(model, other, source, against, backend, threads, python, timeout))
    with progress_bar() as show:
        report = compare(given, expected, method=match, tolerance=tolerance, progress=show)  # type: ignore[arg-type]
    if as_json:
        print_json(plain({"agrees": report.agrees, **asdict(report)}))
    else:
        _print(Printer(), report, per_op)
    if not report.agrees:
        raise typer.Exit(DIFFERS)


def _print(printer: Printer, report: Report, per_op: bool) -> None:
    printer.line(f"given     {report.given}")
    printer.line(f"expected  {report.expected}")
    printer.line(f"tensors paired: {report.pairing}")
    for note in report.notes:
        printer.line(f"note: {note}")
    printer.line()
    shown = list(report.rows) if per_op else _worst(report)
    if shown:
        _print_rows(printer, shown)
        if not per_op:
            printer.line(
                f"{len(shown)} of {len(report.rows)} shown, those with the largest errors: --per-op shows all"
            )
        printer.line()
    _print_outputs(printer, report)
    printer.line()
    _print_verdict(printer, report)


def _worst(report: Report) -> list[Row]:
    """What breaks its tolerance, and the largest errors of those that do not, in the order of operators."""
    others = [row for row in report.rows if row.verdict != "born" and not row.total.equal]
    others = sorted(others, key=_importance, reverse=True)[:_SHOWN]
    return sorted([*report.born, *others], key=lambda row: row.operator)


def _importance(row: Row) -> float:
    """The part of its tolerance that an operator uses, or the error it has inherited."""
    if row.local is not None and row.local.allowed:
        return row.local.error / row.local.allowed
    return row.local.error if row.local is not None else row.total.absolute.max


_COLUMNS = [
    ">op",
    "operator",
    ">tensor",
    "verdict",
    ">local max",
    ">allowed",
    "tolerance",
    "would pass",
    ">total max",
    ">mean",
    ">p99",
    ">ulps, steps",
    ">unequal",
    "worst at",
]


def _print_rows(printer: Printer, rows: list[Row]) -> None:
    printer.table(_COLUMNS, [_line(row) for row in rows])


def _line(row: Row) -> list[str]:
    from minilite.cli._comparing import figure, place

    local, total = row.local or row.own, row.total
    judged = ["-"] * 4
    if local is not None:
        judged = [figure(local.error), figure(local.allowed), local.tolerance, local.needed]
    units = total.ulps or total.steps
    broken = local is not None and not local.agrees
    return [
        str(row.operator),
        row.name,
        str(row.tensor),
        row.verdict,
        *judged,
        total.fault or figure(total.absolute.max),
        figure(total.absolute.mean),
        figure(total.absolute.p99),
        figure(units.max if units else None),
        str(total.unequal),
        place(local.worst if local is not None and broken else total.worst),
    ]


def _print_outputs(printer: Printer, report: Report) -> None:
    from minilite.cli._comparing import figure, place, share

    lines = []
    for row in report.outputs:
        found = row.difference
        lines.append(
            (
                row.name,
                found.fault or figure(found.absolute.max),
                figure(found.absolute.mean),
                figure(found.snr_db),
                share(found.unequal, found.elements),
                "-" if row.flips is None else share(*row.flips),
                place(found.worst),
            )
        )
    columns = ["output", ">max", ">mean", ">SNR dB", ">unequal", ">label flips", "worst at"]
    printer.table(columns, lines)


def _print_verdict(printer: Printer, report: Report) -> None:
    from collections import Counter

    counts = Counter[str](row.verdict for row in report.rows)
    words = {
        "agrees": "agree",
        "inherited": "inherit an error and add none beyond their tolerance",
        "born": "break their tolerance",
        "unjudged": "differ and cannot be judged alone",
    }
    parts = [f"{counts[key]} {text}" for key, text in words.items() if counts[key]]
    printer.line(f"of {len(report.rows)} tensors {', '.join(parts)}")
    for fault in report.faults:
        printer.line(f"differs: {fault}")
    if report.agrees:
        printer.line("agrees" if report.judged else "not judged")
