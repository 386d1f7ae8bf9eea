"""Models by name: where a model's file is, and what a program has to know to use it.

The known models are data (``minilite_models/models.toml``). A name is looked up in the folder that
``MINILITE_MODELS`` names, then among the files that come with the package, then in the cache, and at last
downloaded into the cache.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

import minilite_models

from minilite import cache as caches
from minilite.errors import DownloadError, ModelNotFoundError

DownloadProgress = Callable[[int, int], None]
"""``progress(bytes_so_far, bytes_in_all)``."""

CHUNK = 1 << 16
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Normalisation:
    """What a float input is given: ``(pixel - mean) / std`` for pixels from 0 to 255."""

    mean: float
    std: float


PLUS_MINUS_ONE = Normalisation(127.5, 127.5)
"""Pixels to -1 ... 1, as MobileNets and the DeepLabs on them are trained."""


@dataclass(frozen=True)
class KnownModel:
    """One entry of the table of known models.

    Attributes
    ----------
    url:
        The official address, or None where there is none.
    labels:
        Class names; their positions are the labels.
    """

    name: str
    description: str
    file: str
    url: str | None
    sha256: str
    bytes: int
    licence: str
    labels: tuple[str, ...]
    normalisation: Normalisation


@dataclass(frozen=True)
class FoundModel:
    """A model file, and what is known about it (None: a file minilite does not know)."""

    path: Path
    known: KnownModel | None


@cache
def known_models() -> dict[str, KnownModel]:
    """All known models by name."""
    return {
        name: KnownModel(
            name=name,
            description=entry["description"],
            file=entry["file"],
            url=entry.get("url"),
            sha256=entry["sha256"],
            bytes=entry["bytes"],
            licence=entry["licence"],
            labels=minilite_models.labels(entry["labels"]),
            normalisation=Normalisation(**entry["normalisation"]),
        )
        for name, entry in minilite_models.table().items()
    }


def find_model(model: str | Path, *, progress: DownloadProgress | None = None) -> FoundModel:
    """Find the file of a model given by path or by name; download it if that is the only way.

    A file given by path is recognised as a known model by its digest. A file found under a known
    model's name is taken for that model without looking at its content, except in the package and in
    the cache, where another content is warned about.

    Raises
    ------
    ModelNotFoundError
        Neither a file nor a known name, or a known model that cannot be downloaded from anywhere;
        the message says where it was looked for.
    DownloadError
        The download failed, or brought something with another digest.
    """
    path = Path(model)
    if path.is_file():
        return FoundModel(path, _recognise(path))
    known = known_models().get(str(model))
    if known is None:
        raise _unknown(path)
    for folder in _folders():
        candidate = folder / known.file
        if candidate.is_file():
            if folder != models_folder():
                _warn_of_other_content(candidate, known)
            return FoundModel(candidate, known)
    return FoundModel(_download(known, progress), known)


def models_folder() -> Path | None:
    """The folder that ``MINILITE_MODELS`` names, if it is set."""
    folder = os.environ.get("MINILITE_MODELS")
    return Path(folder) if folder else None


def cache_folder() -> Path:
    """Where downloaded models are kept: ``models`` in minilite's cache."""
    return caches.folder() / "models"


def packaged_folder() -> Path:
    """Where the models are that come with the package."""
    return Path(minilite_models.__file__).parent


def _folders() -> list[Path]:
    given = models_folder()
    return [*([] if given is None else [given]), packaged_folder(), cache_folder()]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _recognise(path: Path) -> KnownModel | None:
    size = path.stat().st_size
    candidates = [known for known in known_models().values() if known.bytes == size]
    digest = sha256_of(path) if candidates else ""
    return next((known for known in candidates if known.sha256 == digest), None)


def _warn_of_other_content(path: Path, known: KnownModel) -> None:
    if path.stat().st_size != known.bytes or sha256_of(path) != known.sha256:
        again = "delete it to download it again" if known.url else "replace it"
        remedy = "install minilite again" if path.parent == packaged_folder() else again
        warnings.warn(
            f"{path} is not the file minilite knows as {known.name} (its SHA-256 differs): {remedy}",
            stacklevel=3,
        )


def _unknown(path: Path) -> ModelNotFoundError:
    if path.is_dir():
        return ModelNotFoundError(f"{path} is a folder: name a .tflite file", rule="model-file")
    names = list(known_models())
    close = difflib.get_close_matches(str(path), names, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    return ModelNotFoundError(
        f"{path} is neither a file nor the name of a known model.{guess} Known names: {', '.join(names)}",
        rule="model-name",
    )


def _not_found(known: KnownModel, reason: str) -> str:
    """The whole message: why, where was looked, what to do."""
    folder = models_folder()
    given = "MINILITE_MODELS (not set)" if folder is None else f"{folder} (MINILITE_MODELS)"
    places = [
        given,
        f"{cache_folder()} (the cache; MINILITE_CACHE moves it)",
        *([known.url] if known.url else []),
    ]
    looked = "\n  ".join(places)
    return (
        f"{known.name} was not found: {reason}. Looked in\n  {looked}\n"
        f"Put the file {known.file} (SHA-256 {known.sha256}) into the cache folder, or into any folder and "
        "name that in MINILITE_MODELS, or give the path of a .tflite file instead"
    )


def _download(known: KnownModel, progress: DownloadProgress | None) -> Path:
    """Fetch a model into the cache. The file gets its name only after its digest is right."""
    if known.url is None:
        raise ModelNotFoundError(_not_found(known, "no official address offers it"), rule="model-absent")
    target = cache_folder() / known.file
    partial = target.with_name(f"{known.file}.{uuid4().hex}.part")
    cause: Exception | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            digest = _fetch(known.url, known.bytes, file.write, progress)
        if digest == known.sha256:
            partial.replace(target)
            return target
        reason = f"the download was thrown away, it has another SHA-256 ({digest})"
    except (OSError, HTTPException) as error:
        cause = error
        reason = f"it could not be downloaded ({getattr(error, 'reason', error)})"
    finally:
        with suppress(OSError):
            partial.unlink()
    raise DownloadError(_not_found(known, reason), rule="download") from cause


def _fetch(url: str, size: int, write: Callable[[bytes], int], progress: DownloadProgress | None) -> str:
    """Stream ``url`` into ``write`` and return the SHA-256; stops early if there is more than ``size``."""
    digest = hashlib.sha256()
    done = 0
    request = urllib.request.Request(url, headers={"User-Agent": "minilite"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        while done <= size and (chunk := response.read(CHUNK)):
            write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(min(done, size), size)
    return digest.hexdigest()
