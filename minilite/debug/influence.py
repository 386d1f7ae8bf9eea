"""Which elements have a part in which: through one operator, and back through a run to the model's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minilite import ops
from minilite.debug.recording import Recording
from minilite.graph import Array, Node
from minilite.ops.base import Mask, Op

PROBES = 400
"""Runs of an operator's reference that probing may take."""

PROBED_ELEMENTS = 1 << 26
"""Elements that all probes of an operator may compute together, so that large ones take no minutes."""


@dataclass(frozen=True, eq=False)
class Influence:
    """The elements of an operator's inputs that have a part in some of its outputs.

    Attributes
    ----------
    field:
        A set for each input, None for one that is left out.
    found:
        ``"said"``: the operator says it, whatever the values are. ``"probed"``: found by changing inputs
        and looking at what changes; what changed nothing with these values may with others. ``"assumed"``:
        nobody knows, all elements are taken.
    remarks:
        What is left out or was not found out, in words.
    """

    field: tuple[Mask | None, ...]
    found: Literal["said", "probed", "assumed"]
    remarks: tuple[str, ...] = ()


def influence(node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]) -> Influence:
    """The elements of the inputs that these elements of the outputs are made of.

    Parameters
    ----------
    inputs:
        Values, as the operator was given them.
    wanted:
        For each output, booleans of its shape.
    """
    op = ops.find(node.operator.name)
    assert op is not None
    field = op.receptive_field(node, inputs, wanted)
    if field is not None:
        return Influence(field, "said", (*op.remarks(node), *_taken_as_given(op, node)))
    if not op.pure:
        remark = f"{node.operator} keeps state or runs subgraphs: all its inputs are taken to have a part"
        return Influence(_everything(inputs), "assumed", (remark,))
    return _Probing(op, node, inputs, wanted).result()


def _everything(inputs: Sequence[Array | None]) -> tuple[Mask | None, ...]:
    return tuple(None if x is None else np.ones(x.shape, np.bool_) for x in inputs)


def _taken_as_given(op: Op, node: Node) -> Iterator[str]:
    for position in op.where:
        tensor = node.optional_input(position)
        if tensor is not None and not tensor.is_constant:
            yield f"{tensor} says where {node.operator} finds elements, and is taken as it is"


class _Probing:
    """An operator that does not say its field is asked: blocks of an input are changed, and halved as long
    as a change of them changes what is wanted.
    """

    def __init__(self, op: Op, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]) -> None:
        self.op, self.node, self.inputs, self.wanted = op, node, inputs, wanted
        self.left = PROBES
        self.elements = PROBED_ELEMENTS
        self.unresolved = False
        self.before = self._look(inputs)

    def result(self) -> Influence:
        field = tuple(None if x is None else self._probed(i, x) for i, x in enumerate(self.inputs))
        remark = (
            f"{self.node.operator} does not say what its elements are made of: found by changing its inputs. "
            "What changed nothing here may with other values"
        )
        if self.unresolved:
            remark += "; not all could be tried one by one, and blocks are taken whole"
        return Influence(field, "probed", (remark,))

    def _probed(self, position: int, x: Array) -> Mask:
        found = np.zeros(x.size, np.bool_)
        tensor = self.node.inputs[position]
        constant = tensor is not None and tensor.is_constant
        blocks = [] if constant or not x.size else [(0, x.size)]
        while blocks:
            start, stop = blocks.pop()
            if not self._matters(position, x, start, stop):
                continue
            if stop - start == 1 or self.left <= 0:
                self.unresolved |= stop - start > 1
                found[start:stop] = True
                continue
            middle = (start + stop) // 2
            blocks += [(middle, stop), (start, middle)]
        return found.reshape(x.shape)

    def _matters(self, position: int, x: Array, start: int, stop: int) -> bool:
        for value in _others(x.ravel()[start:stop]):
            if self.left <= 0:
                return True
            changed = x.copy()
            changed.ravel()[start:stop] = value
            inputs = list(self.inputs)
            inputs[position] = changed
            if self._look(inputs) != self.before:
                return True
        return False

    def _look(self, inputs: Sequence[Array | None]) -> list[bytes] | None:
        """The bits of what is wanted; None where the operator refuses such inputs."""
        self.left -= 1
        try:
            with np.errstate(all="ignore"):
                outputs = self.op.evaluate(self.node, inputs)
        except Exception:
            return None  # A value that cannot be there has a part in what comes out.
        self.elements -= sum(x.size for x in (*inputs, *outputs) if x is not None)
        if self.elements < 0:
            self.left = 0
        if any(a.shape != b.shape for a, b in zip(outputs, self.wanted, strict=True)):
            return None
        return [_bits(value[mask]) for value, mask in zip(outputs, self.wanted, strict=True)]


def _bits(values: Array) -> bytes:
    return repr(values.tolist()).encode() if values.dtype == object else values.tobytes()


def _others(values: Array) -> Iterator[Array]:
    """Other values than these, of several kinds: what one hides another may show."""
    if values.dtype.kind in "fc":
        for change in (np.nan, np.inf, -np.inf):
            yield np.full(values.shape, change, values.dtype)
        yield values * 2 + 1
    elif values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        yield np.where(values == limits.max, limits.min, values + 1).astype(values.dtype)
        for limit in (limits.max, limits.min):
            yield np.full(values.shape, limit, values.dtype)
    elif values.dtype.kind == "b":
        yield ~values
    else:
        yield np.array([value + b"?" for value in values], object)


@dataclass(frozen=True, eq=False)
class Sources:
    """What an element goes back to.

    Attributes
    ----------
    field:
        Sets by tensor number: the model's inputs and variables, and what was computed before the first
        operator that was recorded.
    remarks:
        Of the operators on the way.
    """

    field: Mapping[int, Mask]
    remarks: tuple[str, ...]


def sources(recording: Recording, operator: int, wanted: Sequence[Mask]) -> Sources:
    """Go back from elements of an operator's outputs to what no recorded operator computed."""
    masks: dict[int, Mask] = {}
    remarks: dict[str, None] = {}
    main = recording.graph.main
    for number in range(operator, recording.operators.start - 1, -1):
        node = recording.node(number)
        if number == operator:
            asked = list(wanted)
        elif not any(i in masks for i in node.operator.outputs):
            continue
        else:
            # An output may be a variable that an operator before has made, too: it stops here.
            asked = [
                masks.pop(i) if i in masks else np.zeros(recording.value(i).shape, np.bool_)
                for i in node.operator.outputs
            ]
        inputs = [None if t is None else recording.value(t.index) for t in node.inputs]
        found = influence(node, inputs, asked)
        remarks.update(dict.fromkeys(found.remarks))
        for tensor, mask in zip(node.inputs, found.field, strict=True):
            if tensor is None or mask is None or tensor.is_constant or not mask.any():
                continue
            masks[tensor.index] = masks[tensor.index] | mask if tensor.index in masks else mask
    inputs_first = sorted(masks, key=lambda i: (i not in main.inputs, i))
    return Sources({i: masks[i] for i in inputs_first}, tuple(remarks))
