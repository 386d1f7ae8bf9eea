"""What an explanation of a number holds: records, to be read, printed or written as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from minilite.graph import Array, Operator, Shape, Tensor
from minilite.ops.base import Mask

Number = int | float | bool | complex | str


@dataclass(frozen=True)
class Span:
    """The positions of a set along one axis.

    Attributes
    ----------
    step:
        How far one is from the next, 0 where they are not evenly apart.
    """

    first: int
    last: int
    count: int
    step: int = 1

    def __str__(self) -> str:
        if self.count == 1:
            return str(self.first)
        apart = {0: f" ({self.count} of them)", 1: ""}.get(self.step, f" step {self.step}")
        return f"{self.first}..{self.last}{apart}"


@dataclass(frozen=True)
class Field:
    """Elements of a tensor that have a part in a number.

    Attributes
    ----------
    spans:
        Along each axis.
    count, size:
        How many elements, and of how many. ``is_box``: they are all that the spans span.
    found:
        See ``influence.Influence``.
    """

    tensor: int
    name: str
    shape: Shape
    spans: tuple[Span, ...]
    count: int
    size: int
    is_box: bool
    is_constant: bool
    found: Literal["said", "probed", "assumed"]


@dataclass(frozen=True)
class Step:
    """One step of the arithmetic: the operation in words, what came out, and what it was before rounding."""

    what: str
    value: Number
    unrounded: float | None = None


@dataclass(frozen=True)
class Part:
    """An element that the number is made of.

    Attributes
    ----------
    value:
        As it stands in its tensor, ``real`` what it means where that is quantized.
    factor, factor_at, factor_tensor:
        What it is multiplied by (integers without zero points), and where that stands, if in a tensor.
    product:
        What it adds; None where nothing is added up.
    share:
        The product's magnitude among those of all.
    """

    tensor: int
    at: Shape
    value: Number
    real: float | None
    term: float | None = None
    factor: float | None = None
    factor_tensor: int | None = None
    factor_at: Shape | None = None
    product: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Where a number comes from.

    Attributes
    ----------
    tensor, at, value, real:
        The element, its recorded value, and what it means where the tensor is quantized.
    operator:
        What made it; None for an input or a constant, which ``origin`` then says.
    direct, model:
        The receptive field in the operator's inputs, and in the model's.
    meaning, parts, part_count, part_total:
        What is added up or looked at; the largest of it; how many there are, and what all add up to.
    steps:
        Of the reference, in order; none where it does not tell them.
    reproduced:
        What the reference makes of the recorded inputs; None where it was not run.
    verdict:
        ``"equal bits"``, ``"within bound"`` (of ``bound``), ``"differs"``, or ``"not run"``.
    remarks:
        What is left out or not known, in words.
    """

    tensor: Tensor
    at: Shape
    value: Number
    real: float | None
    origin: str
    operator: Operator | None = None
    direct: tuple[Field, ...] = ()
    model: tuple[Field, ...] = ()
    meaning: str = ""
    parts: tuple[Part, ...] = ()
    part_count: int = 0
    part_total: float | None = None
    steps: tuple[Step, ...] = ()
    reproduced: Number | None = None
    verdict: Literal["equal bits", "within bound", "differs", "not run"] = "not run"
    error: float | None = None
    bound: float | None = None
    remarks: tuple[str, ...] = ()


def field(tensor: Tensor, mask: Mask, found: Literal["said", "probed", "assumed"]) -> Field:
    """A set of a tensor's elements in a few numbers."""
    spans = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        spans.append(_span(np.flatnonzero(np.logical_or.reduce(mask, axis=others))))
    count = int(np.count_nonzero(mask))
    whole = int(np.prod([span.count for span in spans], dtype=np.int64))
    return Field(
        tensor.index,
        tensor.name,
        mask.shape,
        tuple(spans),
        count,
        mask.size,
        count == whole,
        tensor.is_constant,
        found,
    )


def _span(positions: Array) -> Span:
    apart = np.diff(positions)
    step = 1 if not apart.size else int(apart[0]) if (apart == apart[0]).all() else 0
    return Span(int(positions[0]), int(positions[-1]), len(positions), step)
