"""Where things are kept that can be made again."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from minilite import cache


def test_the_variable_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINILITE_CACHE", str(tmp_path / "mine"))
    assert cache.folder() == tmp_path / "mine"
    assert not cache.folder().exists()


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("MINILITE_CACHE")
    if value is not None:
        monkeypatch.setenv("MINILITE_CACHE", value)
    assert cache.folder() == Path(platformdirs.user_cache_dir("minilite"))


def test_the_folder_of_kernels_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINILITE_CACHE", str(tmp_path / "a" / "b"))
    assert cache.kernels_directory() == tmp_path / "a" / "b" / "kernels"
    assert cache.kernels_directory().is_dir()
    assert not list(cache.kernels_directory().iterdir())


def test_a_folder_that_cannot_be_written_is_replaced_for_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINILITE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.warns(RuntimeWarning, match="cannot be kept in .*MINILITE_CACHE names another folder"):
        replacement = cache.kernels_directory()
    assert replacement.parent == tmp_path
    assert replacement.is_dir()
    assert cache.kernels_directory() == replacement
