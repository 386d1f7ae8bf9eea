from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minilite
from minilite.debug.report import make_report, page, write_report
from minilite.debug.report.data import Report
from minilite.graph import Graph, TensorType
from minilite.images import load_image
from minilite.inputs import read_inputs
from minilite.loader import load_graph
from minilite.model import Model
from minilite.ops.reshaping import SqueezeOptions
from minilite.overlay import mask_image
from minilite.segmentation import segmenter_for
from minilite.testing.models import one_op, tensor
from tests.debug.report.conftest import HOSTILE

LIMIT = 15_000_000
"""What DeepLab's report may take."""


class _Page(HTMLParser):
    """The elements of a page, and the text of its scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: dict[str, str] = {}
        self._open: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self._open = dict(attrs).get("id") or "code"

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.texts[self._open] = self.texts.get(self._open, "") + data


def test_names_of_a_file_stay_text(small_report: Report, small_graph: Graph) -> None:
    text = page.build(small_report)
    text.encode("utf-8")
    found = _Page(text)
    assert found.tags.count("script") == len(small_report.pictures) + 2
    assert "img" not in found.tags
    data = json.loads(found.texts["data"])
    names = [entry["name"] for entry in data["subgraphs"][0]["tensors"].values()]
    assert HOSTILE in names
    assert "<" not in found.texts["data"]
    assert "\u2028" not in found.texts["data"]


def test_the_page_loads_nothing(small_report: Report) -> None:
    text = page.build(small_report)
    assert "default-src &#x27;none&#x27;" in text
    assert "@import" not in text
    addresses = set(re.findall(r"\w+://[^\s\"'<]*", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name of SVG's, not a place


def test_every_operator_and_tensor_is_there(small_report: Report, small_graph: Graph) -> None:
    (main,) = small_report.data["subgraphs"]
    assert [o["name"] for o in main["operators"]] == ["CONV_2D", "LOGISTIC", "MUL", "CONV_2D"]
    assert set(main["tensors"]) == {t.index for t in small_graph.main.tensors}
    kinds = [kind for kind, *_ in main["drawing"]["nodes"]]
    assert kinds == ["input", "op", "op", "op", "op", "output"]
    assert len(main["drawing"]["edges"]) == 6
    assert sum(o["share"] for o in main["operators"]) == pytest.approx(1, abs=1e-4)
    json.dumps(small_report.data, allow_nan=False)


def test_values_and_pictures_of_computed_tensors(
    small_report: Report, small_model: Model, photo: Path
) -> None:
    (main,) = small_report.data["subgraphs"]
    for operator in main["operators"]:
        (number,) = operator["outputs"]
        data = main["tensors"][number]
        assert data["sheet"]["channels"] == data["shape"][3]
        assert f"sheet-{number}" in small_report.pictures
        assert data["stats"]["count"] == np.prod(data["shape"])
        assert sum(data["histogram"]["counts"]) == data["stats"]["count"]


def test_the_mask_is_the_segmentation(small_report: Report, small_model: Model, photo: Path) -> None:
    expected = segmenter_for(small_model, None)(load_image(photo))
    mask = Image.open(io.BytesIO(base64.b64decode(small_report.pictures["mask"])))
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), expected.labels)
    assert mask.convert("RGB").tobytes() == mask_image(expected.labels).convert("RGB").tobytes()
    assert len(np.unique(expected.labels)) > 1
    shown = small_report.data["segmentation"]["classes"]
    assert [(c["label"], c["part"]) for c in shown] == [
        (c.label, pytest.approx(c.share, abs=1e-6)) for c in expected.classes
    ]


def test_without_a_photo_there_is_no_segmentation(small_model: Model) -> None:
    report = make_report(small_model, read_inputs("random:1", small_model.graph), title="small")
    assert report.data["segmentation"] is None
    assert "mask" not in report.pictures


def test_a_budget_is_kept_and_said(small_model: Model) -> None:
    inputs = read_inputs("random:0", small_model.graph)
    report = make_report(small_model, inputs, title="small", budget=6_000)
    sheets = sum(len(text) for name, text in report.pictures.items() if name.startswith("sheet"))
    assert sheets <= 6_000
    assert report.data["omitted"]


def test_operators_that_a_run_joins_are_marked(model_path: Callable[[str], Path], tmp_path: Path) -> None:
    """And the whole report of the model that minilite began with is small."""
    pytest.importorskip("numba", reason="without Numba nothing is joined")
    rng = np.random.default_rng(0)
    noise = tmp_path / "noise.png"  # which compresses worst
    Image.fromarray(rng.integers(0, 256, (320, 400, 3), np.uint8)).save(noise)
    with minilite.load(model_path("deeplabv3_257_mv_gpu.tflite")) as model:
        inputs = read_inputs(str(noise), model.graph)
        photo = load_image(noise)
        written = write_report(model, inputs, tmp_path / "report.html", title="deeplabv3", photo=photo)
    assert written.bytes == (tmp_path / "report.html").stat().st_size < LIMIT
    assert written.segmentation
    data = json.loads(_Page((tmp_path / "report.html").read_text(encoding="utf-8")).texts["data"])
    operators = data["subgraphs"][0]["operators"]
    groups = {tuple(o["joined"]) for o in operators if "joined" in o}
    assert groups
    for group in groups:  # what one of them makes is read by the next
        for before, after in pairwise(group):
            assert set(operators[before]["outputs"]) & set(operators[after]["inputs"])
            assert operators[before]["joined"] == operators[after]["joined"]
    assert all("compiled" in o and "ms" in o for o in operators)


@pytest.mark.parametrize("name", ["ocr_dr.tflite", "kws_dscnn_int16.tflite", "lyra_quantizer.tflite"])
def test_models_of_other_kinds(model_path: Callable[[str], Path], name: str) -> None:
    """Loops and dynamic shapes, sound, signatures of several subgraphs."""
    with Model(load_graph(model_path(name)), backend="numpy") as model:
        report = make_report(model, read_inputs("random:0", model.graph), title=name)
        subgraphs = report.data["subgraphs"]
        assert len(subgraphs) == len(model.graph.subgraphs)
        for shown, subgraph in zip(subgraphs, model.graph.subgraphs, strict=True):
            assert len(shown["operators"]) == len(subgraph.operators)
            drawn = [number for kind, number, *_ in shown["drawing"]["nodes"] if kind in ("op", "folded")]
            assert drawn == [o.index for o in subgraph.operators]
    page.build(report)


def test_figures_of_booleans_are_numbers() -> None:
    graph = one_op("LOGICAL_NOT", [tensor((3,), TensorType.BOOL)], [tensor((3,), TensorType.BOOL)])
    report = make_report(Model(graph, backend="numpy"), read_inputs("zeros", graph), title="booleans")
    figures = json.loads(page.json_text(report.data["subgraphs"][0]["tensors"][1]["stats"]))
    assert (figures["min"], figures["max"], figures["zeros"]) == (1, 1, 0)
    assert type(figures["min"]) is int


def test_texts_are_shown() -> None:
    text = TensorType.STRING
    options = SqueezeOptions(squeeze_dims=(0,))
    graph = one_op("SQUEEZE", [tensor((1, 2), text)], [tensor((2,), text)], options)
    model = Model(graph, backend="numpy")
    report = make_report(model, read_inputs("zeros", graph), title="texts")
    data: dict[str, Any] = report.data["subgraphs"][0]["tensors"][0]
    assert data["text"] == ["b''", "b''"]
