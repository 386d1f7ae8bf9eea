"""What every test may ask for: models, the LiteRT oracle, one hypothesis profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Compiling a kernel inside an example takes seconds once; a deadline would time the compiler.
settings.register_profile(
    "minilite", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("minilite"), max_examples=3)
settings.load_profile("minilite")


@pytest.fixture(scope="session", autouse=True)
def minilite_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """What ``MINILITE_CACHE`` names: a folder in pytest's own cache, never the user's.

    Compiled kernels stay there for the next session and for child processes; their digest keeps stale
    ones out.
    """
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("minilite") if cache else tmp_path_factory.mktemp("minilite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINILITE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of real models, or skip."""
    folder = os.environ.get("MINILITE_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MINILITE_MODELS names no folder of models")
    return Path(folder)


@pytest.fixture(scope="session")
def model_path(models_dir: Path) -> Callable[[str], Path]:
    """``model_path("deeplabv3_257_mv_gpu.tflite")``: a real model's path, or skip."""

    def find(name: str) -> Path:
        path = models_dir / name
        if not path.exists():
            pytest.skip(f"{name} is not in MINILITE_MODELS")
        return path

    return find


@pytest.fixture(scope="session")
def litert() -> Any:
    """LiteRT's Python interpreter module, or skip."""
    return pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")


@pytest.fixture(scope="session")
def litert_or_none() -> Any:
    """LiteRT's Python interpreter module where it is installed, else None."""
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        return None
    return interpreter
