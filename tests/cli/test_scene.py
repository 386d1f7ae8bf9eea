from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minilite_models import scenes
from PIL import Image

Run = Callable[..., Any]


def test_it_draws_a_scene_and_its_truth(run: Run) -> None:
    result = run("scene", "--seed", 3, "--truth", "truth.png", "--size", 64)
    assert result.exit_code == 0, result.output
    expected = scenes.draw(3, 64)
    np.testing.assert_array_equal(np.asarray(Image.open("scene.png")), expected.image)
    mask = Image.open("truth.png")
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), expected.truth)
    assert result.stdout.split()[:6] == ["seed", "picture", "truth", "classes", "3", "scene.png"]


def test_many_scenes_fill_two_folders(run: Run) -> None:
    result = run(
        "scene", "--seed", 5, "--count", 2, "--output", "in", "--truth", "true", "--size", 32, "--json"
    )
    data = json.loads(result.stdout)
    assert [entry["seed"] for entry in data] == [5, 6]
    assert data[1]["truth"] == str(Path("true") / "6.png")
    assert sum(data[0]["shares"].values()) == pytest.approx(1)
    assert sorted(path.name for path in Path("in").iterdir()) == ["5.png", "6.png"]


def test_what_was_drawn_is_segmented_by_the_packaged_model(run: Run) -> None:
    run("scene", "--seed", 2)
    result = run("segment", "scene.png", "--model", "shapes", "--backend", "numpy", "--json")
    found = {entry["name"]: entry["share"] for entry in json.loads(result.stdout)["classes"]}
    truth = scenes.draw(2).truth
    assert Image.open("scene.png").size == (scenes.SIZE, scenes.SIZE)
    assert set(found) <= set(scenes.CLASSES)
    assert found["ring"] == pytest.approx(np.mean(truth == scenes.CLASSES.index("ring")), abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "no/scene.png"], "no folder no"),
        (["--truth", "scene.png"], "both scene and truth"),
        (["--truth", "t.txt"], "no picture can be written"),
    ],
)
def test_what_cannot_be_written_is_said_first(run: Run, options: list[str], message: str) -> None:
    result = run("scene", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not Path("scene.png").exists()
