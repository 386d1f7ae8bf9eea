from __future__ import annotations

import importlib.util
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from PIL import Image

from minilite import catalogue


@pytest.fixture
def demo() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "demo.py"
    spec = importlib.util.spec_from_file_location("demo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_path: Callable[[str], Path]
) -> None:
    pytest.importorskip("skimage", reason="scikit-image brings the photos")
    model_path("deeplabv3_257_mv_gpu.tflite")
    photos = {"chelsea": demo.photos()["chelsea"]}
    monkeypatch.setattr(demo, "photos", lambda: photos)
    monkeypatch.setattr(demo, "SCENES", range(1))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "out")])
    assert demo.main() == 0
    figure = Image.open(tmp_path / "out" / "chelsea.png")
    assert figure.width > 3 * 400
    assert Image.open(tmp_path / "out" / "all.png").size == figure.size


def test_without_a_model_for_photos_scenes_are_segmented(
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("skimage", reason="scikit-image brings the photos")

    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise OSError("there is no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(demo, "SCENES", range(2))
    monkeypatch.setattr(demo, "find_model", _not_in_the_cache(tmp_path))
    monkeypatch.delenv("MINILITE_MODELS", raising=False)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "out")])
    assert demo.main() == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["scene_0.png", "scene_1.png", "scenes.png"]
    figure = Image.open(tmp_path / "out" / "scene_0.png")
    assert figure.width > 4 * 320
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("No photos are segmented") and "no network" in line for line in lines)
    assert any("scenes.png" in line and "of the pixels right" in line for line in lines)


def _not_in_the_cache(folder: Path) -> Callable[[str], object]:
    """``find_model`` with an empty cache for models; compiled kernels stay where they are."""

    def find(name: str) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(catalogue, "cache_folder", lambda: folder / "models")
            return catalogue.find_model(name)

    return find
