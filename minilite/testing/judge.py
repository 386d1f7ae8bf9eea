"""A case run by everyone who can, and what to make of their answers."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal

import numpy as np

from minilite.errors import MiniliteError
from minilite.executor import Executor, create_executor, numba_is_available
from minilite.graph import Array, Graph
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing import intermediates, parity
from minilite.testing.cases import Case, KnownFault, fault_of
from minilite.testing.oracle import LOOSE, Answer, Oracle

Kind = Literal["agrees", "near", "known", "refusal", "crash", "mismatch"]

_KEEPS_ALL = ("litert-ref",)
"""Runtimes whose intermediate values can be read, and are right."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a case.

    Attributes
    ----------
    kind:
        ``"mismatch"``: who is tested gives another result than the oracle, refuses what the oracle
        runs, or differs from itself. Without a candidate that is minilite. ``"refusal"``, ``"crash"``:
        someone could not run it, so that nothing was compared. ``"known"``: a declared fault of the
        oracle. ``"near"``: within a quantization step of kernels that are not reference kernels.
    message:
        What happened, with figures.
    results:
        Outputs by who made them.
    """

    kind: Kind
    message: str = ""
    results: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether there is something to mend."""
        return self.kind == "mismatch"


class Judge:
    """Runs cases on minilite's two backends, an oracle, and a candidate.

    Parameters
    ----------
    against:
        The oracle: one of ``oracle.RUNTIMES``, the dotted name of a class, or ``"numpy"`` for minilite's
        NumPy reference.
    candidate:
        The dotted name of a class to test instead of minilite.
    python:
        The Python that runs the oracle.
    """

    def __init__(self, against: str = "litert-ref", candidate: str | None = None, python: str | None = None):
        self.against = against
        self.oracle = None if against == "numpy" else Oracle(against, python)
        self.candidate = None if candidate is None else Oracle(candidate)
        self._others: dict[str, Oracle] = {}

    def __enter__(self) -> Judge:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the runtimes, so that a missing one is found out now (``BackendError``)."""
        for runtime in (self.oracle, self.candidate):
            if runtime is not None:
                runtime.start()

    def close(self) -> None:
        """End their processes."""
        for runtime in (self.oracle, self.candidate, *self._others.values()):
            if runtime is not None:
                runtime.close()

    def __call__(self, case: Case, operator: str, variant: str) -> Outcome:
        """Run a case that was drawn for an operator and a variant, and compare."""
        return self._judge(case, fault_of(case, operator, variant, self.against))

    def without_faults(self, case: Case) -> Outcome:
        """The same with nothing believed of what is declared about the oracle."""
        return self._judge(case, None)

    def _judge(self, case: Case, fault: KnownFault | None) -> Outcome:
        reference = _answer(lambda: _run(ReferenceExecutor(prepare(case.graph)), case.inputs))
        plan = None
        if self.candidate is None and numba_is_available():
            plan = _answer(lambda: _run_plan(case.prepared, case.inputs))
        results = {"numpy": reference.outputs}
        if plan is not None:
            results["numba"] = plan.outputs
        own = _own_fault(case, plan, reference)
        if own is not None:
            return Outcome("mismatch", own, results)
        right, against = reference, self.against
        if self.oracle is not None:
            oracle = self.oracle if fault is None else self._instead_of(fault)
            if fault is not None and oracle is None:
                return Outcome("known", fault.reason, results)
            assert oracle is not None
            right, against = _typed(oracle.run(case.model, case.inputs), case), oracle.runtime
            results[against] = right.outputs
        elif self.candidate is None:
            kind: Kind = "agrees" if reference.status == "ran" else "refusal"
            return Outcome(kind, reference.message, results)
        tested, name = reference, "minilite"
        if self.candidate is not None:
            tested, name = _typed(self.candidate.run(case.model, case.inputs), case), self.candidate.runtime
            results[name] = tested.outputs
        kind, message = self._compare(case, (name, tested), (against, right))
        return Outcome(kind, message, results)

    def _instead_of(self, fault: KnownFault) -> Oracle | None:
        """The oracle to ask where this fault lies, if there is one."""
        if fault.instead is None:
            return None
        if fault.instead not in self._others:
            self._others[fault.instead] = Oracle(fault.instead)
        return self._others[fault.instead]

    def _compare(
        self, case: Case, given: tuple[str, Answer], expected: tuple[str, Answer]
    ) -> tuple[Kind, str]:
        """One answer against the right one; of a network, that every operator is right for what it got."""
        (name, tested), (against, right) = given, expected
        for who, answer in (expected, given):
            if answer.status == "died":
                return "crash", f"{who} {answer.message}"
        if right.status == "refused":
            return "refusal", f"{against} refuses: {right.message}"
        if tested.status == "refused":
            kind: Kind = "mismatch" if name == "minilite" else "refusal"
            return kind, f"{name} refuses what {against} runs: {tested.message}"
        message = disagreement(case, tested.outputs, right.outputs)
        if message is None and case.is_network and self.oracle is not None and against in _KEEPS_ALL:
            message = intermediates.oracle_fault(case.prepared, case.model, case.inputs, self.oracle)
        if message is None:
            return "agrees", ""
        near = against in LOOSE and is_near(tested.outputs, right.outputs)
        return "near" if near else "mismatch", f"{name} against {against}, {message}"


def disagreement(case: Case, given: Sequence[Array], expected: Sequence[Array]) -> str | None:
    """Where outputs first leave the operator's tolerance, in words; None if they do not."""
    if len(given) != len(expected):
        return f"{len(given)} outputs instead of {len(expected)}"
    if case.is_network:
        found_in = (compare_network_output(a, b) for a, b in zip(given, expected, strict=True))
        return next((fault for fault in found_in if fault is not None), None)
    for number, found in enumerate(parity.compare_outputs(case.prepared, case.inputs, given, expected)):
        if not found.agrees:
            return f"output {number}: {found.fault}"
    return None


def compare_network_output(given: Array, expected: Array) -> str | None:
    """What is wrong with a network's output: integers have to be equal, floats near."""
    return parity.compare(given, expected, parity.near(expected)).fault


def is_near(given: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Whether 8- and 16-bit integers are at most one apart, and floats little beside their magnitude."""
    for a, b in zip(given, expected, strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype) or a.dtype.kind not in "iuf":
            return False
        if a.dtype.kind in "iu" and a.dtype.itemsize > 2 and not np.array_equal(a, b):
            return False
        allowed = 1.0 if a.dtype.kind in "iu" else parity.near(b)
        if not parity.compare(a, b, allowed).agrees:
            return False
    return True


def _own_fault(case: Case, plan: Answer | None, reference: Answer) -> str | None:
    """Where minilite's two backends differ from each other, or fail in a way nobody planned."""
    for who, answer in (("reference", reference), ("plan", plan)):
        if answer is not None and answer.status == "died":
            return f"minilite's {who} fails: {answer.message}"
    if plan is None:
        return None
    if plan.status != reference.status:
        return f"one of minilite's backends refuses: {plan.message}{reference.message}"
    if plan.status == "ran":
        found = disagreement(case, plan.outputs, reference.outputs)
        if found is not None:
            return f"minilite's plan against its reference, {found}"
        if case.is_network:
            return intermediates.own_fault(case.prepared, case.inputs, plan.outputs)
    return None


def _answer(run: Callable[[], tuple[Array, ...]]) -> Answer:
    try:
        return Answer("ran", run())
    except MiniliteError as error:
        # An error that wraps one nobody planned is a fault of minilite's, not a refusal.
        cause = error.__cause__
        planned = cause is None or isinstance(cause, (MiniliteError, MemoryError))
        return Answer("refused" if planned else "died", message=f"{type(error).__name__}: {error}")
    except Exception as error:
        return Answer("died", message=f"{type(error).__name__}: {error}")


def _run(executor: Executor, inputs: Sequence[Array]) -> tuple[Array, ...]:
    for index, value in zip(executor.subgraph.inputs, inputs, strict=True):
        executor.view(index)[...] = value
    executor.run()
    return tuple(executor.view(index).copy() for index in executor.subgraph.outputs)


def _run_plan(prepared: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """What the Numba backend makes of it."""
    # Threads share a run now and then: the choice belongs to the case, so that it fails again.
    threads = 2 if zlib.crc32(repr([value.shape for value in inputs]).encode()) % 4 == 0 else 1
    executor = create_executor(prepared, backend="numba", threads=threads)
    try:
        return _run(executor, inputs)
    finally:
        executor.close()


def _typed(answer: Answer, case: Case) -> Answer:
    """The answer with types that NumPy does not have (bfloat16) as minilite holds them."""
    if all(value.dtype.kind != "V" for value in answer.outputs):
        return answer
    tensors = [case.graph.main.tensors[index] for index in case.graph.main.outputs]
    outputs = tuple(
        value.view(tensor.dtype) if value.dtype.kind == "V" else value
        for value, tensor in zip(answer.outputs, tensors, strict=True)
    )
    return replace(answer, outputs=outputs)
