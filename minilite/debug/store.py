"""Where a run's values are kept: in memory up to a budget, the rest on disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from minilite.errors import InvokeError
from minilite.graph import Array


class _OnDisk:
    """A value in a file, which goes when nobody refers to it any more."""

    def __init__(self, value: Array, number: int, store: Store) -> None:
        self._folder = store.folder()
        self.nbytes = value.nbytes
        handle, name = tempfile.mkstemp(".npy", f"{number}-", self._folder.name)
        with open(handle, "wb") as file:
            np.save(file, value, allow_pickle=False)
        self._path = Path(name)
        store.disk_used += value.nbytes
        weakref.finalize(self, _forget, self._path, weakref.ref(store), value.nbytes)

    def load(self) -> Array:
        """The value, read-only."""
        value: Array = np.load(self._path, allow_pickle=False)
        value.flags.writeable = False
        return value


def _forget(path: Path, store: weakref.ref[Store], nbytes: int) -> None:
    path.unlink(missing_ok=True)
    if (owner := store()) is not None:
        owner.disk_used -= nbytes


class Values(Mapping[int, Array]):
    """Values by tensor number, in the order of the numbers; those on disk are read when asked for."""

    def __init__(self, entries: Mapping[int, Array | _OnDisk]) -> None:
        self._entries = dict(sorted(entries.items()))

    def __getitem__(self, number: int) -> Array:
        entry = self._entries[number]
        return entry.load() if isinstance(entry, _OnDisk) else entry

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Store:
    """Keeps copies of values.

    Parameters
    ----------
    memory:
        Bytes to keep in memory; what does not fit goes to disk. None for no limit.
    disk:
        Bytes that may go to disk, None for no limit; what exceeds it is an error, because a recording
        with holes would be taken for a whole one.
    folder:
        Where files are made, by default the system's folder for temporary files.
    """

    def __init__(
        self, memory: int | None = None, disk: int | None = None, folder: str | os.PathLike[str] | None = None
    ) -> None:
        self._memory, self._disk, self._parent = memory, disk, folder
        self._entries: dict[int, Array | _OnDisk] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.memory_used = 0
        self.disk_used = 0

    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """The folder of the files, which goes with the last of them."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="minilite-trace-", dir=self._parent)
        return self._folder

    def keep(self, number: int, value: Array) -> Array:
        """Keep a copy of a value in place of the one of that number; returns the copy.

        Raises
        ------
        InvokeError
            Neither memory nor disk has room for it.
        """
        self.drop(number)
        kept = value.copy()
        kept.flags.writeable = False
        # Texts have no fixed size; they are few.
        if kept.dtype == object or self._memory is None or self.memory_used + kept.nbytes <= self._memory:
            self._entries[number] = kept
            self.memory_used += kept.nbytes
        else:
            if self._disk is not None and self.disk_used + kept.nbytes > self._disk:
                raise InvokeError(
                    f"the values kept need more than the {self._memory:,} bytes of memory and the "
                    f"{self._disk:,} bytes of disk allowed: allow more, or trace fewer operators at once",
                    tensor=number,
                    rule="trace-budget",
                )
            self._entries[number] = _OnDisk(kept, number, self)
        return kept

    def drop(self, number: int) -> None:
        """Forget a value, if there is one."""
        entry = self._entries.pop(number, None)
        if isinstance(entry, np.ndarray):
            self.memory_used -= entry.nbytes

    def in_memory(self, number: int) -> Array | None:
        """A value, if it is kept and not on disk."""
        entry = self._entries.get(number)
        return entry if isinstance(entry, np.ndarray) else None

    def __getitem__(self, number: int) -> Array:
        entry = self._entries[number]
        return entry.load() if isinstance(entry, _OnDisk) else entry

    def __contains__(self, number: int) -> bool:
        return number in self._entries

    def values(self) -> Values:
        """All that is kept now; later changes do not show in it."""
        return Values(self._entries)
