"""Every operator, in every variant there is a strategy for: plan, NumPy reference and LiteRT agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite import ops
from minilite.testing import cases, oracle
from minilite.testing.cases import Case
from minilite.testing.judge import Judge

EVERY = [(name, variant) for name in cases.operators() for variant in cases.variants(name)]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """LiteRT's reference kernels where they are installed, in a process that a case may end."""
    with Judge("litert-ref" if oracle.is_available("litert-ref") else "numpy") as made:
        yield made


@pytest.mark.parametrize(("name", "variant"), EVERY, ids=[f"{n}-{v}" for n, v in EVERY])
@settings(max_examples=12)
@given(data=st.data())
def test_operator(judge: Judge, name: str, variant: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases.cases(name, variant))
    outcome = judge(case, name, variant)
    # A refusal or crash of the oracle that nobody has declared leaves the case unproven.
    assert outcome.kind in ("agrees", "known"), f"{outcome.kind}: {outcome.message}"


@pytest.mark.parametrize("name", ops.names())
def test_every_operator_has_a_strategy(name: str) -> None:
    assert cases.variants(name)
