"""Comparing graphs: the records hold arrays, so ``==`` does not say whether two of them are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


def difference(a: Any, b: Any, path: str = "graph") -> str | None:
    """Where two graphs, or parts of graphs, first differ; None if they are the same bit for bit."""
    if type(a) is not type(b):
        return f"{path}: {type(a).__name__} against {type(b).__name__}"
    if dataclasses.is_dataclass(a):
        parts = [(f".{f.name}", getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)]
    elif isinstance(a, np.ndarray):
        alike = a.dtype == b.dtype and a.shape == b.shape
        same = alike and (a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes())
        return None if same else f"{path}: {a!r} against {b!r}"
    elif isinstance(a, Mapping):
        if list(a) != list(b):
            return f"{path}: {list(a)} against {list(b)}"
        parts = [(f"[{key!r}]", a[key], b[key]) for key in a]
    elif isinstance(a, (tuple, list)):
        if len(a) != len(b):
            return f"{path}: {len(a)} against {len(b)}"
        parts = [(f"[{i}]", x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        # repr: NaN is the same as NaN, 0.0 is not -0.0.
        return None if repr(a) == repr(b) else f"{path}: {a!r} against {b!r}"
    return next((found for name, x, y in parts if (found := difference(x, y, path + name))), None)
