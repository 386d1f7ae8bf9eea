"""Do two results of an operator agree? Judged by the operator's own tolerance, and answered with figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite import ops
from minilite.graph import Array, Graph


@dataclass(frozen=True)
class Comparison:
    """One output beside what it should be.

    Attributes
    ----------
    fault:
        What is wrong, or None.
    error:
        The largest absolute difference; infinite where one side is not a number and the other is.
    bound:
        What is allowed at the place of the largest difference in proportion to its bound.
    worst:
        Index of that place.
    """

    fault: str | None
    error: float = 0.0
    bound: float = 0.0
    worst: tuple[int, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the output is within the tolerance."""
        return self.fault is None


def compare(given: Array, expected: Array, bound: Array | float) -> Comparison:
    """An output against the right one; NaN agrees with NaN, an infinity with itself.

    Parameters
    ----------
    bound:
        The largest absolute difference allowed, for all elements or for each.
    """
    if (given.shape, given.dtype) != (expected.shape, expected.dtype):
        return Comparison(f"{given.dtype} {given.shape} instead of {expected.dtype} {expected.shape}")
    if given.dtype.kind not in "biufc":
        same = given.tolist() == expected.tolist()
        return Comparison(None if same else "other strings")
    if not given.size:
        return Comparison(None)
    wide = np.complex128 if given.dtype.kind == "c" else np.float64
    if given.dtype.itemsize == 8 and given.dtype.kind in "iu":  # float64 cannot tell all of these apart
        difference = np.where(given == expected, 0.0, np.maximum(abs(given.astype(wide) - expected), 1.0))
    else:
        with np.errstate(all="ignore"):
            difference = abs(given.astype(wide) - expected.astype(wide))
        alike = (given == expected) | ((given != given) & (expected != expected))  # noqa: PLR0124 - NaN
        difference = np.where(alike, 0.0, np.where(np.isnan(difference), np.inf, difference))
    allowed = np.broadcast_to(np.nan_to_num(np.asarray(bound, np.float64)), difference.shape)
    excess = np.where(difference == 0, 0.0, difference / np.maximum(allowed, 1e-300))
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(excess), difference.shape))
    error, limit = float(difference[worst]), float(allowed[worst])
    fault = None
    if error > limit:
        count = int(np.count_nonzero(difference > allowed))
        fault = (
            f"{given[worst]!r} instead of {expected[worst]!r} at {worst}: off by {error:.6g}, allowed "
            f"{limit:.6g}; {count} of {given.size} elements are off"
        )
    return Comparison(fault, error, limit, worst)


def compare_outputs(
    prepared: Graph, inputs: Sequence[Array], given: Sequence[Array], expected: Sequence[Array]
) -> list[Comparison]:
    """All outputs of a model of one operator, by its tolerance for these inputs of the graph."""
    (node,) = prepared.main.nodes()
    op = ops.find(node.operator.name)
    assert op is not None
    tolerance = op.tolerance(node)
    fed = dict(zip(prepared.main.inputs, inputs, strict=True))
    values = [None if t is None else t.data if t.data is not None else fed.get(t.index) for t in node.inputs]
    return [compare(a, b, tolerance.bound(values, b)) for a, b in zip(given, expected, strict=True)]
