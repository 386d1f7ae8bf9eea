"""An operator by itself, on what another run fed it: the error that it adds, without what it inherited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from minilite import ops
from minilite.debug.difference import Difference, difference
from minilite.executor import Executor
from minilite.graph import Array, Node, Tensor
from minilite.ops import Tolerance, rounding, ulps
from minilite.testing import parity
from minilite.testing.parity import Alone


@dataclass(frozen=True)
class Local:
    """One output of an operator that ran alone, beside the output of the run that fed it.

    Attributes
    ----------
    difference:
        How far they lie apart.
    tolerance:
        The operator's own, in words.
    allowed:
        The largest error allowed, where the worst element in proportion to its bound lies.
    error:
        The error there.
    worst:
        Index of that element.
    fault:
        What is wrong, or None.
    needed:
        The tolerance that would have passed, in words.
    """

    difference: Difference
    tolerance: str
    allowed: float
    error: float
    worst: tuple[int, ...]
    fault: str | None
    needed: str

    @property
    def agrees(self) -> bool:
        """Whether the operator keeps its tolerance."""
        return self.fault is None


Expect = Callable[[Alone], Sequence[Array]]
"""What the outputs of an operator that ran alone should be."""


def run_local(
    node: Node,
    value: Callable[[int], Array],
    executor: Executor | None,
    expect: Expect,
    *,
    is_truth: bool = False,
    tolerance: float | None = None,
) -> Iterator[tuple[Tensor, Local]]:
    """Run an operator on values of another run, and judge each output.

    Parameters
    ----------
    value, executor:
        See ``parity.run_alone``.
    expect:
        Gives the right outputs.
    is_truth:
        Whether those were computed in double precision, so that the operator's own roundings count.
    tolerance:
        Allowed in place of the operator's own tolerance.
    """
    alone = parity.run_alone(node, value, executor)
    for tensor, made, right in zip(alone.node.outputs, alone.outputs, expect(alone), strict=True):
        if is_truth and right.dtype == np.float64 and made.dtype == np.float32:
            right = right.astype(np.float32)  # noqa: PLW2901 - the best float32 there is
        yield tensor, judge(alone, made, right, is_truth=is_truth, tolerance=tolerance)


def judge(
    alone: Alone, made: Array, right: Array, *, is_truth: bool = False, tolerance: float | None = None
) -> Local:
    """One output of an operator against the right one."""
    own = tolerance_of(alone.node)
    bound = parity.bound(alone.node, alone.inputs, right) if tolerance is None else tolerance
    if is_truth and tolerance is None and right.dtype.kind == "f":
        bound = np.maximum(bound, _roundings(alone.inputs, right))
    found = parity.compare(made, right, bound)
    measured = difference(made, right)
    return Local(
        difference=measured,
        tolerance=words(own) if tolerance is None else f"{tolerance:g}",
        allowed=found.bound,
        error=found.error,
        worst=found.worst,
        fault=found.fault,
        needed=_needed(own, found.error, found.bound, measured),
    )


def evaluate_in_float64(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    """An operator's reference on these inputs in double precision."""
    op = ops.find(node.operator.name)
    assert op is not None
    wide = [x.astype(np.float64) if x is not None and x.dtype == np.float32 else x for x in inputs]
    with np.errstate(all="ignore"):
        return op.evaluate(node, wide)


def can_be_judged(node: Node, *, is_truth: bool = False) -> bool:
    """Whether an operator's outputs can be made again from its inputs, and have one right value.

    An operator that quantizes floats rounds what double precision and single precision may see on two sides
    of a step.
    """
    return parity.stands_alone(node) and not (is_truth and parity.rounds_floats(node))


def calls_subgraphs(node: Node) -> bool:
    """Whether the operator runs other subgraphs: a loop or a branch, a network by itself."""
    op = ops.find(node.operator.name)
    return op is not None and bool(op.subgraphs(node))


def tolerance_of(node: Node) -> Tolerance:
    """How exact an operator has to be."""
    op = ops.find(node.operator.name)
    assert op is not None
    return op.tolerance(node)


def words(tolerance: Tolerance) -> str:
    """A tolerance as it is written in code."""
    return "exact" if tolerance.kind == "exact" else f"{tolerance.kind}({tolerance.amount:.4g})"


def _needed(own: Tolerance, error: float, bound: float, measured: Difference) -> str:
    """The least tolerance of the operator's kind that allows this error."""
    if measured.fault is not None or not np.isfinite(error):
        return "none"
    if not error:
        return "exact"
    if own.kind in ("rounding", "ulps") and bound > 0 and measured.ulps is not None:
        return words(replace(own, amount=_round_up(own.amount * error / bound)))
    if measured.ulps is not None:
        return words(ulps(measured.ulps.max))
    if measured.steps is not None:
        return words(Tolerance("steps", measured.steps.max))
    return f"{error:.4g}"


def _round_up(value: float) -> float:
    """Four digits, such that what is allowed is not less."""
    digits = 10.0 ** (np.floor(np.log10(value)) - 3)
    return float(np.ceil(value / digits) * digits)


def _roundings(inputs: Sequence[Array | None], right: Array) -> float:
    """What single precision costs an operator that makes each value of few others."""
    floats = [x for x in (*inputs, right) if x is not None and x.dtype.kind == "f"]
    single = [x.astype(np.float32) for x in floats]
    return max((float(rounding(1, 0).bound([x])) for x in single), default=0.0)
