from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import load
from minilite.writer import write_graph
from tests.debug.test_twin import uint8_convolution

Run = Callable[..., Any]


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    path = tmp_path / "quantized.tflite"
    path.write_bytes(write_graph(uint8_convolution()))
    np.save("x.npy", np.array([12, 7], np.uint8).reshape(1, 1, 1, 2))
    return path


def test_a_table_and_the_twin_as_a_file(run: Run, quantized: Path) -> None:
    result = run("shadow", quantized, "--input", "x.npy", "--twin", "twin.tflite", "--backend", "numpy")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "0 CONV_2D (!) 3 uint8 16.9 16.9 0.00% 0.00% 255 0.00%" in lines
    assert "output 3 output_0: 16.9 dB" in lines
    assert lines[-1] == "written: twin.tflite"
    given = np.array([1, -1.5], np.float32).reshape(1, 1, 1, 2)
    assert load("twin.tflite", backend="numpy")(given)[0].item() == 1.75


def test_json(run: Run, quantized: Path) -> None:
    data = json.loads(run("shadow", quantized, "--input", "x.npy", "--json", "--backend", "numpy").stdout)
    (row,) = data["operators"]
    assert (row["name"], round(row["local"], 3), data["worst"]) == ("CONV_2D", 16.902, [0])


def test_what_cannot_be_shadowed(run: Run, tiny_model: Path, quantized: Path) -> None:
    result = run("shadow", tiny_model, "--backend", "numpy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing in this model is quantized" in result.stderr
    assert run("shadow", quantized, "--sort", "size").exit_code == 2
    assert run("shadow", quantized, "--twin", "twin.bin").exit_code == 2
    assert not Path("twin.bin").exists()
