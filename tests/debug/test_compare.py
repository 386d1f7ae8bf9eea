"""Planted defects are found where they are, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minilite import PairingError
from minilite.debug.bisect import bisect
from minilite.debug.compare import compare
from minilite.debug.pairing import Method
from minilite.debug.sides import own_side, saved_side
from minilite.executor import create_executor, numba_is_available
from minilite.graph import Array, Graph, TensorType
from minilite.ops.control import IfOptions
from minilite.prepare import prepare
from tests.debug.planted import (
    LAST,
    POOL,
    flipped,
    float_input,
    int8_input,
    int8_network,
    network,
    plant,
    run,
)
from tests.networks import Network, floats
from tests.small_models import chain_graph

METHODS: tuple[Method, ...] = ("name", "order")

EACH = pytest.mark.parametrize(
    ("make", "x", "step"),
    [(network, float_input(), 0.5), (int8_network, int8_input(), 1)],
    ids=["f32", "int8"],
)


@EACH
def test_nothing_is_found_where_nothing_is(make: Callable[[], Graph], x: Array, step: float) -> None:
    if not numba_is_available():
        pytest.skip("the compiled side needs numba")
    given, expected = run(make(), x, "numba"), run(make(), x)
    report = compare(given, expected)
    assert report.agrees
    assert report.born == ()
    assert len(report.rows) == 5
    found = bisect(given, expected)
    assert found.agrees
    assert found.examined == found.operators == 5


@EACH
@pytest.mark.parametrize("operator", [0, POOL, LAST])
def test_an_operator_changed_by_one_step(
    make: Callable[[], Graph], x: Array, step: float, operator: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = make()
    right = run(graph, x)
    plant(monkeypatch, graph, operator, step)
    report = compare(run(graph, x), right)
    assert [row.operator for row in report.born] == [operator]
    (row,) = report.born
    assert row.local is not None
    assert row.local.error == pytest.approx(step, rel=1e-6)
    assert row.local.difference.unequal == 1
    assert row.local.worst == row.total.worst
    assert row.local.needed == ("steps(1)" if step == 1 else row.local.needed)
    # What comes before it is equal, what comes after it makes no error of its own.
    assert [r.total.equal for r in report.rows[:operator]] == [True] * operator
    assert {r.verdict for r in report.rows if r.operator != operator} <= {"agrees", "inherited"}
    found = bisect(run(graph, x), right)
    assert found.row is not None
    assert (found.row.operator, found.examined) == (operator, operator + 1)
    assert found.fault == report.faults[0]


@EACH
@pytest.mark.parametrize("operator", [0, LAST])
def test_a_flipped_weight(make: Callable[[], Graph], x: Array, step: float, operator: int) -> None:
    graph = make()
    given, expected = run(flipped(graph, operator), x), run(graph, x)
    report = compare(given, expected)
    assert [row.operator for row in report.born] == [operator]
    assert report.pairing == "order"
    found = bisect(given, expected)
    assert found.row is not None
    assert found.row.operator == operator
    assert [i.is_constant for i in found.inputs] == [False, True, True]
    assert found.inputs[0].difference is not None
    assert found.inputs[0].difference.equal
    changed = found.inputs[1].difference
    assert changed is not None
    assert changed.unequal == 1


@EACH
def test_saved_runs(
    make: Callable[[], Graph], x: Array, step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files: the operators of neither are there to run, but what they made of their inputs is."""
    graph = make()
    run(graph, x).recording.save(tmp_path / "right.npz")
    with monkeypatch.context() as patch:
        plant(patch, graph, POOL, step)
        run(graph, x).recording.save(tmp_path / "wrong.npz")
    right, wrong = saved_side(str(tmp_path / "right.npz")), saved_side(str(tmp_path / "wrong.npz"))
    assert compare(right, right).agrees
    report = compare(wrong, right)
    assert [row.operator for row in report.born] == [POOL]
    (row,) = report.born
    assert row.local is not None
    assert row.local.agrees  # what minilite makes now is right
    assert row.own is not None
    assert not row.own.agrees  # what was made then is not
    assert bisect(wrong, right).row == row


def test_a_quantized_twin() -> None:
    x = float_input(2)
    given = run(network(), x)
    quantized = int8_network()
    scale = quantized.main.tensors[quantized.main.inputs[0]].quantization
    assert scale is not None
    codes = np.clip(np.rint(x / scale.scale) + scale.zero_point, -128, 127).astype(np.int8)
    twin = run(quantized, codes)
    for method in METHODS:
        report = compare(given, twin, method=method)
        assert not report.judged
        assert report.agrees
        assert len(report.rows) == 5
        assert {row.verdict for row in report.rows} == {"unjudged"}
        snr = [row.total.snr_db for row in report.rows]
        assert all(value is not None and value > 20 for value in snr), snr
    # Held to so many steps, a wrong weight stands out.
    assert compare(given, twin, tolerance=12).agrees
    wrong = run(flipped(quantized, LAST), codes)
    assert [row.operator for row in compare(given, wrong, tolerance=12).born] == [LAST]


def test_double_precision_is_the_truth_of_floats() -> None:
    x = float_input()
    report = compare(run(network(), x), run(network(), x, "float64"))
    assert report.agrees
    assert all(row.local is not None for row in report.rows)
    wrong = compare(run(flipped(network(), LAST), x), run(network(), x, "float64"))
    assert [row.operator for row in wrong.born] == [LAST]


def test_a_joined_kernel_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that keeps no values joins operators: what goes wrong only there is found as well."""
    if not numba_is_available():
        pytest.skip("plans need numba")
    graph, x = network(), float_input()
    given = run(graph, x, "numba")
    broken = flipped(graph, LAST)

    def create(part: Graph, **options: object) -> object:
        main = replace(part.main, tensors=prepare(broken).main.tensors)
        return create_executor(replace(part, subgraphs=(main,)), backend="numba", threads=1)

    monkeypatch.setattr("minilite.debug.planned.create_executor", create)
    report = compare(given, run(graph, x))
    assert report.born == ()
    (fault,) = report.faults
    assert f"op {LAST} CONV_2D" in fault
    assert bisect(given, run(graph, x)).fault == fault


def test_other_inputs_are_refused() -> None:
    graph = network()
    with pytest.raises(PairingError, match="given different values"):
        compare(run(graph, float_input(0)), run(graph, float_input(1)))


def test_models_that_share_nothing() -> None:
    given, other = run(network(), float_input()), run(chain_graph(), np.zeros((1, 2, 2, 3), np.float32))
    with pytest.raises(PairingError, match="nothing to compare"):
        compare(given, other)


def test_a_tolerance_of_the_user_s() -> None:
    graph, x = int8_network(), int8_input()
    given, expected = run(flipped(graph, LAST), x), run(graph, x)
    assert compare(given, expected, tolerance=255).agrees
    assert not compare(given, expected, tolerance=0).agrees


def test_progress_is_told() -> None:
    told: list[tuple[int, int, str]] = []
    side = own_side("numpy", network(), [float_input()], progress=lambda *step: told.append(step))
    compare(side, side, progress=lambda *step: told.append(step))
    assert (5, 5, "running numpy") in told
    assert (5, 5, "comparing") in told


def branching(value: float) -> Graph:
    """``x + value if flag else x * 3``, and 1 added to it."""
    net = Network()
    flag, x = net.input(type=TensorType.BOOL), net.input(2)
    y = net.add("IF", flag, x, options=IfOptions(1, 2), shape=(2,))
    main = net.subgraph(net.add("ADD", y, net.constant(floats(1)), shape=(2,)))
    parts = []
    for index, (name, constant) in enumerate((("ADD", value), ("MUL", 3)), 1):
        part = Network()
        inside = part.input(2)
        made = part.add(name, inside, part.constant(floats(constant)), shape=(2,))
        parts.append(part.subgraph(made, index=index))
    return Graph((main, *parts))


def test_a_branch_is_held_to_what_networks_are() -> None:
    inputs = [np.array(True), floats(1, 2)]
    given, expected = (own_side("numpy", branching(value), inputs) for value in (5, 6))
    assert compare(given, given).agrees
    report = compare(given, expected)
    assert [(row.operator, row.name) for row in report.born] == [(0, "IF")]
    assert [row.verdict for row in report.rows] == ["born", "inherited"]
    assert not bisect(given, expected).agrees
