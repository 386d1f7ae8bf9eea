from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from minilite import catalogue
from minilite.errors import DownloadError, ModelNotFoundError

CONTENT = bytes(range(256)) * 1000
STARTER = catalogue.known_models()["deeplabv3"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Fresh MINILITE_MODELS and cache folders."""
    models, cache = tmp_path / "given", tmp_path / "cache"
    models.mkdir()
    monkeypatch.setenv("MINILITE_MODELS", str(models))
    monkeypatch.setenv("MINILITE_CACHE", str(cache))
    return models, cache / "models"


@pytest.fixture
def server() -> Iterator[str]:
    """An address that serves CONTENT, and less or more of it under other names."""
    bodies = {"/good": CONTENT, "/short": CONTENT[:-1], "/long": CONTENT * 5}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            if body is not None:
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def know(monkeypatch: pytest.MonkeyPatch, url: str | None) -> catalogue.KnownModel:
    """Make ``tiny`` the only known model."""
    tiny = dataclasses.replace(
        STARTER,
        name="tiny",
        file="tiny.tflite",
        url=url,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        bytes=len(CONTENT),
    )
    monkeypatch.setattr(catalogue, "known_models", lambda: {"tiny": tiny})
    return tiny


def test_the_starter_model_is_in_the_table() -> None:
    known = catalogue.known_models()["deeplabv3"]
    assert known.file == "deeplabv3_257_mv_gpu.tflite"
    assert known.sha256 == "68a539782c2c6a72f8aac3724600124a85ed977162b44e84cbae5db717c933c6"
    assert known.bytes == 2779264
    assert known.normalisation == catalogue.Normalisation(127.5, 127.5)
    assert len(known.labels) == 21
    assert (known.labels[0], known.labels[8], known.labels[15]) == ("background", "cat", "person")


def test_every_entry_is_complete() -> None:
    for name, known in catalogue.known_models().items():
        assert known.name == name
        assert re.fullmatch("[0-9a-f]{64}", known.sha256)
        assert known.url is None or known.url.startswith("https://")
        assert known.file.endswith(".tflite")


def test_a_path_wins_and_is_recognised_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = know(monkeypatch, None)
    renamed = tmp_path / "other name.tflite"
    renamed.write_bytes(CONTENT)
    assert catalogue.find_model(renamed) == catalogue.FoundModel(renamed, tiny)
    renamed.write_bytes(CONTENT[::-1])
    assert catalogue.find_model(str(renamed)) == catalogue.FoundModel(renamed, None)


def test_the_given_folder_comes_before_the_cache(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = know(monkeypatch, None)
    given, cached = (folder / tiny.file for folder in folders)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert catalogue.find_model("tiny") == catalogue.FoundModel(cached, tiny)
    given.write_bytes(b"trusted by name")
    assert catalogue.find_model("tiny") == catalogue.FoundModel(given, tiny)


def test_the_package_comes_before_the_cache_and_is_looked_at(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = know(monkeypatch, None)
    package = tmp_path / "package"
    monkeypatch.setattr(catalogue, "packaged_folder", lambda: package)
    given, packaged, cached = (folder / tiny.file for folder in (folders[0], package, folders[1]))
    for path in (packaged, cached):
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
    assert catalogue.find_model("tiny") == catalogue.FoundModel(packaged, tiny)
    packaged.write_bytes(CONTENT[::-1])
    with pytest.warns(UserWarning, match=r"SHA-256 differs.*install minilite again"):
        assert catalogue.find_model("tiny").path == packaged
    given.write_bytes(CONTENT)
    assert catalogue.find_model("tiny").path == given


def test_other_content_in_the_cache_is_warned_about(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = know(monkeypatch, "http://unused.invalid")
    cached = folders[1] / tiny.file
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[::-1])
    with pytest.warns(UserWarning, match="SHA-256 differs.*delete it"):
        assert catalogue.find_model("tiny").path == cached


def test_download_fills_the_cache_once(
    server: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, f"{server}/good")
    steps: list[tuple[int, int]] = []
    found = catalogue.find_model("tiny", progress=lambda done, size: steps.append((done, size)))
    assert found.path == folders[1] / "tiny.tflite"
    assert found.path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    know(monkeypatch, "http://unused.invalid")
    assert catalogue.find_model("tiny").path == found.path


@pytest.mark.parametrize("page", ["short", "long"])
def test_a_download_with_another_digest_is_thrown_away(
    page: str, server: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, f"{server}/{page}")
    with pytest.raises(DownloadError, match="another SHA-256"):
        catalogue.find_model("tiny")
    assert list(folders[1].iterdir()) == []


@pytest.mark.parametrize("reason", ["404", "refused"])
def test_a_failed_download_says_where_was_looked_and_what_to_do(
    reason: str, server: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, f"{server}/missing" if reason == "404" else "http://127.0.0.1:9/")
    with pytest.raises(DownloadError) as caught:
        catalogue.find_model("tiny")
    message = str(caught.value)
    for part in (
        *map(str, folders),
        "MINILITE_MODELS",
        "could not be downloaded",
        "Put the file tiny.tflite",
    ):
        assert part in message
    assert list(folders[1].iterdir()) == []


def test_an_interrupted_download_leaves_nothing(
    server: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, f"{server}/good")

    def interrupt(done: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalogue.find_model("tiny", progress=interrupt)
    assert list(folders[1].iterdir()) == []


def test_a_model_without_address_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINILITE_MODELS")
    with pytest.raises(ModelNotFoundError, match=r"no official address[\s\S]*MINILITE_MODELS \(not set\)"):
        catalogue.find_model("deeplabv3_uint8")


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, "http://unused.invalid")
    file = tmp_path / "file"
    file.write_text("in the way")
    monkeypatch.setenv("MINILITE_CACHE", str(file))
    with pytest.raises(DownloadError, match=r"could not be downloaded[\s\S]*MINILITE_CACHE moves it"):
        catalogue.find_model("tiny")


def test_an_unknown_name_gets_the_closest_known_one() -> None:
    with pytest.raises(ModelNotFoundError, match=r"Did you mean deeplabv3\? Known names: deeplabv3,"):
        catalogue.find_model("deeplab3")
    with pytest.raises(ModelNotFoundError, match="neither a file nor the name"):
        catalogue.find_model("no/such/file.tflite")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="is a folder"):
        catalogue.find_model(tmp_path)
