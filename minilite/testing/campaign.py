"""Fuzzing many operators, in processes that may die: the parent deals rounds, and counts."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from minilite.errors import BackendError
from minilite.testing import failures
from minilite.testing.cases import Case
from minilite.testing.failures import Failure, SavedCase, Target, saved_case
from minilite.testing.fuzzing import Round, Tally
from minilite.testing.judge import Judge, Outcome

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

SILENCE = 180.0
"""Seconds without a word after which a worker counts as hung; compiling a kernel takes a few."""

ROUND = 50
"""Examples of a target before the next one's turn, where time is what ends the campaign."""


@dataclass(frozen=True)
class Settings:
    """What to fuzz, and how.

    Attributes
    ----------
    targets:
        Operators and variants.
    examples:
        Of each target; None: until ``seconds`` are over.
    seconds:
        From the start of the first round.
    against, candidate, python:
        See ``Judge``.
    jobs:
        Processes that draw and judge.
    folder:
        Where failures are saved; made when there is one.
    """

    targets: tuple[Target, ...]
    examples: int | None = 100
    seconds: float | None = None
    seed: int = 0
    against: str = "litert-ref"
    candidate: str | None = None
    python: str | None = None
    jobs: int = 1
    folder: Path = Path("fuzz-failures")


@dataclass
class Report:
    """What came of a campaign: counts by target, and what was saved."""

    tallies: dict[Target, Tally]
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def total(self) -> Tally:
        """All counts together."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(tally)
        return total

    @property
    def failed(self) -> bool:
        """Whether there was a mismatch."""
        return any(failure.kind == "mismatch" for failure in self.failures)


Progress = Callable[[Report, Target], None]
"""Told of the counts so far, and of the target that was just reported."""


@dataclass(frozen=True)
class _Work:
    target: Target
    examples: int
    seed: int
    deadline: float


def run(settings: Settings, progress: Progress | None = None) -> Report:
    """Fuzz until all examples are drawn or the time is over.

    Raises
    ------
    BackendError
        A runtime is missing.
    """
    with Judge(settings.against, settings.candidate, settings.python):
        pass  # Missing runtimes are the user's business, not a worker's.
    report = Report({target: Tally() for target in settings.targets})
    start = monotonic()
    with tempfile.TemporaryDirectory(prefix="minilite-fuzz-") as scratch:
        crew = _Crew(settings, report, Path(scratch), progress)
        try:
            crew.work()
        except KeyboardInterrupt:
            report.interrupted = True  # What was found so far is worth having.
        finally:
            crew.end()
    report.seconds = monotonic() - start
    return report


class _Crew:
    """The workers, and the rounds they have still to do."""

    def __init__(self, settings: Settings, report: Report, scratch: Path, progress: Progress | None) -> None:
        self.settings, self.report, self.scratch, self.progress = settings, report, scratch, progress
        self.deadline = monotonic() + (float("inf") if settings.seconds is None else settings.seconds)
        self.rounds = deque(self._rounds(0))
        self.given_up: set[Target] = set()
        self.number = 0
        self.workers: list[_Worker] = []

    def _rounds(self, number: int) -> list[_Work]:
        settings = self.settings
        if settings.examples is not None and number:
            return []
        examples = ROUND if settings.examples is None else settings.examples
        return [_Work(t, examples, settings.seed + number, self.deadline) for t in settings.targets]

    def work(self) -> None:
        count = min(max(1, self.settings.jobs), max(1, len(self.rounds)))
        self.workers = [_Worker(self.settings, self.scratch / str(i)) for i in range(count)]
        while busy := [worker for worker in self.workers if worker.work is not None or self._deal(worker)]:
            heard = wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                if worker.connection in heard:
                    self._hear(worker)
                elif monotonic() - worker.heard > SILENCE:
                    worker.process.kill()
                    self._lost(worker, f"hung for more than {SILENCE:g} s")

    def end(self) -> None:
        for worker in self.workers:
            worker.end()

    def _deal(self, worker: _Worker) -> bool:
        """Give a worker its next round; False if there is none."""
        while monotonic() < self.deadline:
            if not self.rounds:
                self.number += 1
                self.rounds.extend(w for w in self._rounds(self.number) if w.target not in self.given_up)
                if not self.rounds:
                    return False
            work = self.rounds.popleft()
            if work.target not in self.given_up:
                worker.give(work)
                return True
        return False

    def _hear(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(10)
            self._lost(worker, f"died with exit code {worker.process.exitcode}")
            return
        worker.heard = monotonic()
        assert worker.work is not None
        target = worker.work.target
        if isinstance(message, BackendError):
            raise message
        tally, failures_, done = message
        self.report.tallies[target].add(tally)
        for failure in failures_:
            known = [(f.operator, f.variant, f.kind) for f in self.report.failures]
            if (failure.operator, failure.variant, failure.kind) not in known:
                self.report.failures.append(failure)
            if failure.kind == "mismatch":
                self.given_up.add(target)
        if done:
            worker.work = None
        if self.progress is not None:
            self.progress(self.report, target)

    def _lost(self, worker: _Worker, what: str) -> None:
        """A worker is gone: what it was at is a failure of minilite's, which runs in it."""
        assert worker.work is not None
        target = worker.work.target
        tally = self.report.tallies[target]
        tally.examples += 1
        tally.mismatch += 1
        self.given_up.add(target)
        try:
            saved = pickle.loads(worker.desk.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            saved = SavedCase(target, b"", (), "the first case")
        outcome = Outcome("mismatch", f"the process that ran minilite {what}")
        settings = self.settings
        self.report.failures.append(
            failures.save(
                settings.folder,
                saved,
                outcome,
                against=settings.against,
                candidate=settings.candidate,
                seed=worker.work.seed,
            )
        )
        worker.end()
        self.workers[self.workers.index(worker)] = _Worker(settings, worker.desk)


class _Worker:
    """A process that does rounds; ``desk`` is the file in which it keeps the case it is at."""

    def __init__(self, settings: Settings, desk: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.desk = desk
        self.connection: Connection[Any, Any]
        self.connection, other = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(other, settings, desk), daemon=True)
        self.process.start()
        other.close()
        self.work: _Work | None = None
        self.heard = monotonic()

    def give(self, work: _Work) -> None:
        self.work, self.heard = work, monotonic()
        self.connection.send((work.target, work.examples, work.seed, work.deadline - monotonic()))

    def end(self) -> None:
        self.connection.close()  # Its other end reads no more work, and its oracles end with it.
        self.process.join(0.5)
        self.process.kill()
        self.process.join()


def _serve(connection: Any, settings: Settings, desk: Path) -> None:
    """What a worker does: rounds, until the parent has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process.
    shown: set[tuple[Target, str]] = set()
    with Judge(settings.against, settings.candidate, settings.python) as judge:
        while True:
            try:
                target, examples, seed, seconds = connection.recv()
            except (EOFError, OSError):
                return
            try:
                _round(connection, judge, settings, desk, (target, examples, seed, seconds), shown)
            except BrokenPipeError:
                return


def _round(
    connection: Any,
    judge: Judge,
    settings: Settings,
    desk: Path,
    work: tuple[Target, int, int, float],
    shown: set[tuple[Target, str]],
) -> None:
    target, examples, seed, seconds = work
    told, reported = Tally(), monotonic()

    def observe(case: Case) -> None:
        nonlocal told, reported
        desk.write_bytes(pickle.dumps(saved_case(target, case)))
        if monotonic() - reported > 1:
            connection.send((_since(round_.tally, told), [], False))
            told, reported = Tally(**vars(round_.tally)), monotonic()

    round_ = Round(target, judge, monotonic() + seconds, observe)
    round_.run(examples, seed)
    found = [] if round_.failure is None else [round_.failure]
    # Of what is merely curious, one example is enough.
    found += [pair for kind, pair in round_.curious.items() if (target, kind) not in shown]
    shown.update((target, kind) for kind in round_.curious)
    saved = [
        failures.save(
            settings.folder,
            saved_case(target, case),
            outcome,
            against=settings.against,
            candidate=settings.candidate,
            seed=seed,
        )
        for case, outcome in found
    ]
    if round_.error is not None:
        saved.append(_broken(target, round_.error, settings, seed))
        round_.tally.mismatch += 1
    connection.send((_since(round_.tally, told), saved, True))


def _broken(target: Target, error: Exception, settings: Settings, seed: int) -> Failure:
    """A strategy that raises, or does not draw the same twice, is to be mended, too."""
    return Failure(
        operator=target.operator,
        variant=target.variant,
        kind="mismatch",
        message=f"the strategy fails: {type(error).__name__}: {error}",
        against=settings.against,
        candidate=settings.candidate,
        case="",
        folder="",
        seed=seed,
    )


def _since(now: Tally, before: Tally) -> Tally:
    return Tally(**{name: number - getattr(before, name) for name, number in vars(now).items()})


def all_targets(operators: Sequence[str] = (), variants: Sequence[str] = ()) -> tuple[Target, ...]:
    """The targets there are strategies for, of these operators and variants if any are named."""
    from minilite.testing import cases  # noqa: PLC0415

    return tuple(
        Target(operator, variant)
        for operator in cases.operators()
        if not operators or operator in operators
        for variant in cases.variants(operator)
        if not variants or variant in variants
    )
