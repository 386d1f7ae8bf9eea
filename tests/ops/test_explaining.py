"""What operators say of their elements: receptive fields, terms, and what their references tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minilite import ops
from minilite.errors import InvokeError
from minilite.graph import ABSENT, Array, Node
from minilite.ops.base import Op
from minilite.reference import ReferenceExecutor, known_shapes
from minilite.telling import listening
from minilite.testing import cases


class Ran:
    """A case that has run: the node in the shapes it had, its inputs, the reference's outputs."""

    def __init__(self, case: cases.Case) -> None:
        executor = ReferenceExecutor(case.prepared, keep_all=True)
        for index, value in zip(case.prepared.main.inputs, case.inputs, strict=True):
            executor.write(index, value)
        with np.errstate(all="ignore"):
            executor.run()
        shapes = {i: executor.view(i).shape for i in executor.subgraph.operators[0].outputs}
        subgraph = known_shapes(executor.subgraph, shapes)
        self.node = Node(subgraph, subgraph.operators[0])
        found = ops.find(self.node.operator.name)
        assert found is not None
        self.op: Op = found
        self.inputs = [None if i == ABSENT else executor.view(i).copy() for i in self.node.operator.inputs]

    def evaluate(self, inputs: list[Array | None]) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            return self.op.evaluate(self.node, inputs)


def changed(x: Array, field: Array, variant: int) -> Array:
    """The values with everything outside the field replaced."""
    other: Array
    if x.dtype.kind == "f":
        other = np.full(x.shape, [np.nan, 1e30, -7.25][variant], x.dtype)
    elif x.dtype.kind in "iu":
        other = np.where(x == 1, 2, 1).astype(x.dtype)
    else:
        other = ~x if x.dtype.kind == "b" else x
    return np.where(field, x, other)


def says_its_field(name: str) -> bool:
    op = ops.find(name)
    return op is not None and type(op).receptive_field is not Op.receptive_field


@pytest.mark.parametrize(
    ("name", "variant"),
    [(name, v) for name in cases.operators() if says_its_field(name) for v in cases.variants(name)],
)
@settings(max_examples=2)
@given(data=st.data())
def test_nothing_outside_the_receptive_field_has_a_part(name: str, variant: str, data: Any) -> None:
    ran = Ran(data.draw(cases.cases(name, variant)))
    outputs = ran.evaluate(ran.inputs)
    sizes = [value.size for value in outputs]
    assume(sum(sizes) > 0)
    number = data.draw(st.integers(0, sum(sizes) - 1))
    wanted = [np.zeros(value.shape, np.bool_) for value in outputs]
    which = int(np.searchsorted(np.cumsum(sizes), number, side="right"))
    place = np.unravel_index(number - sum(sizes[:which]), outputs[which].shape)
    wanted[which][place] = True
    field = ran.op.receptive_field(ran.node, ran.inputs, wanted)
    if field is None:
        assert variant == "shuffled"
        return
    for x, mask in zip(ran.inputs, field, strict=True):
        assert (x is None) == (mask is None)
        assert x is None or (mask is not None and mask.shape == x.shape and mask.dtype == np.bool_)
    if outputs[0].dtype != object and which == 0:
        check_steps(ran, field, tuple(map(int, place)), outputs[0])
    if ran.op.remarks(ran.node):
        return
    for kind in range(3):
        replaced = [
            x if x is None or mask is None or i in ran.op.where else changed(x, mask, kind)
            for i, (x, mask) in enumerate(zip(ran.inputs, field, strict=True))
        ]
        try:
            again = ran.evaluate(replaced)
        except InvokeError:  # values that the operator refuses, such as those that have no root
            continue
        assert bits(again[which][place]) == bits(outputs[which][place])


def bits(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(value.tobytes())


def check_steps(ran: Ran, field: Any, place: tuple[int, ...], output: Array) -> None:
    """What is told of an element ends with it, and its terms add up to what is told first."""
    with listening() as heard:
        ran.evaluate(ran.inputs)
    told = [line.at(place, output.shape) for line in heard] if ran.op.tells_elements else []
    steps = [line for line in told if line is not None]
    assert len(steps) == len(told)
    if steps and ran.node.output.dtype.kind in "iu":
        assert int(steps[-1].values) == int(output[place]), [str(line) for line in steps]
        assert all(str(line) for line in steps)
    terms = ran.op.terms(ran.node, ran.inputs, field, place)
    if terms is None:
        return
    assert len(terms.places) == len(terms.values)
    of = ran.inputs[terms.input]
    assert of is not None
    assert all(field[terms.input][tuple(at)] for at in terms.places)
    if steps and str(steps[0]).startswith("sum of products"):
        total = terms.products.sum()
        if not np.isfinite(total):
            return
        slack = 1e-5 * np.abs(terms.products).sum() if terms.values.dtype == np.float32 else 0
        assert abs(float(steps[0].values) - total) <= slack
