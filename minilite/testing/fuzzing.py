"""Fuzzing an operator: cases drawn one after the other, judged, and a failure made small."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from minilite.testing import cases
from minilite.testing.cases import Case, KnownFault
from minilite.testing.failures import Target
from minilite.testing.judge import Judge, Outcome

SHRINKING = 30.0
"""Seconds after which a failure is small enough, however small it is."""


@dataclass
class Tally:
    """How many cases came out how; see ``judge.Outcome``."""

    examples: int = 0
    mismatch: int = 0
    near: int = 0
    refusal: int = 0
    crash: int = 0
    known: int = 0

    def count(self, outcome: Outcome) -> None:
        """Add one case."""
        self.examples += 1
        if outcome.kind != "agrees":
            setattr(self, outcome.kind, getattr(self, outcome.kind) + 1)

    def add(self, other: Tally) -> None:
        """Add the counts of another."""
        for name, number in asdict(other).items():
            setattr(self, name, getattr(self, name) + number)


class Found(Exception):  # noqa: N818 - an event, and hypothesis shrinks what is raised
    """A case that fails."""


class TimeIsUp(BaseException):
    """Ends a round of hypothesis, which lets it through because it is no ``Exception``."""


Observer = Callable[[Case], None]
"""Told of each case before it runs."""


@dataclass
class Round:
    """Some examples of one target.

    After ``run``, ``tally`` holds the counts, ``failure`` the smallest failing case, and ``curious`` the
    first case of each other kind that someone may want to see.
    """

    target: Target
    judge: Judge
    deadline: float = float("inf")
    observer: Observer | None = None

    def __post_init__(self) -> None:
        self.tally = Tally()
        self.failure: tuple[Case, Outcome] | None = None
        self.curious: dict[str, tuple[Case, Outcome]] = {}
        self.error: Exception | None = None
        self._patience = float("inf")

    def run(self, examples: int, seed: int) -> None:
        """Draw and judge so many cases, fewer once something fails or the deadline has passed."""
        strategy = cases.cases(self.target.operator, self.target.variant)
        try:
            draw_cases(strategy, self._examine, examples, mixed(seed, self.target))
        except (Found, TimeIsUp):
            pass
        except Exception as error:
            # The strategy itself, or hypothesis: cases that differ from run to run.
            if self.failure is None:
                self.error = error

    def _examine(self, case: Case) -> None:
        now = monotonic()
        if now > min(self.deadline, self._patience):
            raise TimeIsUp
        if self.observer is not None:
            self.observer(case)
        outcome = self.judge(case, self.target.operator, self.target.variant)
        if self.failure is None:  # What hypothesis tries in order to shrink is no example.
            self.tally.count(outcome)
            if outcome.kind in ("refusal", "crash"):
                self.curious.setdefault(outcome.kind, (case, outcome))
        if outcome.failed:
            if self.failure is None:
                self._patience = now + SHRINKING
                self.deadline = float("inf")
            if self.failure is None or _size(case) <= _size(self.failure[0]):
                self.failure = case, outcome
            raise Found


def confirm(fault: KnownFault, judge: Judge, examples: int, seed: int) -> tuple[str, Case, Outcome] | None:
    """A case, and its variant, in which a runtime still has the declared fault; None if none was found.

    Cases that have other faults, too, say less: they are taken where no purer one was found.
    """
    others = [f for f in cases.applying_faults(fault.operator, fault.runtime) if f is not fault]
    for variant in fault.variants:
        for pure in (True, False) if others else (False,):
            found = _faulty_case(fault, variant, others if pure else [], judge, examples, seed)
            if found is not None:
                return (variant, *found)
    return None


def _faulty_case(
    fault: KnownFault,
    variant: str,
    others: Sequence[KnownFault],
    judge: Judge,
    examples: int,
    seed: int,
) -> tuple[Case, Outcome] | None:
    found: list[tuple[Case, Outcome]] = []

    def examine(case: Case) -> None:
        hypothesis.assume(fault.concerns(case))
        hypothesis.assume(not any(variant in f.variants and f.concerns(case) for f in others))
        outcome = judge.without_faults(case)
        if outcome.kind in ("mismatch", "refusal", "crash"):
            found.append((case, outcome))
            raise Found

    strategy = cases.cases(fault.operator, variant)
    try:
        draw_cases(strategy, examine, examples, mixed(seed, Target(fault.operator, variant)), shrink=False)
    except (Found, hypothesis.errors.Unsatisfiable):
        pass
    except hypothesis.errors.Flaky:
        # A fault that reads memory nobody wrote comes and goes: hypothesis tries what failed once more.
        assert found
    return found[0] if found else None


def draw_cases(
    strategy: st.SearchStrategy[Case],
    examine: Callable[[Case], None],
    examples: int,
    seed: int,
    *,
    shrink: bool = True,
) -> None:
    """Call ``examine`` with cases; what it raises ends the round, after smaller cases that raise it too."""
    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
    )

    def property_(case: Any) -> None:
        examine(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hypothesis.errors.HypothesisWarning)
        hypothesis.seed(seed)(settings(hypothesis.given(strategy)(property_)))()


def mixed(seed: int, target: Target) -> int:
    """A seed of the target's own."""
    return zlib.crc32(f"{seed} {target}".encode())


def _size(case: Case) -> int:
    return sum(tensor.size for tensor in case.graph.main.tensors)
