"""Real models, whole: minilite's two backends against LiteRT's reference kernels and its default path."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minilite.testing.models import constant, one_op, tensor
from minilite.writer import write_graph

FOLDER = Path(os.environ.get("MINILITE_MODELS") or ".")
MODELS = sorted(path.stem for path in FOLDER.glob("*.tflite"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[1] / "tools" / "model_parity.py"
    spec = importlib.util.spec_from_file_location("model_parity", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_parity"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MODELS or [pytest.param("", marks=pytest.mark.skip("no MINILITE_MODELS"))])
def test_a_model_is_litert_s(tool: ModuleType, litert: Any, name: str) -> None:
    """Integer outputs equal, float ones near; every operator within its own tolerance on the same inputs."""
    row = tool.model_parity(FOLDER / f"{name}.tflite", tool.Settings(runs=0))
    assert row.status in ("agrees", "no oracle"), row.message
    assert row.outputs, "nothing was compared"
    assert row.within == row.operators


def test_a_difference_is_found(
    tool: ModuleType, litert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = one_op("ADD", [tensor((1, 3)), constant(np.ones(3, np.float32))], [tensor((1, 3))])
    path = tmp_path / "add.tflite"
    path.write_bytes(write_graph(graph))
    assert tool.model_parity(path, tool.Settings(runs=1)).status == "agrees"
    right = tool.run
    monkeypatch.setattr(tool, "run", lambda *given: [value + 1 for value in right(*given)])
    row = tool.model_parity(path, tool.Settings(runs=1))
    assert row.status == "differs"
    assert "off by 1" in row.message
    assert (row.within, row.operators) == (1, 1)
    assert row.ratio is not None


def test_missing_operators_are_named(tool: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(write_graph(one_op("Nobody", [tensor((1,))], [tensor((1,))], custom_options=b"?")))
    row = tool.model_parity(path, tool.Settings())
    assert (row.status, row.message) == ("missing", "Nobody")
