"""One number explained: the operator that made it, what it is made of, and each step of the arithmetic.

Nothing is worked out a second time. The operator's own NumPy reference runs on the recorded inputs and tells
its intermediate values (``telling``); what an element is made of, the operator says itself
(``Op.receptive_field``, ``Op.terms``). Where it does not, the explanation says how it was found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from minilite import ops
from minilite.debug.explanation import Explanation, Number, Part, Step, field
from minilite.debug.influence import Influence, influence, sources
from minilite.debug.recording import Recording
from minilite.errors import TensorValueError
from minilite.graph import Array, Node, Shape, Subgraph, Tensor
from minilite.ops.base import Mask
from minilite.ops.fields import Terms
from minilite.quantization import is_quantized, real_zero
from minilite.telling import Told, listening


def explain(
    recording: Recording, tensor: int | str, at: Sequence[int] | Literal["max", "min"], *, largest: int = 10
) -> Explanation:
    """Explain one element of one tensor of a run.

    Parameters
    ----------
    recording:
        As ``record`` makes it; it must hold the operator that made the tensor.
    tensor:
        By number or name.
    at:
        The element's indices, negative ones from the end; or where the largest or smallest value stands.
    largest:
        How many of the parts to give.

    Raises
    ------
    TensorValueError
        There is no such tensor or element, or it was not recorded.
    """
    record = recording.tensor(find_tensor(recording.graph.main, tensor).index)
    value = recording.value(record.index)
    place = _place(record, value, at)
    element: dict[str, Any] = {
        "tensor": record,
        "at": place,
        "value": number(value[place]),
        "real": real(record, value, place),
    }
    makers = [op for op in recording.graph.main.operators if record.index in op.outputs]
    if not makers:
        origin = "a constant of the file" if record.is_constant else "an input of the model"
        return Explanation(**element, origin="a variable" if record.is_variable else origin)
    node = recording.node(makers[-1].index)
    return _Explaining(recording, node, record, place, largest).explanation(element)


class _Explaining:
    """The explanation of an element that an operator made."""

    def __init__(self, recording: Recording, node: Node, tensor: Tensor, place: Shape, largest: int) -> None:
        self.recording, self.node, self.tensor, self.place = recording, node, tensor, place
        self.largest = largest
        found = ops.find(node.operator.name)
        assert found is not None
        self.op = found
        self.position = node.operator.outputs.index(tensor.index)
        self.inputs = [None if t is None else recording.value(t.index) for t in node.inputs]
        self.wanted = [np.zeros(recording.value(t.index).shape, np.bool_) for t in node.outputs]
        self.wanted[self.position][place] = True
        self.value = recording.value(tensor.index)

    def explanation(self, element: dict[str, Any]) -> Explanation:
        near = influence(self.node, self.inputs, self.wanted)
        far = sources(self.recording, self.node.operator.index, self.wanted)
        remarks = dict.fromkeys((*near.remarks, *far.remarks))
        if self.tensor.index in self.recording.patched:
            remarks["somebody has set this tensor's value: it need not be what the operator made"] = None
        graph = self.recording.graph.main
        folded = ", when the model was prepared" if self.node.is_folded else ""
        return Explanation(
            **element,
            origin=f"made by {self.node.operator}{folded}",
            operator=self.node.operator,
            direct=tuple(
                field(tensor, mask, near.found)
                for tensor, mask in zip(self.node.inputs, near.field, strict=True)
                if tensor is not None and mask is not None and mask.any()
            ),
            model=tuple(field(graph.tensors[i], mask, near.found) for i, mask in far.field.items()),
            **self._parts(near),
            **self._computed(remarks),
            remarks=tuple(remarks),
        )

    def _computed(self, remarks: dict[str, None]) -> dict[str, Any]:
        """The steps, the value that the reference makes, and how it compares with the recorded one."""
        if not self.op.pure:
            remarks[f"{self.node.operator} keeps state or runs subgraphs: it was not run again"] = None
            return {}
        with listening() as heard, np.errstate(all="ignore"):
            outputs = self.op.evaluate(self.node, self.inputs)
        made = outputs[self.position].astype(self.value.dtype, copy=False)
        told = heard if self.op.tells_elements and self.position == 0 else []
        lines = [line.at(self.place, made.shape) for line in told]
        if not told:
            remarks[f"the reference of {self.node.operator.name} does not tell its steps here"] = None
        return {
            "steps": tuple(step(line) for line in lines if line is not None and not _is_idle(line)),
            "reproduced": number(made[self.place]),
            **self._verdict(made),
        }

    def _verdict(self, made: Array) -> dict[str, Any]:
        given, expected = self.value[self.place], made[self.place]
        if _same_bits(given, expected):
            return {"verdict": "equal bits"}
        if self.value.dtype.kind not in "fc":
            error = None if self.value.dtype == object else float(abs(int(given) - int(expected)))
            return {"verdict": "differs", "error": error, "bound": 0.0}
        bound = self.op.tolerance(self.node).bound(self.inputs, made)
        allowed = float(np.broadcast_to(bound, made.shape)[self.place])
        error = float(abs(np.float64(given) - np.float64(expected)))
        verdict = "within bound" if error <= allowed else "differs"
        return {"verdict": verdict, "error": error, "bound": allowed}

    def _parts(self, near: Influence) -> dict[str, Any]:
        terms = None
        if near.found == "said" and self.position == 0:
            terms = self.op.terms(self.node, self.inputs, near.field, self.place)
        if terms is not None:
            return self._terms(terms)
        parts = [
            part
            for tensor, values, mask in zip(self.node.inputs, self.inputs, near.field, strict=True)
            if tensor is not None and values is not None and mask is not None
            for part in _elements(tensor, values, mask, self.largest)
        ]
        count = sum(int(np.count_nonzero(mask)) for mask in near.field if mask is not None)
        return {"meaning": "elements it is made of", "parts": tuple(parts), "part_count": count}

    def _terms(self, terms: Terms) -> dict[str, Any]:
        tensor, values = self.node.input(terms.input), self.inputs[terms.input]
        assert values is not None
        products = terms.products
        magnitudes = np.abs(products)
        keys = -magnitudes if terms.factors is not None else products if terms.smallest_first else -products
        total = magnitudes.sum()
        other = None if terms.factor_input is None else self.node.input(terms.factor_input)
        parts = []
        for i in np.argsort(keys, kind="stable")[: self.largest]:
            at = tuple(map(int, terms.places[i]))
            shared: dict[str, Any] = {"tensor": tensor.index, "at": at, "value": number(values[at]),
                      "real": real(tensor, values, at), "term": float(terms.values[i])}  # fmt: skip
            if terms.factors is None:
                parts.append(Part(**shared))
                continue
            place = None if terms.factor_places is None else tuple(map(int, terms.factor_places[i]))
            parts.append(
                Part(
                    **shared,
                    factor=float(terms.factors[i]),
                    factor_tensor=None if other is None else other.index,
                    factor_at=place,
                    product=float(products[i]) + 0.0,  # no negative zeros
                    share=float(magnitudes[i] / total) if total > 0 else 0.0,
                )
            )
        return {
            "meaning": terms.meaning,
            "parts": tuple(parts),
            "part_count": len(products),
            "part_total": None if terms.factors is None else float(products.sum()),
        }


def _elements(tensor: Tensor, values: Array, mask: Mask, count: int) -> list[Part]:
    """The largest elements of a set, as parts that are not added up."""
    places = np.argwhere(mask)
    if values.dtype.kind in "iuf":
        chosen = values[mask].astype(np.float64) - real_zero(tensor)
        places = places[np.argsort(-np.abs(chosen), kind="stable")]
    at = [tuple(map(int, place)) for place in places[:count]]
    return [Part(tensor.index, place, number(values[place]), real(tensor, values, place)) for place in at]


def step(line: Told) -> Step:
    """What a reference told of one element."""
    exact = None if line.unrounded is None else float(line.unrounded)
    return Step(str(line), number(line.values[()]), exact)


def _is_idle(line: Told) -> bool:
    """Whether it is a shift by nothing."""
    return any(name in ("left", "right", "shift") and not value for name, value in line.operands.items())


def number(value: Any) -> Number:
    """An element as Python has it; whole floats that stand for integers stay floats."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    plain: Number = value.item() if isinstance(value, np.generic) else value
    return plain


def real(tensor: Tensor, values: Array, at: Shape) -> float | None:
    """What an element of a quantized tensor means; None for others."""
    q = tensor.quantization
    if q is None or not len(q.scales) or not (is_quantized(tensor) or q.per_channel):
        return None
    channel = at[q.dimension] if q.per_channel else 0
    return float(np.float64(q.scales[channel]) * (int(values[at]) - int(q.zero_points[channel])))


def _same_bits(a: Any, b: Any) -> bool:
    return a == b if isinstance(a, bytes) else bool(a.tobytes() == b.tobytes())


def find_tensor(subgraph: Subgraph, key: int | str) -> Tensor:
    """A tensor by number or name.

    Raises
    ------
    TensorValueError
        There is none, or several of that name.
    """
    tensors = subgraph.tensors
    if isinstance(key, int) or key.isdecimal():
        if not 0 <= int(key) < len(tensors):
            raise TensorValueError(
                f"there is no tensor {key}: they are numbered 0 to {len(tensors) - 1}", rule="tensor-index"
            )
        return tensors[int(key)]
    found = [t for t in tensors if t.name == key]
    if len(found) != 1:
        near = ", ".join(f"{t.index} {t.name!r}" for t in [t for t in tensors if key in t.name][:8])
        reason = f"{len(found)} tensors are" if found else "no tensor is"
        advice = f"; with that in their names: {near}" if near else ""
        raise TensorValueError(f"{reason} called {key!r}: give a number{advice}", rule="tensor-name")
    return found[0]


def _place(tensor: Tensor, value: Array, at: Sequence[int] | Literal["max", "min"]) -> Shape:
    if not value.size:
        raise TensorValueError(f"{tensor} has no elements", tensor=tensor.index, rule="place")
    if at in ("max", "min"):
        if value.dtype.kind not in "biuf":
            raise TensorValueError(
                f"{tensor}: its elements have no order, give the indices of one",
                tensor=tensor.index,
                rule="place",
            )
        finite = np.nan_to_num(value, nan=-np.inf if at == "max" else np.inf)
        flat = np.argmax(finite) if at == "max" else np.argmin(finite)
        return tuple(int(i) for i in np.unravel_index(flat, value.shape))
    place = tuple(int(i) for i in at)
    inside = len(place) == value.ndim and all(-n <= i < n for i, n in zip(place, value.shape, strict=True))
    if not inside:
        raise TensorValueError(
            f"there is no element {place} in {tensor}, whose shape is {value.shape}",
            tensor=tensor.index,
            rule="place",
        )
    return tuple(i % n for i, n in zip(place, value.shape, strict=True))
