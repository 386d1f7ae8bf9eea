"""Do runtimes still have the faults that strategies declare of them?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minilite.testing import failures, fuzzing
from minilite.testing.cases import KnownFault
from minilite.testing.failures import Failure, Target
from minilite.testing.judge import Judge
from minilite.testing.oracle import RUNTIMES


@dataclass(frozen=True)
class Confirmation:
    """A declared fault, and a case in which it shows.

    Attributes
    ----------
    failure:
        The saved case; None if no case differed, so that the declaration may be out of date.
    """

    fault: KnownFault
    failure: Failure | None


def check(
    faults: Sequence[KnownFault],
    *,
    examples: int,
    seed: int,
    folder: Path,
    python: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, words: None,
) -> list[Confirmation]:
    """Look for a case of each fault in which the runtime differs, refuses or crashes.

    Raises
    ------
    BackendError
        A runtime is missing.
    """
    confirmations: list[Confirmation] = []
    for runtime in RUNTIMES:
        concerned = [fault for fault in faults if fault.runtime == runtime]
        if not concerned:
            continue
        with Judge(runtime, python=python) as judge:
            for fault in concerned:
                progress(len(confirmations), len(faults), f"{fault.operator} on {runtime}")
                confirmations.append(_confirmed(fault, judge, examples, seed, folder))
    return confirmations


def _confirmed(fault: KnownFault, judge: Judge, examples: int, seed: int, folder: Path) -> Confirmation:
    found = fuzzing.confirm(fault, judge, examples, seed)
    if found is None:
        return Confirmation(fault, None)
    variant, case, outcome = found
    saved = failures.saved_case(Target(fault.operator, variant), case)
    return Confirmation(fault, failures.save(folder, saved, outcome, against=fault.runtime, seed=seed))
