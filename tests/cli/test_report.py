from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minilite.graph import Padding
from minilite.ops.pooling import Pool2DOptions
from minilite.testing.models import one_op, tensor
from minilite.writer import write_graph

Run = Callable[..., Any]


def test_it_writes_a_page_and_says_so(run: Run, tiny_model: Path, photo: Path) -> None:
    result = run("report", tiny_model, "--input", photo, "--backend", "numpy", "--output", "page.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("written: page.html (")
    assert result.stderr == ""
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_json_is_all_that_is_printed(run: Run, tiny_model: Path, photo: Path) -> None:
    result = run("report", tiny_model, "--input", photo, "--backend", "numpy", "--json")
    data = json.loads(result.stdout)
    assert (data["path"], data["operators"], data["segmentation"], data["omitted"]) == (
        "report.html",
        1,
        True,
        [],
    )
    assert data["bytes"] == Path("report.html").stat().st_size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "page.txt"], "give it the suffix .html"),
        (["--output", "no/such/folder/page.html"], "no folder no/such/folder"),
        (["--input", "nothing.png"], "there is no such file"),
        (["--budget", "0"], "--budget"),
    ],
)
def test_bad_arguments_say_what_is_wrong(
    run: Run, tiny_model: Path, options: list[str], message: str
) -> None:
    result = run("report", tiny_model, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())  # usage errors stand in a box
    assert not Path("report.html").exists()


def test_sizes_that_a_file_leaves_open_are_asked_for(run: Run, tmp_path: Path) -> None:
    options = Pool2DOptions(padding=Padding.VALID, stride_w=1, stride_h=1, filter_width=1, filter_height=4)
    graph = one_op("MAX_POOL_2D", [tensor((1, 1, 1, 1), name="sound")], [tensor()], options)
    sound = replace(graph.main.tensors[0], shape_signature=(1, -1, 1, 1))
    main = replace(graph.main, tensors=(sound, graph.main.tensors[1]))
    path = tmp_path / "open.tflite"
    path.write_bytes(write_graph(replace(graph, subgraphs=(main,))))
    result = run("report", path, "--backend", "numpy")
    assert result.exit_code == 2
    assert "gave 1x1x1x1" in result.stderr
