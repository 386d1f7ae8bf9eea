"""``minilite trace``: a run, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from minilite.debug import Event, Trace

_FIGURES = (">min", ">max", ">mean", ">zero", ">NaN, inf", ">saturated", ">unused codes")


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    source: Annotated[
        str,
        typer.Option("--input", help="random:SEED, zeros, a picture, x.npy, or x.npz by name or position."),
    ] = "random:0",
    chosen: Annotated[
        str | None,
        typer.Option("--ops", help="Operators to stop at, as in 10:20 (without 20), or one."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Stop behind an operator (60, CONV_2D), a tensor (tensor:64, tensor:NAME) or nan."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the recording to this .npz file (docs/formats.md).")
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Figures of each output.")] = False,
    memory: Annotated[
        float, typer.Option(min=0, help="MiB of values to keep in memory; the rest goes to temporary files.")
    ] = 1024,
    disk: Annotated[
        float | None, typer.Option(min=0, help="MiB that temporary files may take.", show_default="no limit")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all processors")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba, numpy, or float64.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON, with figures.")] = False,
) -> None:
    """Run a model operator by operator: what each made, how long it took.

    The values are those of an ordinary run, bit for bit. Operators of subgraphs (IF, WHILE) run inside the
    operator that calls them.
    """
    from minilite.cli._console import print_json
    from minilite.cli._loading import locate, open_model, warm_up
    from minilite.debug.state import FLOAT64
    from minilite.debug.trace import Trace
    from minilite.inputs import read_inputs

    if output is not None and output.suffix != ".npz":
        raise typer.BadParameter(f"--output {output}: a recording is an .npz file")
    operators = None if chosen is None else _range(chosen)
    own = "numpy" if backend == FLOAT64 else backend
    with open_model(locate(model), backend=own, threads=threads) as opened:
        inputs = read_inputs(source, opened.graph)
        warm_up(opened, inputs, source)
        budgets: dict[str, Any] = {
            "memory": int(memory * 2**20),
            "disk": None if disk is None else int(disk * 2**20),
            "folder": None if output is None else output.absolute().parent,
        }
        with Trace(
            opened, inputs, backend=backend if own != backend else None, operators=operators, **budgets
        ) as trace:
            stop = {} if until is None else _condition(until, trace)
            rows, event = _run(trace, stop, None if as_json else _table(trace, stats))
            _save(trace, output)
    if not as_json:
        _print_end(trace, event, output)
    else:
        print_json(
            {
                "backend": trace.backend,
                "threads": trace.threads,
                "operators": rows,
                "stopped_at": None if event is None else event.index,
                "output": None if output is None else str(output),
            }
        )


def _range(text: str) -> slice:
    first, colon, last = text.partition(":")
    if not all(part == "" or part.isdecimal() for part in (first, last)) or not (first or colon):
        raise typer.BadParameter(f"--ops {text}: give numbers of operators, as in 10:20, or one")
    begin = int(first) if first else 0
    return slice(begin, (int(last) if last else None) if colon else begin + 1)


def _condition(text: str, trace: Trace) -> dict[str, Any]:
    """Arguments of ``Trace.until``."""
    if text.lower() == "nan":
        return {"nan": True}
    kind, _, name = text.partition(":")
    if kind == "tensor":
        return {"tensor": trace.tensor(int(name) if name.isdecimal() else name).index}
    if text.isdecimal():
        return {"op": int(text)}
    names = sorted({operator.name for operator in trace.model.graph.main.operators})
    for candidate in (text, text.upper()):
        if candidate in names:
            return {"op": candidate}
    raise typer.BadParameter(f"--until {text}: the model has {', '.join(names)}; or give a number, or nan")


def _run(
    trace: Trace, stop: dict[str, Any], show: Callable[[Event], None] | None
) -> tuple[list[dict[str, Any]], Event | None]:
    """All events as plain data if nobody shows them, and the one that was to be stopped at."""
    from minilite.cli._console import progress_bar

    rows: list[dict[str, Any]] = []
    first = trace.position
    with progress_bar() as show_progress:

        def seen(event: Event) -> bool:
            if show is not None:
                show(event)
            else:
                rows.append(_as_data(event))
                show_progress(trace.position - first, len(trace.operators), "running operators")
            return False

        event = trace.until(seen, **stop)
    return rows, event


def _table(trace: Trace, stats: bool) -> Callable[[Event], None]:
    """What prints an event as a row of a table for each output; prints the head."""
    from minilite.cli._console import Printer, milliseconds
    from minilite.notation import figure, short_tensor

    nodes = [node for node in trace.graph.main.nodes() if node.operator.index in trace.operators]
    outputs = [short_tensor(tensor) for node in nodes for tensor in node.outputs]
    columns = ["op", "name", "output", ">ms", *(_FIGURES if stats else ()), "tensor"]
    widths = [3, max(len(node.operator.name) for node in nodes), max(map(len, outputs), default=0), 9]
    row = Printer().growing_table(columns, [*widths, *([11, 11, 11, 6, 8, 9, 12] if stats else []), 0])

    def figures(event: Event, position: int) -> list[str]:
        found = event.statistics[position]
        share = f"{found.zeros / max(found.count, 1):.1%}"
        saturated = "" if found.saturated is None else f"{found.saturated:.2%}"
        unused = "" if found.unused_codes is None else str(found.unused_codes)
        bad = str(found.nan + found.infinite)
        return [*map(figure, (found.min, found.max, found.mean)), share, bad, saturated, unused]

    def show(event: Event) -> None:
        begin = [str(event.index), event.name]
        time = milliseconds(event.seconds * 1e3)
        if not event.outputs:
            row([*begin, "", time, *([""] * len(_FIGURES) if stats else []), ""])
        for position, tensor in enumerate(event.node.outputs):
            row(
                [
                    *begin,
                    short_tensor(tensor),
                    time,
                    *(figures(event, position) if stats else []),
                    tensor.name,
                ]
            )
            begin, time = ["", ""], ""

    return show


def _as_data(event: Event) -> dict[str, Any]:
    from dataclasses import asdict

    from minilite.notation import plain_options

    return {
        "index": event.index,
        "name": event.name,
        "options": plain_options(event.options),
        "ms": event.seconds * 1e3,
        "inputs": list(event.node.operator.inputs),
        "outputs": [
            {
                "tensor": tensor.index,
                "name": tensor.name,
                "type": tensor.type.name,
                "shape": list(tensor.shape),
                "statistics": asdict(found),
            }
            for tensor, found in zip(event.node.outputs, event.statistics, strict=True)
        ],
    }


def _save(trace: Trace, path: Path | None) -> None:
    from minilite.cli._console import progress_bar

    if path is not None:
        with progress_bar() as show:
            trace.recording().save(
                path, progress=lambda done, total: show(done, total, f"writing {path.name}")
            )


def _print_end(trace: Trace, event: Event | None, output: Path | None) -> None:
    from minilite.cli._console import Printer

    printer = Printer()
    run = trace.recording()
    printer.line(
        f"{len(run)} operators, {sum(run.seconds.values()) * 1e3:.1f} ms one by one, {trace.backend}, "
        f"{trace.threads} threads"
    )
    if event is not None:
        printer.line(f"stopped behind {event.node.operator}")
    if output is not None:
        printer.line(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB)")
