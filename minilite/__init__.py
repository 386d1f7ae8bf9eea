"""See what a TensorFlow Lite model does: a NumPy/Numba runtime for the TFLite graph.

``minilite.load(path)`` gives a model to be called like a function; ``minilite.Interpreter`` is a drop-in
for TFLite's. Both are imported when they are first used, so that ``import minilite`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from minilite.errors import (
    BackendError,
    DelegateError,
    DownloadError,
    ImageError,
    InvokeError,
    MiniliteError,
    ModelFormatError,
    ModelNotFoundError,
    PairingError,
    PrepareError,
    RecordingError,
    RuntimeFailedError,
    SliceError,
    TensorValueError,
    UnsupportedOpError,
)
from minilite.version import __version__

if TYPE_CHECKING:
    from minilite.interpreter import Interpreter, OpResolverType
    from minilite.model import Model, Outputs, load
    from minilite.ops.custom import register_op

_LAZY = {
    "Interpreter": "minilite.interpreter",
    "OpResolverType": "minilite.interpreter",
    "Model": "minilite.model",
    "Outputs": "minilite.model",
    "load": "minilite.model",
    "register_op": "minilite.ops.custom",
}

__all__ = [
    "BackendError",
    "DelegateError",
    "DownloadError",
    "ImageError",
    "Interpreter",
    "InvokeError",
    "MiniliteError",
    "Model",
    "ModelFormatError",
    "ModelNotFoundError",
    "OpResolverType",
    "Outputs",
    "PairingError",
    "PrepareError",
    "RecordingError",
    "RuntimeFailedError",
    "SliceError",
    "TensorValueError",
    "UnsupportedOpError",
    "__version__",
    "load",
    "register_op",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
