"""What a NumPy reference works out on its way to a result, told to whoever listens.

The references call ``tell`` with their intermediate values. Nobody listens in an ordinary run, and nothing
is kept; an explanation of an element listens, so that what it shows is what the reference computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Told:
    """One intermediate result.

    Attributes
    ----------
    what:
        The operation in words, with the names of operands in braces: ``"+ bias {bias}"``.
    values:
        What came out.
    operands:
        What went in beside the result before, by name; arrays broadcast against the values.
    unrounded:
        What the values were before they were rounded, float64; None where nothing was.
    """

    what: str
    values: npt.NDArray[Any]
    operands: dict[str, npt.NDArray[Any]]
    unrounded: npt.NDArray[np.float64] | None = None

    def at(self, place: tuple[int, ...], shape: tuple[int, ...]) -> Told | None:
        """The same of one element of an output of that shape; None where the values are of something else."""
        values = _at(self.values, place, shape)
        operands = {name: _at(operand, place, shape) for name, operand in self.operands.items()}
        if values is None or any(operand is None for operand in operands.values()):
            return None
        exact = None if self.unrounded is None else _at(self.unrounded, place, shape)
        return Told(self.what, values, {k: v for k, v in operands.items() if v is not None}, exact)

    def __str__(self) -> str:
        return self.what.format(**{name: operand.item() for name, operand in self.operands.items()})


def _at(values: npt.NDArray[Any], place: tuple[int, ...], shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """The element at a place of what broadcasts to a shape, or has as many elements in the same order."""
    try:
        spread = np.broadcast_to(values, shape)
    except ValueError:
        if values.size != prod(shape):
            return None
        spread = values.reshape(shape)
    return np.asarray(spread[place])


_listener: ContextVar[list[Told] | None] = ContextVar("listener", default=None)


def tell(
    what: str,
    values: npt.ArrayLike,
    *,
    unrounded: Callable[[], npt.ArrayLike] | None = None,
    **operands: npt.ArrayLike,
) -> None:
    """Tell an intermediate result, if somebody listens; see ``Told``. ``unrounded`` is only then called."""
    heard = _listener.get()
    if heard is None:
        return
    exact = None if unrounded is None else np.array(unrounded(), np.float64)
    # Copies: the reference may go on in the same memory.
    heard.append(Told(what, np.array(values), {k: np.array(v) for k, v in operands.items()}, exact))


@contextmanager
def listening() -> Iterator[list[Told]]:
    """Collect what this thread's references tell inside the block."""
    heard: list[Told] = []
    before = _listener.set(heard)
    try:
        yield heard
    finally:
        _listener.reset(before)
