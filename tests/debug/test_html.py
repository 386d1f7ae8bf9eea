"""What notebooks show: all of it there, and nothing of a file becomes markup."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from minilite import Model
from minilite.debug import record
from minilite.debug.html import tensor_html
from minilite.graph import Graph, with_tensors
from minilite.testing.models import constant, one_op, tensor
from tests.debug.small_runs import RUNS, X
from tests.small_models import chain_graph, quantized_graph

HOSTILE = "</td></svg></style><script>alert(1)</script><img src=x onerror=\"alert('2')\">&amp;"
PLAIN = {
    *("div", "style", "b", "span", "code", "details", "summary"),
    *("table", "tr", "th", "td", "svg", "title", "path", "img"),
}


class Page(HTMLParser):
    """The elements and the text of a piece of HTML, each element closed where it has to be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag == "img":
            assert str(dict(attrs)["src"]).startswith("data:image/png;base64,")
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data + " "


def shown(thing: Any) -> str:
    page = Page(thing._repr_html_())
    assert set(page.tags) <= PLAIN
    return " ".join(page.text.split())


def test_a_model() -> None:
    text = shown(Model(quantized_graph(), backend="numpy"))
    assert "1 operators, numpy" in text
    assert "input x u8 1x4 scale 0.5, zero point 128" in text
    assert "1 ADD" in text


def test_an_operator_and_its_tensors() -> None:
    node = next(chain_graph().main.nodes())
    assert shown(node.operator) == "op 0 ADD tensors [0, 1] → [2]"
    assert "input 1 bias f32 3" in shown(node)
    assert "input left out" in shown(next(bias_left_out().main.nodes()))


def bias_left_out() -> Graph:
    weights = constant(np.eye(2, dtype=np.float32))
    return one_op("FULLY_CONNECTED", [tensor((1, 2)), weights, None], [tensor((1, 2))])


def test_a_tensor_with_and_without_a_value() -> None:
    x, bias = chain_graph().main.tensors[:2]
    assert shown(x) == "tensor 0 serving_default_x:0 type shape f32 1x2x2x3"
    assert "constant min 1 max 3 mean 2, 0.0% zero 1 ... 3 [1.0, 2.0, 3.0]" in shown(bias)
    picture = np.linspace(0, 1, 32 * 32 * 3, dtype=np.float32).reshape(1, 32, 32, 3)
    page = Page(tensor_html(replace(x, shape=picture.shape), picture))
    assert page.tags.count("img") == page.tags.count("svg") == 1


def test_a_run() -> None:
    run = record(chain_graph(), X, backend="numpy")
    assert "2 operators" in shown(run)
    assert "4:f32[1x2x2x3]" in shown(run)
    assert "op 1 ADD" in shown(run.event(1))
    assert "min 11 max 24 mean 17.5" in shown(run.event(1))
    trace = Model(chain_graph(), backend="numpy").trace(X)
    assert "before op 0 ADD; 0 operators" in shown(trace)
    trace.patch(0, X)
    trace.finish()
    assert "at its end; 2 operators" in shown(trace)
    assert "patched: tensors 0" in shown(trace)
    assert "min 11 max 24" in shown(Model(chain_graph(), backend="numpy")(X))


@pytest.mark.parametrize(("graph", "inputs"), RUNS.values(), ids=RUNS)
def test_all_kinds_of_runs(graph: Graph, inputs: list[Any]) -> None:
    model = Model(graph, backend="numpy")
    for event in model.trace(*inputs):
        shown(event)
        for shown_tensor in event.node.outputs:
            shown(shown_tensor)
    shown(model(*inputs))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 3e38])
def test_values_that_are_no_pictures(value: float) -> None:
    full = np.full((1, 16, 16, 2), value, np.float32)
    full[0, 0, 0, 0] = -full[0, 0, 0, 0]
    Page(tensor_html(replace(chain_graph().main.tensors[0], shape=full.shape), full))
    Page(tensor_html(replace(chain_graph().main.tensors[0], shape=(0, 3)), np.zeros((0, 3), np.float32)))


def test_hostile_names_stay_text() -> None:
    graph = chain_graph()
    named = with_tensors(graph, 0, tuple(replace(t, name=HOSTILE) for t in graph.main.tensors))
    operators = tuple(replace(o, name=HOSTILE, options={HOSTILE: HOSTILE}) for o in named.main.operators)
    unknown = replace(named, subgraphs=(replace(named.main, operators=operators),))
    run = record(named, X, backend="numpy")
    trace = Model(named, backend="numpy").trace(X)
    node = next(unknown.main.nodes())
    outputs = Model(named, backend="numpy")(X)
    things = [Model(named), node, node.operator, node.inputs[0], run, run.event(0), trace, outputs]
    for thing in things:
        text = shown(thing)
        assert "alert" not in text or "<script>alert(1)</script>" in text
    assert sum(HOSTILE in shown(thing) for thing in things) == 6
