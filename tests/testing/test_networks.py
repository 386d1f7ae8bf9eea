from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite import ops
from minilite.building import GraphBuilder
from minilite.graph import Graph, TensorType
from minilite.ops.convolution import Conv2D
from minilite.testing import cases, networks
from minilite.testing.cases import NETWORK, Case
from minilite.testing.draw import with_inputs
from minilite.testing.failures import Target
from minilite.testing.fuzzing import Round
from minilite.testing.intermediates import own_fault
from minilite.testing.judge import Judge
from minilite.testing.models import constant, tensor

KINDS = (TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8)


@given(st.data(), st.sampled_from(KINDS))
@settings(max_examples=20)
def test_networks_are_legal_and_all_they_compute_is_read(data: st.DataObject, kind: TensorType) -> None:
    graph = data.draw(networks.networks(kind))
    case = Case(graph, ())
    assert graph.main.operators
    assert len(case.prepared.main.operators) == len(graph.main.operators)
    read = {n for op in graph.main.operators for n in op.inputs} | set(graph.main.outputs)
    assert {n for op in graph.main.operators for n in op.outputs} <= read


@pytest.mark.parametrize("name", sorted({name for name, _ in networks.links()}))
def test_every_link_fits_some_tensor(name: str) -> None:
    if ops.find(name) is None:
        pytest.xfail("minilite does not have it yet")
    found: list[Graph] = []

    @given(st.data())
    @settings(max_examples=10, database=None)
    def grow(data: st.DataObject) -> None:
        growth = networks.Growth(data.draw, TensorType.FLOAT32, (1, 4, 5, 3))  # type: ignore[arg-type]
        function = next(f for n, f in networks.links() if n == name)
        growth.extend(function, 0, name)
        found.append(growth.net.graph())

    grow()
    assert any(op.name == name for graph in found for op in graph.main.operators)


def test_an_operator_that_is_wrong_in_the_middle_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is wrong by 1 in each convolution: its own tolerance is far smaller."""
    pytest.importorskip("numba", reason="compares a plan")
    right = Conv2D.evaluate
    monkeypatch.setattr(Conv2D, "evaluate", lambda *given: tuple(x + np.float32(1) for x in right(*given)))
    with Judge("numpy") as judge:
        round_ = Round(Target(NETWORK, "float32"), judge)
        round_.run(60, 0)
    assert round_.failure is not None
    case, outcome = round_.failure
    assert any(op.name == "CONV_2D" for op in case.graph.main.operators)
    assert "plan against its reference" in outcome.message


def two_sums() -> Case:
    net = GraphBuilder()
    x = net.input(tensor((2, 2)))
    one = net.tensor(constant(np.ones(2, np.float32)))
    middle = net.add("ADD", [x, one], tensor())
    net.add("ADD", [middle, one], tensor())
    return Case(net.graph(), (np.zeros((2, 2), np.float32),))


def test_each_operator_is_compared_on_the_values_it_was_given(litert: Any) -> None:
    with Judge("litert-ref") as judge:
        assert judge(two_sums(), NETWORK, "float32").kind == "agrees"


def test_outputs_that_depend_on_what_is_kept_are_found() -> None:
    pytest.importorskip("numba", reason="compares plans")
    case = two_sums()
    assert own_fault(case.prepared, case.inputs, [np.full((2, 2), 2, np.float32)]) is None
    fault = own_fault(case.prepared, case.inputs, [np.full((2, 2), 3, np.float32)])
    assert fault is not None
    assert "keeps all values" in fault


def test_a_network_is_no_operator() -> None:
    assert NETWORK in cases.operators()
    assert ops.find(NETWORK) is None


@given(st.data())
@settings(max_examples=5)
def test_inputs_are_drawn_for_them(data: st.DataObject) -> None:
    case = data.draw(with_inputs(data.draw(networks.networks(TensorType.INT8))))
    assert [value.dtype for value in case.inputs] == [np.int8]
