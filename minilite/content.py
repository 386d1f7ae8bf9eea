"""The bytes of a model file: where they come from, and the only way they are read.

Nothing is copied: numbers are read in place, vectors are read-only views.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
import struct
from typing import Any, BinaryIO

import numpy as np

from minilite.errors import ModelFormatError, ModelNotFoundError
from minilite.graph import Array

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""Where a model is: a path, its bytes, or an open binary file."""

IDENTIFIER = b"TFL3"
HEADER_SIZE = 8

# What a file written by any converter needs is about its own size, since nothing in it is shared but
# strings and vtables. A file that makes us read more points many offsets at the same bytes.
_READS_PER_BYTE = 4


class Content:
    """The bytes of a model file, read-only, and how much of them may still be unpacked."""

    __slots__ = ("_unread", "data", "name", "size")

    def __init__(self, data: memoryview, name: str) -> None:
        self.data = data
        self.name = name
        self.size = len(data)
        self._unread = _READS_PER_BYTE * self.size

    def error(
        self, message: str, *, rule: str, offset: int | None = None, **context: Any
    ) -> ModelFormatError:
        """The error to raise for a fault of this file."""
        return ModelFormatError(f"{self.name}: {message}", rule=rule, offset=offset, **context)

    def require(self, start: int, size: int) -> None:
        """Check that ``size`` bytes from ``start`` are in the file."""
        if start < 0 or start + size > self.size:
            missing = start + size - self.size
            raise self.error(
                f"refers to {size} bytes at offset {start}, outside its {self.size} bytes: "
                + (
                    f"it is damaged, or truncated by at least {missing} bytes; "
                    if missing > 0
                    else "damaged; "
                )
                + "fetch the file again",
                rule="offset",
                offset=start,
            )

    def charge(self, size: int) -> None:
        """Count bytes that are about to be unpacked into Python objects."""
        self._unread -= size
        if self._unread < 0:
            raise self.error(
                f"unpacks to more than {_READS_PER_BYTE} times its {self.size} bytes: "
                "its tables share their contents in a way no converter writes",
                rule="expansion",
            )

    def unpack(self, form: struct.Struct, start: int) -> Any:
        """One number."""
        if start < 0 or start + form.size > self.size:
            self.require(start, form.size)
        return form.unpack_from(self.data, start)[0]

    def view(self, start: int, count: int, dtype: Any) -> Array:
        """A vector as a read-only view of the file."""
        dtype = np.dtype(dtype)
        self.require(start, count * dtype.itemsize)
        if count == 0:
            return np.empty(0, dtype)
        return np.frombuffer(self.data, dtype, count, start)


def read_content(source: Source) -> Content:
    """The bytes of a model, of which the header has been checked.

    Raises
    ------
    ModelNotFoundError
        There is no such file, or it may not be read.
    ModelFormatError
        It is not a TFLite file; the message says what it seems to be and what to do.
    """
    content = _open(source)
    _check_header(content)
    return content


def _open(source: Source) -> Content:
    if isinstance(source, (bytes, bytearray, memoryview)):
        # Whoever gave us writable memory may change it later; the graph must not change with it.
        return Content(memoryview(bytes(source)), "model content")
    if hasattr(source, "read"):
        data = source.read()
        if isinstance(data, str):
            raise TypeError("a model file must be opened in binary mode, as open(path, 'rb')")
        return Content(memoryview(bytes(data)), str(getattr(source, "name", "model content")))
    return _map(os.fspath(source))


def _map(path: str) -> Content:
    """A file on disk, mapped rather than read: what is never looked at is never loaded."""
    try:
        _check_kind(path, os.stat(path).st_mode)
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
                return Content(memoryview(b""), path)
            return Content(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), path)
    except ModelFormatError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ModelNotFoundError(
            f"Could not open {path!r}.\n{reason}: give the path of a .tflite file", rule="not-found"
        ) from error


def _check_kind(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):  # to open a pipe would wait for its writer
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise ModelFormatError(f"{path}: is {kind}: give a .tflite file", rule="not-a-file")


_FOREIGN = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file it points to: run `git lfs pull`"),
    (b"PK\x03\x04", "is a zip archive: unpack it and give the .tflite file inside"),
    (b"\x1f\x8b", "is gzip-compressed: unpack it first"),
    (b"\x89HDF", "is an HDF5 file (a Keras model): convert it to TFLite first"),
    (b"<", "is an HTML or XML page, perhaps what a server answered instead of the model: fetch it again"),
)


def _check_header(content: Content) -> None:
    head = bytes(content.data[:256])
    if len(head) >= HEADER_SIZE and head[4:8] == IDENTIFIER:
        return
    identifier = repr(head[4:8])[2:-1]
    raise ModelFormatError(
        f"Model provided has model identifier '{identifier}', should be '{IDENTIFIER.decode()}'\n"
        f"{content.name}: {_what_it_is(head)}",
        rule="identifier",
        offset=4,
    )


def _what_it_is(head: bytes) -> str:
    if not head:
        return "is empty: fetch the file again"
    for magic, advice in _FOREIGN:
        if head.lstrip().startswith(magic):
            return advice
    if not re.search(rb"[^\t\r\n -~]", head):
        return "is a text file: give a .tflite file"
    if len(head) < HEADER_SIZE:
        return f"ends after {len(head)} bytes, within its header: fetch the file again"
    return "is not a TFLite model: give a .tflite file"
