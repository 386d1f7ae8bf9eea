from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[..., Any]


def test_an_element_in_words(run: Run, tiny_model: Path) -> None:
    np.save("x.npy", np.full((1, 8, 8, 3), 2, np.float32))
    result = run("explain", tiny_model, "--input", "x.npy", "--tensor", "scores", "--at", "0,1,2,1",
                 "--backend", "numpy")  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:2] == ["tensor 3 'scores' (FLOAT32 1x8x8x2) at 0,1,2,1: 6", "made by op 0 CONV_2D"]
    assert "operator's 0 photo 1x8x8x3 3 of 192 rows 1, columns 2, channels 0..2" in lines
    assert "+ bias 0.0 6" in lines
    assert "x * w: all; all add up to 6" in lines
    assert "0 at 0,1,2,0 2 2 1 at 1,0,0,0 1 2 33.3%" in lines
    assert "the reference makes 6 of the recorded inputs: the recorded value, bit for bit" in lines


def test_json_holds_everything(run: Run, tiny_model: Path) -> None:
    result = run("explain", tiny_model, "--at", "0,0,0,1", "--top", "2", "--json", "--backend", "numpy")
    data = json.loads(result.stdout)
    assert (data["tensor"]["number"], data["at"], data["operator"]["name"]) == (3, [0, 0, 0, 1], "CONV_2D")
    assert (len(data["parts"]), data["part_count"], data["verdict"]) == (2, 3, "equal bits")
    assert [f["tensor"] for f in data["direct"]] == [0, 1, 2]
    assert [(s["first"], s["last"]) for s in data["model"][0]["spans"]] == [(0, 0), (0, 0), (0, 0), (0, 2)]


def test_what_cannot_be_explained(run: Run, tiny_model: Path) -> None:
    assert "give indices, as in --at 0,12,40,15" in run("explain", tiny_model, "--at", "1;2").stderr
    result = run("explain", tiny_model, "--tensor", "nobody", "--backend", "numpy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no tensor is called 'nobody'" in result.stderr
    result = run("explain", tiny_model, "--at", "9,9", "--backend", "numpy")
    assert result.exit_code == 2
    assert "there is no element (9, 9) in tensor 3" in result.stderr
