from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image


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
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "out")])
    assert demo.main() == 0
    figure = Image.open(tmp_path / "out" / "chelsea.png")
    assert figure.width > 3 * 400
    assert Image.open(tmp_path / "out" / "all.png").size == figure.size


def test_without_any_model_it_says_what_to_do(
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("skimage", reason="scikit-image brings the photos")
    monkeypatch.setattr(demo, "MODELS", ("deeplabv3_uint8",))
    monkeypatch.delenv("MINILITE_MODELS", raising=False)
    monkeypatch.setenv("MINILITE_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "out")])
    assert demo.main() == 2
    assert "make demo" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
