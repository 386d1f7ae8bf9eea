from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from minilite.cli import app
from minilite.testing import models
from minilite.writer import write_graph


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINILITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINILITE_MODELS", raising=False)
    monkeypatch.delenv("MINILITE_TRACEBACK", raising=False)


@pytest.fixture
def run() -> Callable[..., Any]:
    """``run("segment", photo)``: the command's result, with ``exit_code``, ``stdout`` and ``stderr``."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A model that labels bright pixels 1 and dark ones 0: a 1 x 1 convolution to two scores."""
    weights = np.array([[0, 0, 0], [1, 1, 1]], np.float32).reshape(2, 1, 1, 3)
    graph = models.one_op(
        "CONV_2D",
        [
            models.tensor((1, 8, 8, 3), name="photo"),
            models.constant(weights, name="weights"),
            models.constant(np.zeros(2, np.float32), name="bias"),
        ],
        [models.tensor((1, 8, 8, 2), name="scores")],
        _unit_stride(),
    )
    path = tmp_path / "tiny.tflite"
    path.write_bytes(write_graph(graph))
    return path


def _unit_stride() -> Any:
    from minilite import ops

    conv = ops.find("CONV_2D")
    assert conv is not None
    assert conv.options is not None
    return conv.options(stride_w=1, stride_h=1)


@pytest.fixture
def foreign_model(tmp_path: Path) -> Path:
    """A model with an operator that nobody has."""
    graph = models.one_op(
        "NobodyHasThis", [models.tensor((1, 4))], [models.tensor((1, 4))], custom_options=b"?"
    )
    path = tmp_path / "foreign.tflite"
    path.write_bytes(write_graph(graph))
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture 20 wide and 10 high: black on the left, white on the right."""
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, 10:] = 255
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path
