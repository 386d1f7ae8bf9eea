"""Recordings as files: a .npz archive with JSON and the model beside the arrays (docs/formats.md).

Nothing that is read is trusted: sizes are checked before memory is taken, and no pickle is ever loaded.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from minilite.buffers import decode, encode
from minilite.errors import MiniliteError, RecordingError
from minilite.graph import Array, TensorType

FORMAT = "minilite-recording"
VERSION = 1
HEADER = "recording.json"
MODEL = "model.tflite"

Progress = Callable[[int, int], None]
"""``progress(done, total)``, called after each array."""

_DAMAGE = (
    OSError,
    ValueError,  # JSON, text and array headers, too
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # a method of compression
    RecursionError,
    MemoryError,
    zlib.error,
    zipfile.BadZipFile,
    SyntaxError,  # an array header that is no literal
)


def write_archive(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    model: bytes,
    arrays: Mapping[int, Array],
    progress: Progress | None = None,
) -> None:
    """Write a recording; a file of that name is replaced when the new one is whole."""
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(HEADER, json.dumps(header, ensure_ascii=False, allow_nan=False))
            archive.writestr(MODEL, model)
            for done, (number, value) in enumerate(arrays.items()):
                plain = encode(value, TensorType.STRING) if value.dtype == object else value
                with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(plain), allow_pickle=False)
                if progress is not None:
                    progress(done + 1, len(arrays))
        partial.replace(path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error}", rule="file") from error
    finally:
        partial.unlink(missing_ok=True)


def read_archive(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes, ArchivedArrays]:
    """The header, the model's bytes, and the arrays, which are read when they are asked for.

    Raises
    ------
    RecordingError
        It is no recording, or a damaged one.
    """
    name = str(path)
    with _reporting(name):
        archive = zipfile.ZipFile(path)
        if HEADER not in archive.namelist():
            raise RecordingError(
                f"{name}: no recording: it has no {HEADER} in it. `minilite trace --output` writes one",
                rule="format",
            )
        header = json.loads(archive.read(HEADER))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise RecordingError(f"{name}: {HEADER} does not say that it is a {FORMAT}", rule="format")
        if header.get("version") != VERSION:
            raise RecordingError(
                f"{name}: written in version {header.get('version')!r} of the format, this minilite reads "
                f"version {VERSION}",
                rule="version",
            )
        return header, archive.read(MODEL), ArchivedArrays(archive, name, header["tensors"])


class ArchivedArrays(Mapping[int, Array]):
    """The arrays of a file by tensor number, read-only; each is read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile, name: str, described: Mapping[str, Any]) -> None:
        self._archive, self._name = archive, name
        self._described = {
            int(number): (np.dtype(str(entry["dtype"])), tuple(map(_size, entry["shape"])))
            for number, entry in described.items()
        }

    def described(self, number: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """The type and shape that the header promises."""
        return self._described[number]

    def __getitem__(self, number: int) -> Array:
        dtype, shape = self._described[number]
        with _reporting(f"{self._name}: tensor {number}"), self._archive.open(f"{number}.npy") as member:
            if dtype.hasobject:
                packed = _read_array(member, self._info(number), np.dtype(np.uint8), None)
                value = decode(packed, TensorType.STRING, self._name).reshape(shape)
            else:
                value = _read_array(member, self._info(number), dtype, shape)
        value.flags.writeable = False
        return value

    def __iter__(self) -> Iterator[int]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def _info(self, number: int) -> int:
        return self._archive.getinfo(f"{number}.npy").file_size


def _read_array(member: IO[bytes], size: int, dtype: np.dtype[Any], shape: tuple[int, ...] | None) -> Array:
    """An array of the type and shape that the header of the file promised."""
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"an array in version {version} of NumPy's format")
    found_shape, columns_first, found_dtype = read[version](member)
    if found_dtype != dtype or (shape is not None and found_shape != shape):
        raise ValueError(f"{found_dtype} {found_shape} where {HEADER} says {dtype} {shape}")
    if found_dtype.hasobject or size - member.tell() != prod(found_shape) * dtype.itemsize:
        raise ValueError(f"{size} bytes do not hold {found_dtype} {found_shape}")
    flat: Array = np.frombuffer(bytearray(member.read()), dtype)
    return flat.reshape(found_shape[::-1]).T if columns_first else flat.reshape(found_shape)


def _size(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


@contextmanager
def _reporting(what: str) -> Iterator[None]:
    """Whatever a damaged file does to the libraries that read it, as one error."""
    try:
        yield
    except MiniliteError:
        raise
    except _DAMAGE as error:
        kind = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise RecordingError(f"{what} {kind}: {error}", rule="damaged") from error
