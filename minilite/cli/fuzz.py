"""``minilite fuzz``: random operators and networks, against another runtime."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minilite.testing.campaign import Progress, Report
    from minilite.testing.failures import Failure, Target
    from minilite.testing.faults import Confirmation

MISMATCH = 1


def command(
    op: Annotated[
        list[str] | None, typer.Option(help="An operator to fuzz; may be repeated.", show_default="all")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="A variant (int8 ...); may be repeated.", show_default="all")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Fuzz for so long.")] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Examples of each operator and variant.", show_default="100")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same examples.")] = 0,
    against: Annotated[
        str,
        typer.Option(
            help="The oracle: litert-ref, litert, litert-builtin, tflite-runtime (its reference kernels), "
            "tflite-runtime-default, numpy, or a class."
        ),
    ] = "litert-ref",
    candidate: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE.CLASS",
            help="A runtime to test instead of minilite: any class with the interface of Interpreter.",
        ),
    ] = None,
    python: Annotated[str | None, typer.Option(help="The Python that has the oracle.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    out: Annotated[Path, typer.Option(help="Where failures are saved.")] = Path("fuzz-failures"),
    replay: Annotated[Path | None, typer.Option(help="Run a saved failure again.")] = None,
    known_faults: Annotated[
        bool, typer.Option("--known-faults", help="Show that runtimes still have their declared faults.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run random models on minilite and an oracle, and save where they differ.

    Exit code 1 if something differs, 2 if a runtime is missing.
    """
    if replay is not None:
        _replay(replay, python, as_json)
        return
    _require_hypothesis()
    targets = _targets(op or [], variant or [])
    if known_faults:
        _check_faults(targets, examples or 200, seed, out, python, as_json)
        return
    from minilite.testing import campaign

    if seconds is not None and seconds <= 0:
        raise typer.BadParameter("--seconds 0 would draw nothing: give it some time, or --examples")
    if seconds is None and examples is None:
        examples = 100
    settings = campaign.Settings(targets, examples, seconds, seed, against, candidate, python, jobs, out)
    with _shown(settings) as progress:
        report = campaign.run(settings, progress)
    _print_report(report, settings, as_json)
    if report.interrupted:
        raise KeyboardInterrupt
    if report.failed:
        raise typer.Exit(MISMATCH)


def _require_hypothesis() -> None:
    from importlib.util import find_spec

    from minilite.errors import BackendError

    if find_spec("hypothesis") is None:
        raise BackendError(
            "fuzzing draws its examples with hypothesis, which is not installed: install minilite[fuzz]",
            rule="hypothesis",
        )


def _targets(operators: Sequence[str], variants: Sequence[str]) -> tuple[Target, ...]:
    from minilite.testing import campaign, cases

    known = cases.operators()
    for name in operators:
        if name not in known:
            close = get_close_matches(name.upper(), known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise typer.BadParameter(f"--op {name}{hint}: there are strategies for {', '.join(known)}")
    targets = campaign.all_targets(operators, variants)
    if not targets:
        has = "; ".join(f"{name}: {', '.join(cases.variants(name))}" for name in operators or known)
        raise typer.BadParameter(f"--variant {', '.join(variants)}: none of them has it ({has})")
    return targets


def _replay(folder: Path, python: str | None, as_json: bool) -> None:
    from minilite.cli._console import Printer, print_json
    from minilite.testing import failures
    from minilite.testing.judge import Judge

    failure, case = failures.load(folder)
    with Judge(failure.against, failure.candidate, python) as judge:
        outcome = judge.without_faults(case)
    if as_json:
        print_json({**_failure_data(failure), "now": outcome.kind, "message_now": outcome.message})
    else:
        printer = Printer()
        printer.line(f"{failure.operator} {failure.variant}: {failure.case}")
        printer.line(f"saved as {failure.kind}: {failure.message}")
        printer.line(f"now {outcome.kind}" + (f": {outcome.message}" if outcome.message else ""))
    if outcome.failed:
        raise typer.Exit(MISMATCH)


def _check_faults(
    targets: Sequence[Target], examples: int, seed: int, out: Path, python: str | None, as_json: bool
) -> None:
    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.testing import cases, faults
    from minilite.testing.oracle import is_available

    operators = {target.operator for target in targets}
    declared = [fault for fault in cases.known_faults() if fault.operator in operators]
    there = [fault for fault in declared if is_available(fault.runtime)]
    with progress_bar() as show:
        found = faults.check(there, examples=examples, seed=seed, folder=out, python=python, progress=show)
    missing = sorted({fault.runtime for fault in declared} - {fault.runtime for fault in there})
    if as_json:
        print_json({"faults": [_confirmation_data(item) for item in found], "not_installed": missing})
    else:
        printer = Printer()
        for item in found:
            fault, failure = item.fault, item.failure
            printer.line(f"{fault.operator} {', '.join(fault.variants)} on {fault.runtime}: {fault.reason}")
            if failure is None:
                printer.line(f"  NOT SEEN in {examples} examples: is it still so?")
            else:
                printer.line(f"  {failure.kind}: {failure.message}")
                printer.line(f"  {failure.replay}")
        for runtime in missing:
            printer.line(f"{runtime} is not installed: its faults were not looked at")
        seen = sum(item.failure is not None for item in found)
        printer.line(f"{seen} of {len(found)} declared faults seen")
    if any(item.failure is None for item in found):
        raise typer.Exit(MISMATCH)


@contextmanager
def _shown(settings: Any) -> Iterator[Progress]:
    """A progress bar with what is found so far."""
    from time import monotonic

    from minilite.cli._console import progress_bar

    start = monotonic()
    with progress_bar() as show:

        def progress(report: Report, target: Target) -> None:
            total, elapsed = report.total, monotonic() - start
            words = (
                f"{total.examples:,} examples, {total.examples / max(elapsed, 0.1):.0f}/s, "
                f"{total.mismatch} mismatches: {target}"
            )
            if settings.seconds is not None:
                show(int(min(elapsed, settings.seconds)), int(settings.seconds), words)
            else:
                show(total.examples, settings.examples * len(settings.targets), words)

        yield progress


def _print_report(report: Report, settings: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from minilite.cli._console import Printer, print_json

    if as_json:
        rows = [
            {"operator": target.operator, "variant": target.variant, **asdict(tally)}
            for target, tally in report.tallies.items()
        ]
        print_json(
            {
                "against": settings.against,
                "candidate": settings.candidate,
                "seed": settings.seed,
                "seconds": report.seconds,
                "targets": rows,
                "total": asdict(report.total),
                "failures": [_failure_data(failure) for failure in report.failures],
            }
        )
        return
    printer = Printer()
    counts = ("examples", "mismatch", "near", "refusal", "crash", "known")
    printer.table(
        ["operator", "variant", *(f">{name}" for name in counts)],
        [
            (target.operator, target.variant, *(str(getattr(tally, name) or "") for name in counts))
            for target, tally in report.tallies.items()
        ],
    )
    for failure in report.failures:
        printer.line()
        printer.line(f"{failure.operator} {failure.variant}, {failure.kind}: {failure.message}")
        if failure.case:
            printer.line(f"  {failure.case}")
        if failure.folder:
            printer.line(f"  {failure.replay}")
    total = report.total
    printer.line()
    printer.line(
        f"{total.examples:,} examples in {report.seconds:.0f} s against {settings.against}: "
        f"{total.mismatch} mismatches, {total.refusal} refusals, {total.crash} crashes, "
        f"{total.known} known faults (seed {settings.seed})"
    )


def _failure_data(failure: Failure) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(failure), "replay": failure.replay}


def _confirmation_data(item: Confirmation) -> dict[str, Any]:
    fault, failure = item.fault, item.failure
    return {
        "operator": fault.operator,
        "variants": fault.variants,
        "runtime": fault.runtime,
        "reason": fault.reason,
        "seen": failure is not None,
        "example": None if failure is None else _failure_data(failure),
    }
