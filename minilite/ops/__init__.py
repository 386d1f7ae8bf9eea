"""What each TFLite operator means: options, output shapes, NumPy reference and lowering.

``find(name)`` gives an operator by TFLite's name. To add one, write a class with ``@operator``
in a module of this package; nothing else has to know.
"""

from minilite.ops.base import (
    EXACT,
    Int8,
    Lowering,
    Op,
    Runtime,
    Tolerance,
    find,
    names,
    operator,
    refuse,
    rounding,
    ulps,
)

__all__ = [
    "EXACT",
    "Int8",
    "Lowering",
    "Op",
    "Runtime",
    "Tolerance",
    "find",
    "names",
    "operator",
    "refuse",
    "rounding",
    "ulps",
]
