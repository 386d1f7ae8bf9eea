from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]


def test_it_prints_classes_and_writes_overlay_and_mask(
    run: Run, photo: Path, tiny_model: Path, tmp_path: Path
) -> None:
    result = run("segment", photo, "--model", tiny_model, "--backend", "numpy", "--mask", "mask.png")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["class", "share", "%", "colour"]
    assert sorted(lines[1:3]) == [
        ["class", "0", "50.00", "#000000"],
        ["class", "1", "50.00", "#800000"],
    ]
    assert result.stderr == ""
    mask = Image.open("mask.png")
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), np.repeat([[0] * 10 + [1] * 10], 10, axis=0))
    overlay = Image.open(tmp_path / "photo_overlay.png")
    assert overlay.width >= 20
    assert overlay.height > 10


def test_json_is_all_that_is_printed(run: Run, photo: Path, tiny_model: Path) -> None:
    result = run("segment", photo, "--model", tiny_model, "--backend", "numpy", "--output", "o.jpg", "--json")
    data = json.loads(result.stdout)
    assert (data["width"], data["height"], data["backend"]) == (20, 10, "numpy")
    assert {(c["label"], c["share"]) for c in data["classes"]} == {(0, 0.5), (1, 0.5)}
    assert data["overlay"] == "o.jpg"
    assert data["mask"] is None
    assert set(data["milliseconds"]) == {"load", "run", "total"}
    assert Path("o.jpg").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "no/such/folder/o.png"], "no folder no/such/folder"),
        (["--output", "photo.png"], "is the photo itself"),
        (["--mask", "photo.png"], "is the photo itself"),
        (["--output", "o.txt"], "'.txt', in which no picture can be written"),
        (["--mask", "m.jpg"], "give it the suffix .png"),
        (["--output", "a.png", "--mask", "a.png"], "both overlay and mask"),
        (["--output", "."], "is a folder"),
        (["--backend", "gpu"], "gpu"),
        (["--model", "deeplab"], "Did you mean deeplabv3"),
        (["--model", "deeplabv3_uint8"], "MINILITE_MODELS"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    options: list[str], message: str, run: Run, photo: Path, tiny_model: Path
) -> None:
    before = sorted(photo.parent.iterdir())
    result = run("segment", photo, "--model", tiny_model, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert sorted(photo.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "is empty"), (b"text", "is not a picture")],
)
def test_bad_photos(content: bytes | None, message: str, run: Run, tiny_model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
    result = run("segment", bad, "--model", tiny_model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: {bad} {message}" in result.stderr


@pytest.mark.parametrize("content", [b"", b"just some text", b"\x1c\0\0\0TFL3" + b"\0" * 20])
def test_bad_models(content: bytes, run: Run, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(content)
    result = run("segment", photo, "--model", bad)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_a_model_with_unknown_operators_names_them(run: Run, photo: Path, foreign_model: Path) -> None:
    result = run("segment", photo, "--model", foreign_model)
    assert result.exit_code == 2
    assert "NobodyHasThis" in result.stderr


# LiteRT's shares, with its reference kernels for the quantised model.
@pytest.mark.parametrize(
    ("file", "shares"),
    [
        ("deeplabv3_257_mv_gpu.tflite", {"person": 0.4646, "background": 0.5350}),
        ("deeplabv3_jejunet_256_uint8.tflite", {"person": 0.4786, "background": 0.3771, "motorbike": 0.1443}),
    ],
)
def test_the_deeplabs_find_the_astronaut(
    file: str, shares: dict[str, float], run: Run, model_path: Callable[[str], Path]
) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photo")
    Image.fromarray(data.astronaut()).save("astronaut.png")
    result = run("segment", "astronaut.png", "--model", model_path(file), "--backend", "numpy", "--json")
    assert result.exit_code == 0, result.output
    found = {c["name"]: c["share"] for c in json.loads(result.stdout)["classes"]}
    for name, share in shares.items():
        assert found[name] == pytest.approx(share, abs=1e-3)
