"""Two runs side by side: how far every tensor is off, and which operator made the error.

An operator is judged by itself: it runs on the other side's inputs, and what it makes of them is held to its
own tolerance. What differs beyond that in the whole run is inherited from operators before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minilite.debug.difference import Difference, difference, label_flips
from minilite.debug.local import Local, calls_subgraphs, can_be_judged, evaluate_in_float64, judge, run_local
from minilite.debug.pairing import Method, Pairing, check_inputs, pair
from minilite.debug.planned import plan_fault
from minilite.debug.sides import Progress, Side
from minilite.debug.state import FLOAT64
from minilite.executor import Executor, create_executor
from minilite.graph import Array, Graph, Node, Tensor, TensorType
from minilite.prepare import prepare
from minilite.testing import parity
from minilite.testing.oracle import LOOSE
from minilite.testing.parity import Alone

Verdict = Literal["agrees", "born", "inherited", "unjudged"]


@dataclass(frozen=True)
class Row:
    """One output of one operator.

    Attributes
    ----------
    tensor, other:
        Its numbers on both sides.
    verdict:
        ``"born"``: the operator breaks its tolerance on equal inputs. ``"inherited"``: it does not, but the
        whole run's value is further off than that. ``"agrees"``: neither. ``"unjudged"``: it differs, and
        cannot be run alone (or no tolerance holds between the two sides), so that nobody can say.
    total:
        The two runs' values.
    local:
        The operator on the other side's inputs against the other side's output, or None.
    own:
        For a saved run: what minilite makes now of that run's own inputs, against what it made then.
    """

    operator: int
    name: str
    tensor: int
    other: int
    tensor_name: str
    type: str
    shape: tuple[int, ...]
    verdict: Verdict
    total: Difference
    local: Local | None
    own: Local | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with the operator, in words."""
        for what, local in (("on the other side's inputs", self.local), ("on its own inputs", self.own)):
            if local is not None and local.fault is not None:
                return f"op {self.operator} {self.name} {what}: {local.fault}"
        return None


@dataclass(frozen=True)
class OutputRow:
    """One output of the model: its difference, and how many of its labels flip (of how many)."""

    name: str
    tensor: int
    other: int
    difference: Difference
    flips: tuple[int, int] | None
    fault: str | None


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    Attributes
    ----------
    given, expected:
        Who they are.
    pairing:
        How tensors were paired (see ``Pairing.how``).
    judged:
        Whether there are verdicts: not between types, without a tolerance.
    rows:
        In the order of operators.
    faults:
        What is wrong: nothing, if the two agree.
    notes:
        What has to be known to read the figures.
    """

    given: str
    expected: str
    pairing: str
    judged: bool
    rows: tuple[Row, ...]
    outputs: tuple[OutputRow, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def born(self) -> tuple[Row, ...]:
        """Where errors are made."""
        return tuple(row for row in self.rows if row.verdict == "born")


def compare(
    given: Side,
    expected: Side,
    *,
    method: Method = "auto",
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare two runs of a model, or of two models.

    Parameters
    ----------
    given, expected:
        See ``sides``; ``given`` is judged, ``expected`` is right.
    method:
        See ``pairing.pair``.
    tolerance:
        The largest error allowed instead of the operators' own: steps for integers, absolute for floats.

    Raises
    ------
    PairingError
        There is nothing to compare.
    """
    with Comparer(given, expected, method=method, tolerance=tolerance) as comparer:
        rows: list[Row] = []
        nodes = comparer.nodes()
        for done, node in enumerate(nodes):
            rows += comparer.rows(node)
            if progress is not None:
                progress(done + 1, len(nodes), "comparing")
        return comparer.report(rows)


class Comparer:
    """Two sides, and the means to run operators of the one on values of the other."""

    def __init__(
        self,
        given: Side,
        expected: Side,
        *,
        method: Method = "auto",
        tolerance: float | None = None,
    ) -> None:
        self.given, self.expected, self.tolerance = given, expected, tolerance
        self.pairing: Pairing = pair(given.recording, expected.recording, method)
        check_inputs(self.pairing)
        recording = given.recording
        # Not the recording's graph, which claims that shapes of this run are those of every run.
        shapes = {n: v.shape for n, v in zip(recording.graph.main.inputs, recording.inputs, strict=True)}
        self.graph: Graph = prepare(recording.model, shapes)
        self.is_truth = expected.recording.backend == FLOAT64
        self.same_types = all(map(self.pairing.is_alike, self.pairing.numbers))
        self.judged = self.same_types or tolerance is not None
        self._executor: Executor | None = None
        self._unjudged = False

    def __enter__(self) -> Comparer:
        recording = self.given.recording
        if recording.backend == "numba":
            self._executor = create_executor(self.graph, threads=recording.threads, keep_all=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.close()

    def nodes(self) -> list[Node]:
        """Operators that have an output on both sides."""
        numbers = self.pairing.numbers
        return [
            node
            for node in self.graph.main.nodes()
            if not node.is_folded and any(i in numbers for i in node.operator.outputs)
        ]

    def rows(self, node: Node) -> Iterator[Row]:
        """An operator's outputs, compared."""
        locals_, own = self._local(node), self._own(node)
        for tensor in node.outputs:
            if tensor.index in self.pairing.numbers:
                yield self._row(node, tensor, locals_.get(tensor.index), own.get(tensor.index))

    def _row(self, node: Node, tensor: Tensor, local: Local | None, own: Local | None) -> Row:
        a, b = self.pairing.in_units(tensor.index)
        if self.is_truth and b.dtype == np.float64 and a.dtype == np.float32:
            b = b.astype(np.float32)
        total = difference(a, b)
        return Row(
            operator=node.operator.index,
            name=node.operator.name,
            tensor=tensor.index,
            other=self.pairing.numbers[tensor.index],
            tensor_name=tensor.name,
            type=tensor.type.name,
            shape=a.shape,
            verdict=self._verdict(node, total, local, own),
            total=total,
            local=local,
            own=own,
        )

    def _verdict(self, node: Node, total: Difference, local: Local | None, own: Local | None) -> Verdict:
        judged = [one for one in (local, own) if one is not None]
        if total.equal:
            return "born" if any(not one.agrees for one in judged) else "agrees"
        if not judged or not self.judged:
            self._unjudged = True
            return "unjudged"
        if any(not one.agrees for one in judged):
            return "born"
        allowed = max(one.allowed for one in judged)
        within = total.fault is None and total.absolute.max <= allowed
        return "agrees" if within else "inherited"

    def _local(self, node: Node) -> dict[int, Local]:
        """The operator on the other side's inputs, against what the other side made of them."""
        read = [t.index for t in node.inputs if t is not None and not t.is_constant]
        if self.same_types and calls_subgraphs(node):
            return self._local_of_a_call(node, read)
        known = all(number in self.pairing.numbers for number in (*read, *node.operator.outputs))
        if not known or not can_be_judged(node, is_truth=self.is_truth):
            return {}
        if not self.same_types:
            return self._local_in_units(node)
        if self.is_truth and not self.pairing.same_structure:
            return {}  # Whose operator is to be computed in double precision?
        expect = self._truth if self.is_truth else self._their_outputs
        found = run_local(
            node,
            self.pairing.translated,
            self._executor,
            expect,
            is_truth=self.is_truth,
            tolerance=self.tolerance,
        )
        return {tensor.index: local for tensor, local in found}

    def _local_of_a_call(self, node: Node, read: Sequence[int]) -> dict[int, Local]:
        """A loop or a branch, where both runs gave it the same: its outputs are those of a network."""
        numbers = self.pairing.numbers
        alike = all(n in numbers and difference(*self.pairing.in_units(n)).equal for n in read)
        if self.is_truth or not alike:
            return {}
        found = {}
        for number in (n for n in node.operator.outputs if n in numbers):
            made, right = self.pairing.in_units(number)
            allowed = parity.near(right) if self.tolerance is None else self.tolerance
            found[number] = judge(Alone(node, (), (made,)), made, right, tolerance=allowed)
        return found

    def _truth(self, alone: Alone) -> Sequence[Array]:
        """The other side's operator, with its constants, on these inputs in double precision."""
        theirs = self.expected.recording.node(alone.node.operator.index)
        inputs = tuple(
            t.data if t is not None and t.data is not None else value
            for t, value in zip(theirs.inputs, alone.inputs, strict=True)
        )
        return evaluate_in_float64(alone.node, inputs)

    def _their_outputs(self, alone: Alone) -> Sequence[Array]:
        return [self.pairing.translated(tensor.index) for tensor in alone.node.outputs]

    def _local_in_units(self, node: Node) -> dict[int, Local]:
        """The same between types: what is made and what is right become real numbers."""
        alone = parity.run_alone(node, self.pairing.translated, self._executor)
        found = {}
        for tensor, made in zip(alone.node.outputs, alone.outputs, strict=True):
            ours, theirs = self.pairing.real(tensor.index, made)
            step = self.pairing.step(tensor.index)
            allowed = np.inf if self.tolerance is None else self.tolerance * (step or 1.0)
            found[tensor.index] = judge(alone, ours, theirs, tolerance=allowed)
        return found

    def _own(self, node: Node) -> dict[int, Local]:
        """Of a run that is not of now: what minilite makes now of its inputs, against what it made then."""
        recording = self.given.recording
        read = [t.index for t in node.inputs if t is not None and not t.is_constant]
        known = all(number in recording.tensors for number in (*read, *node.operator.outputs))
        if self.given.live or not known or not can_be_judged(node) or recording.backend == FLOAT64:
            return {}

        def outputs(alone: Alone) -> Sequence[Array]:
            return [recording.value(tensor.index) for tensor in alone.node.outputs]

        found = run_local(node, recording.value, self._executor, outputs, tolerance=self.tolerance)
        return {tensor.index: local for tensor, local in found}

    def report(self, rows: Sequence[Row]) -> Report:
        """All that was found, with the model's outputs and what is wrong."""
        outputs = tuple(self._outputs())
        faults = [row.fault for row in rows if row.verdict == "born" and row.fault is not None]
        end = self.end_fault()
        if end is not None:
            faults.append(end)
        return Report(
            given=f"{self.given.name}: {self.given.about}",
            expected=f"{self.expected.name}: {self.expected.about}",
            pairing=self.pairing.how,
            judged=self.judged,
            rows=tuple(rows),
            outputs=outputs,
            faults=tuple(faults),
            notes=tuple(self.notes()),
        )

    def end_fault(self) -> str | None:
        """What is wrong that no operator shows: the plan, or outputs where there is nothing else."""
        fault = self.plan_fault()
        whole = "none" in (self.given.intermediates, self.expected.intermediates)
        # Of what cannot be judged alone, outputs tell, unless a last bit may have grown to a step on the way.
        whole |= (
            self._unjudged
            and not self.is_truth
            and not any(map(parity.rounds_floats, self.graph.main.nodes()))
        )
        if fault is None and whole:
            fault = next((row.fault for row in self._outputs() if row.fault is not None), None)
        return fault

    def plan_fault(self) -> str | None:
        """Where the plan that joins operators leaves the one that keeps all values; None if it does not."""
        recording = self.given.recording
        if not self.given.live or recording.backend != "numba":
            return None
        return plan_fault(self.graph, recording)

    def notes(self) -> Iterator[str]:
        """What has to be known to read the figures."""
        for side in (self.given, self.expected):
            if side.note:
                yield f"{side.name}: {side.note}"
            if side.intermediates == "none":
                yield f"{side.name} gives no intermediate values: only outputs are compared"
        if not self.judged:
            yield (
                "the two sides hold their values in different types: errors are in real numbers, and no "
                "operator's tolerance holds between them; --tolerance STEPS judges"
            )
        if self.expected.name in LOOSE and self.tolerance is None:
            yield (
                f"{self.expected.name} does not run TFLite's reference kernels, which operators' tolerances "
                "are for: a quantization step or some ULPs are its own way to round; --tolerance allows them"
            )
        if self.is_truth and any(t.type is TensorType.FLOAT32 for t in self.graph.main.tensors):
            yield "float operators may be off by their own roundings, besides their tolerance to TFLite's"

    def _outputs(self) -> Iterator[OutputRow]:
        recording = self.given.recording
        for number in recording.graph.main.outputs:
            if number not in self.pairing.numbers:
                continue
            a, b = self.pairing.in_units(number)
            if a.dtype == np.float32 and b.dtype == np.float64 and self.is_truth:
                b = b.astype(np.float32)
            tensor = recording.tensor(number)
            allowed = parity.near(b) if self.tolerance is None else self.tolerance
            yield OutputRow(
                name=tensor.name,
                tensor=number,
                other=self.pairing.numbers[number],
                difference=difference(a, b),
                flips=label_flips(a, b, tensor),
                fault=self._output_fault(tensor, a, b, allowed),
            )

    def _output_fault(self, tensor: Tensor, a: Array, b: Array, allowed: float) -> str | None:
        if not self.judged:
            return None
        found = parity.compare(a, b, allowed)
        return None if found.fault is None else f"output {tensor}: {found.fault}"
