"""Every operator, in every variant there is a strategy for: plan, NumPy reference and LiteRT agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite import ops
from minilite.executor import create_executor, numba_is_available
from minilite.graph import Array
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing import cases
from minilite.testing.cases import Case
from minilite.testing.parity import compare_outputs
from tests.oracle import evaluate_litert, run

EVERY = [(name, variant) for name in cases.operators() for variant in cases.variants(name)]


@pytest.mark.parametrize(("name", "variant"), EVERY, ids=[f"{n}-{v}" for n, v in EVERY])
@settings(max_examples=12)
@given(data=st.data())
def test_operator(request: pytest.FixtureRequest, name: str, variant: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases.cases(name, variant))
    prepared = prepare(case.graph)
    expected = tuple(value.copy() for value in run(ReferenceExecutor(prepared), case.inputs))

    if numba_is_available():
        executor = create_executor(prepared, threads=2)
        outputs = run(executor, case.inputs)
        check("the plan", case, outputs, expected)
        executor.close()

    litert: Any = request.getfixturevalue("litert_or_none")
    fault = cases.fault_of(case, variant, "litert-ref")
    if litert is None or fault is not None:
        return
    # LiteRT's result is the right one: ours is judged by it.
    check("the reference", case, expected, evaluate_litert(litert, case.graph, *case.inputs))


def check(what: str, case: Case, outputs: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    for i, found in enumerate(compare_outputs(prepare(case.graph), case.inputs, outputs, expected)):
        assert found.agrees, f"{what}, output {i}: {found.fault}"


@pytest.mark.parametrize("name", ops.names())
def test_every_operator_has_a_strategy(name: str) -> None:
    if not cases.variants(name):
        pytest.xfail("its family has none yet")
