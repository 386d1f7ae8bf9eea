from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite.debug.report import make_report, page
from minilite.debug.report.comparison import COLUMNS
from minilite.debug.report.data import Report
from minilite.debug.sides import own_side
from minilite.graph import Graph
from minilite.inputs import read_inputs
from minilite.model import Model


@pytest.fixture(scope="module")
def planted(small_model: Model) -> Report:
    """The small model beside one whose last convolution has another weight."""
    inputs = read_inputs("random:0", small_model.graph)
    other = own_side("numpy", _with_a_weight_changed(small_model.graph, "scores/weights"), inputs)
    return make_report(small_model, inputs, title="planted", against=other)


def _with_a_weight_changed(graph: Graph, name: str) -> Graph:
    def changed(tensor: Any) -> Any:
        if tensor.name != name:
            return tensor
        data = tensor.data.copy()
        data.flat[0] += 1
        data.flags.writeable = False
        return replace(tensor, data=data)

    main = replace(graph.main, tensors=tuple(map(changed, graph.main.tensors)))
    return replace(graph, subgraphs=(main,))


def test_equal_runs_agree(small_model: Model) -> None:
    inputs = read_inputs("random:0", small_model.graph)
    report = make_report(
        small_model, inputs, title="equal", against=own_side("numpy", small_model.graph, inputs)
    )
    found = report.data["comparison"]
    assert found["passed"]
    assert found["summary"] == "of 4 tensors 4 agree"
    errors = [operator["errors"] for operator in report.data["subgraphs"][0]["operators"]]
    assert {(e["verdict"], e["local"], e["largest"], e["unequal"]) for e in errors} == {("agrees", 0, 0, 0)}
    assert set(errors[0]) >= {column["key"] for column in COLUMNS}


def test_the_operator_that_is_wrong_is_named(planted: Report) -> None:
    found = planted.data["comparison"]
    assert not found["passed"]
    assert len(found["faults"]) == 1
    operators = planted.data["subgraphs"][0]["operators"]
    assert [operator["errors"]["verdict"] for operator in operators] == ["agrees"] * 3 + ["born"]
    assert operators[3]["errors"]["local"] > operators[3]["errors"]["allowed"]
    assert operators[3]["errors"]["fault"] == found["faults"][0]


def test_errors_beyond_numbers_are_words(small_model: Model) -> None:
    inputs = read_inputs("random:0", small_model.graph)
    side = own_side("numpy", small_model.graph, inputs)
    scores = small_model.graph.main.outputs[0]
    broken = np.full_like(side.recording.tensors[scores], np.inf)
    values = {**side.recording.tensors, scores: broken}
    side = replace(side, recording=replace(side.recording, tensors=values))
    report = make_report(small_model, inputs, title="infinite", against=side)
    assert report.data["subgraphs"][0]["operators"][3]["errors"]["largest"] == "infinite"
    page.build(report)


def test_the_page_shows_it(opened_page: Any, planted: Report, tmp_path: Path) -> None:
    path = tmp_path / "planted.html"
    path.write_text(page.build(planted), encoding="utf-8")
    opened_page.goto(path.as_uri())
    assert "Differs from numpy" in opened_page.locator(".verdict").text_content()
    opened_page.click("#overview .row.error >> nth=0")
    assert opened_page.locator("#graph .node.faulty .number >> nth=0").text_content() == "#3"
    assert "born" in opened_page.locator("#detail").text_content()
    opened_page.click("#tab-table")
    opened_page.click("th[data-key=error-local] button")
    assert opened_page.locator("#table tbody tr >> nth=0").get_attribute("data-number") == "3"
