"""``minilite bench``: how long a model takes, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from minilite.benchmark import ProfileRow, Result, TypeRow
    from minilite.catalogue import FoundModel
    from minilite.cli._console import Printer
    from minilite.roofline import Peak, StageRow


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    threads: Annotated[
        str | None, typer.Option(help="Numbers of threads, as in 1,2.", show_default="1 and all processors")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs to measure, after a tenth to warm up.")] = 50,
    against: Annotated[str | None, typer.Option(help="litert: measure LiteRT in turns with it.")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba or numpy.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a model on seeded random input: whole runs, each operator, and against LiteRT."""
    from dataclasses import asdict

    from minilite.benchmark import by_type
    from minilite.cli._comparing import thread_counts
    from minilite.cli._console import Printer, print_json
    from minilite.cli._loading import locate

    counts = thread_counts(threads)
    if against not in (None, "litert"):
        raise typer.BadParameter(f"{against!r}: only litert can be measured against")
    found = locate(model)
    results = [_measure(found, backend, count, runs, against) for count in counts]
    stages = _profile_plan(found, backend, counts[-1], runs)
    rows = _profile(found, backend, counts[-1], runs)
    types = by_type(rows)
    if as_json:
        print_json(
            {
                "model": str(found.path),
                "results": [asdict(result) for result in results],
                "plan": None if stages is None else _plan_as_json(*stages, counts[-1]),
                "profile": {
                    "threads": counts[-1],
                    "operators": [asdict(row) for row in rows],
                    "types": [asdict(row) for row in types],
                },
            }
        )
        return
    printer = Printer()
    _print_results(printer, results)
    printer.line()
    if stages is not None:
        _print_plan(printer, *stages, counts[-1])
        printer.line()
    _print_profile(printer, rows, types, counts[-1])


def _measure(found: FoundModel, backend: str, threads: int, runs: int, against: str | None) -> Result:
    from minilite.benchmark import benchmark
    from minilite.cli._console import progress_bar
    from minilite.cli._loading import open_model
    from minilite.litert import LiteRT

    litert = None if against is None else LiteRT(found.path, threads)
    with open_model(found, backend=backend, threads=threads) as model, progress_bar() as show:
        label = f"measuring, {threads} threads"
        return benchmark(model, runs, litert=litert, progress=lambda done, total: show(done, total, label))


def _profile(found: FoundModel, backend: str, threads: int, runs: int) -> list[ProfileRow]:
    from minilite.benchmark import profile, random_inputs, set_inputs
    from minilite.cli._console import progress_bar
    from minilite.cli._loading import open_model

    with open_model(found, backend=backend, threads=threads) as model, progress_bar() as show:
        executor = model.executor(keep_all=True)
        try:
            set_inputs(executor, random_inputs(model.inputs))
            return profile(
                executor, runs, progress=lambda done, total: show(done, total, "measuring each operator")
            )
        finally:
            executor.close()


def _profile_plan(
    found: FoundModel, backend: str, threads: int, runs: int
) -> tuple[Peak, list[StageRow]] | None:
    """The stages of the plan and the machine's limits; None where no plan covers the whole model."""
    from minilite.benchmark import random_inputs, set_inputs
    from minilite.cli._console import progress_bar
    from minilite.cli._loading import open_model

    with open_model(found, backend=backend, threads=threads) as model, progress_bar() as show:
        if model.backend != "numba":
            return None
        from minilite.roofline import measure_peak, profile_plan
        from minilite.scheduler import PlanExecutor

        executor = model.executor()
        try:
            if not isinstance(executor, PlanExecutor):
                return None
            set_inputs(executor, random_inputs(model.inputs))
            return measure_peak(threads), profile_plan(
                executor, runs, progress=lambda done, total: show(done, total, "measuring each stage")
            )
        finally:
            executor.close()


def _plan_as_json(peak: Peak, rows: Sequence[StageRow], threads: int) -> dict[str, Any]:
    from dataclasses import asdict

    stages = [{**asdict(row), "lost_ms": peak.lost(row)} for row in rows]
    return {"threads": threads, "peak": asdict(peak), "stages": stages}


def _print_plan(printer: Printer, peak: Peak, rows: Sequence[StageRow], threads: int) -> None:
    from minilite.cli._console import milliseconds as ms

    printer.line(
        f"Stage by stage, as the plan runs them, {threads} threads. At best this machine does "
        f"{peak.gflops:.0f} GFLOP/s and {peak.gigabytes:.0f} GB/s; what a stage takes beyond the nearer "
        "limit is lost:"
    )
    printer.table(
        [">stage", ">ms", ">%", ">GFLOP/s", ">GB/s", ">idle", ">lost ms", "operators", "kernels"],
        [
            (
                str(row.stage),
                ms(row.milliseconds),
                f"{row.share:.1%}",
                f"{row.gflops:.1f}" if row.gflops else "",
                f"{row.gigabytes:.1f}",
                f"{row.idle:.0%}",
                ms(peak.lost(row)),
                "; ".join(row.operators),
                "; ".join(dict.fromkeys(row.kernels)),
            )
            for row in rows
        ],
    )


def _print_results(printer: Printer, results: Sequence[Result]) -> None:
    from minilite.cli._console import milliseconds as ms

    lines = []
    for result in results:
        comparison = result.comparison
        timings = [(f"minilite {result.backend}", result.minilite, "")]
        if comparison is not None:
            ratios = f"{comparison.ratio_of_medians:.2f} ({comparison.median_ratio:.2f})"
            timings[0] = (*timings[0][:2], ratios)
            timings.append((f"LiteRT {comparison.kernels}", comparison.litert, ""))
        for runtime, timing, ratio in timings:
            figures = (ms(timing.median_ms), ms(timing.p90_ms), ms(timing.min_ms))
            lines.append((str(result.threads), runtime, *figures, str(timing.runs), ratio))
    columns = [">threads", "runtime", ">median ms", ">p90 ms", ">min ms", ">runs"]
    if any(result.comparison for result in results):
        columns.append(">ratio of medians (median ratio)")
    printer.table(columns, [line[: len(columns)] for line in lines])
    if results[-1].comparison is not None:
        for found in results[-1].comparison.differences:
            printer.line(
                f"{found.name}: {found.unequal:.2%} of the values differ from LiteRT's, "
                f"by {found.largest:.3g} at most"
            )
        if any(found.unequal for found in results[-1].comparison.differences):
            printer.line(
                "(LiteRT measured with its fastest kernels; minilite follows its reference kernels, to "
                "which these do not hold bit for bit)"
            )


def _print_profile(
    printer: Printer, rows: Sequence[ProfileRow], types: Sequence[TypeRow], threads: int
) -> None:
    from minilite.cli._console import milliseconds as ms

    any_compiled = any(row.compiled for row in rows)
    printer.line(f"Operator by operator, {threads} threads (each alone, so nothing is joined):")
    printer.table(
        ["node type", ">start", ">first", ">avg ms", ">%", ">cdf %", ">times called", "name"],
        [
            (
                row.node_type if row.compiled or not any_compiled else f"{row.node_type} (NumPy)",
                ms(row.start_ms),
                ms(row.first_ms),
                ms(row.average_ms),
                f"{row.share:.2%}",
                f"{row.cumulated:.2%}",
                str(row.times_called),
                row.name,
            )
            for row in rows
        ],
    )
    printer.line()
    printer.line("By node type:")
    printer.table(
        ["node type", ">count", ">avg ms", ">%", ">cdf %", ">times called"],
        [
            (
                row.node_type,
                str(row.count),
                ms(row.average_ms),
                f"{row.share:.2%}",
                f"{row.cumulated:.2%}",
                str(row.times_called),
            )
            for row in types
        ],
    )
