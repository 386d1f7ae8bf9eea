"""TFLite's schema over a file's bytes: every offset checked, every read counted.

The generated classes of the ``tflite`` package trust the file. Here they are given a table that
checks each position before it is read, so that any bytes end in a value or a ``ModelFormatError``.
Only this module, ``loader`` and ``writer`` know flatbuffers.
"""

# ruff: noqa: N802 - flatbuffers names its methods in CamelCase

from __future__ import annotations

import re
import struct
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite
from flatbuffers import number_types
from flatbuffers.table import Table

from minilite.content import Content
from minilite.graph import Array

VERSION = 3

_OFFSET = struct.Struct("<I")
_SIGNED_OFFSET = struct.Struct("<i")
_VTABLE_ENTRY = struct.Struct("<H")

_NO_NUMBERS = np.empty(0, np.uint8)


class _CheckedTable(Table):  # type: ignore[misc]  # flatbuffers has no types
    """What the generated classes read through, with the checks they leave out.

    Overrides all of ``Table`` that they call (flatbuffers' ``table.py``).
    """

    __slots__ = ("_content", "_vtable", "_vtable_size")

    def __init__(self, content: Content, position: int) -> None:
        super().__init__(content.data, position)
        self._content = content
        self._vtable = position - content.unpack(_SIGNED_OFFSET, position)
        self._vtable_size = content.unpack(_VTABLE_ENTRY, self._vtable)

    def Offset(self, slot: int) -> int:
        if slot >= self._vtable_size:
            return 0
        return int(self._content.unpack(_VTABLE_ENTRY, self._vtable + slot))

    def Get(self, flags: Any, position: int) -> Any:
        return flags.py_type(self._content.unpack(flags.packer_type, position))

    def Indirect(self, position: int) -> int:
        target = position + int(self._content.unpack(_OFFSET, position))
        self._content.require(target, _OFFSET.size)  # whatever it is begins with an offset or a length
        return target

    def String(self, position: int) -> bytes:
        start = self.Indirect(position)
        size = self._content.unpack(_OFFSET, start)
        self._content.charge(size)
        return self._content.view(start + 4, size, np.uint8).tobytes()

    def Vector(self, field: int) -> int:
        return self.Indirect(self.Pos + field) + 4

    def VectorLen(self, field: int) -> int:
        start = self.Indirect(self.Pos + field)
        count = int(self._content.unpack(_OFFSET, start))
        self._content.require(start + 4, count)  # no element is smaller than a byte
        return count

    def GetVectorAsNumpy(self, flags: Any, field: int) -> Array:
        start = self.Indirect(self.Pos + field)
        count = self._content.unpack(_OFFSET, start)
        return self._content.view(start + 4, count, number_types.to_numpy_type(flags))

    def Union(self, table: Table, field: int) -> None:
        table.Pos = self.Indirect(self.Pos + field)


class Record:
    """One table of the file; ``field`` is the schema's field name in CamelCase, as generated."""

    __slots__ = ("_content", "_object")

    def __init__(self, content: Content, kind: type[Any], position: int) -> None:
        self._content = content
        self._object = kind()
        self._object._tab = _CheckedTable(content, position)

    def number(self, field: str) -> Any:
        """A scalar: the file's, or the schema's default."""
        return getattr(self._object, field)()

    def text(self, field: str) -> str:
        """A string, empty if absent; bytes that are not UTF-8 stay readable as escapes."""
        return (getattr(self._object, field)() or b"").decode("utf-8", "backslashreplace")

    def view(self, field: str) -> Array:
        """A vector of numbers as a view of the file, empty if absent."""
        view = getattr(self._object, f"{field}AsNumpy")()
        return view if isinstance(view, np.ndarray) else _NO_NUMBERS  # which generated code calls 0

    def numbers(self, field: str) -> tuple[Any, ...]:
        """A vector of numbers as Python numbers, empty if absent."""
        view = self.view(field)
        self._content.charge(view.nbytes)
        return tuple(view.tolist())

    def array(self, field: str, dtype: npt.DTypeLike | None = None) -> Array:
        """A short vector of numbers as an aligned read-only copy, empty if absent."""
        view = self.view(field)
        self._content.charge(view.nbytes)
        copy = view.astype(dtype or view.dtype)
        copy.flags.writeable = False
        return copy

    def record(self, field: str) -> Record | None:
        """A table, or None if absent."""
        return self._wrap(getattr(self._object, field)())

    def records(self, field: str) -> list[Record]:
        """A vector of tables, empty if absent."""
        accessor = getattr(self._object, field)
        count = getattr(self._object, f"{field}Length")()
        self._content.charge(count * _OFFSET.size)
        return [self._wrap(accessor(i)) for i in range(count)]  # type: ignore[misc]

    def union(self, field: str, kinds: Any) -> tuple[str, Record | None]:
        """A table of one of several types: the type's name and the table.

        ``kinds`` is the generated class that numbers the types. ``"NONE"`` stands for an absent table.
        """
        number = self.number(f"{field}Type")
        name = names(kinds).get(number)
        if name is None:
            raise self._content.error(
                f"type {number} of the union {kinds.__name__} is not in schema version {VERSION}: "
                "the file is damaged, or newer than the installed package tflite",
                rule="union-type",
            )
        table = getattr(self._object, field)()
        if name == "NONE" or table is None:
            return "NONE", None
        return name, Record(self._content, getattr(tflite, name), table.Pos)

    def newer_number(self, field: int) -> int:
        """A uint32 by the schema's field number, 0 if absent, for fields newer than package ``tflite``."""
        table = self._object._tab
        position = table.Offset(4 + 2 * field)
        return int(self._content.unpack(_OFFSET, table.Pos + position)) if position else 0

    def _wrap(self, generated: Any) -> Record | None:
        if generated is None:
            return None
        return Record(self._content, type(generated), generated._tab.Pos)


def root(content: Content) -> Record:
    """The file's ``Model`` table."""
    return Record(content, tflite.Model, content.unpack(_OFFSET, 0))


@cache
def names(enumeration: Any) -> dict[int, str]:
    """Number -> name of one of the schema's enumerations."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


@cache
def camel_case(field: str) -> str:
    """``stride_w`` -> ``StrideW``, as the generated accessors are called."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_"))


@cache
def fields(table: str) -> dict[str, str]:
    """The fields of a schema table: name in snake_case -> name of the generated accessor."""
    accessors = vars(getattr(tflite, table))
    return {
        _snake_case(name): name
        for name, accessor in accessors.items()
        if callable(accessor)
        and name[0].isupper()
        and name != "Init"
        and not name.endswith(("AsNumpy", "Length", "IsNone"))
    }


def is_vector(table: str, accessor: str) -> bool:
    """Whether that field of a schema table is a vector of numbers."""
    return hasattr(getattr(tflite, table), f"{accessor}AsNumpy")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class SchemaOptions(dict[str, Any]):
    """The options of an operator minilite does not have: fields by name, and their table's name."""

    def __init__(self, table: str, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.table = table

    def __reduce__(self) -> tuple[Any, ...]:
        return (SchemaOptions, (self.table, dict(self)))
