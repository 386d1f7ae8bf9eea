"""What operators share when they write themselves as kernel steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Tensor, TensorType
from minilite.shapes import Window

if TYPE_CHECKING:
    from minilite_kernels.window import Window as KernelWindow

    from minilite.ops.base import Lowering

LEAST_COST, MOST_COST = 1 << 18, 1 << 21
"""Multiply-adds in one chunk: some 4 to 20 microseconds, long against claiming it, short against a step."""

CHUNKS = 24
"""A large step is cut about so often, so that a few threads finish together."""

SMALL_STEP = 1 << 17
"""Multiply-adds below which a step is not cut: it would take longer to share than to do."""


def grain(extent: int, cost: float, multiple: int = 1) -> int:
    """How many items of a step's extent make one chunk.

    Parameters
    ----------
    extent:
        Items in all.
    cost:
        Multiply-adds (or what takes as long) of one item.
    multiple:
        Chunks begin at multiples of this many items, such as the rows of a register tile.
    """
    if extent * cost <= SMALL_STEP:
        return max(extent, 1)
    items = min(max(extent / CHUNKS, LEAST_COST / max(cost, 1)), MOST_COST / max(cost, 1))
    return max(multiple, int(items) // multiple * multiple)


def kernels_take(tensor: Tensor) -> bool:
    """Whether kernels can be compiled for the type: Numba has no float16 on processors."""
    return tensor.type is not TensorType.FLOAT16


MAX_WORD = 8
"""Bytes of the widest word that kernels move; a complex128 is two of them."""

_WORDS = {1: TensorType.UINT8, 2: TensorType.UINT16, 4: TensorType.UINT32, 8: TensorType.UINT64}


def as_words(lowering: Lowering, values: Tensor | Array, width: int | None = None) -> Any:
    """A kernel argument: the elements as unsigned words of their width, whatever they mean.

    So kernels that only move elements are compiled once for a width, and take types that Numba has not.
    With another ``width`` the words hold several elements, or parts of them.
    """
    kind = _WORDS[min(width or values.dtype.itemsize, MAX_WORD)]
    if isinstance(values, Tensor):
        if values.data is not None:
            return lowering.constant(values, _words, kind.dtype.name)
        return replace(values, type=kind, shape=(values.nbytes // kind.dtype.itemsize,))
    return _words(values, kind.dtype.name)


def _words(values: Array, dtype: str) -> Array:
    """The values in a row; a rest that fills no word is left out."""
    raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    width = np.dtype(dtype).itemsize
    return raw[: raw.size // width * width].view(dtype)


def shifts_fit(*shifts: npt.ArrayLike) -> bool:
    """Whether kernels can shift left by so much: as far as a register is wide is undefined there.

    Only absurd scales come to it, a million times as wide as the accumulator's; such nodes keep the NumPy
    reference.
    """
    return all(bool(np.all(np.asarray(shift) <= _LARGEST_LEFT_SHIFT)) for shift in shifts)


_LARGEST_LEFT_SHIFT = 30


def kernel_window(window: Window) -> KernelWindow:
    """The geometry as kernels take it: the same numbers without batch, output channels and groups."""
    from minilite_kernels.window import Window as KernelWindow

    return KernelWindow(*(getattr(window, name) for name in KernelWindow._fields))
