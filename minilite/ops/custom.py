"""Operators that users bring along: ``register_op``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from minilite import flexbuffer
from minilite.errors import InvokeError
from minilite.graph import Array, Node, Shape
from minilite.ops.base import Op, names, operator, refuse


class CustomOptions:
    """The options of a custom operator: the file's bytes, and what they say if they are a FlexBuffer.

    Attributes
    ----------
    raw:
        The bytes.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @cached_property
    def values(self) -> Any:
        """The decoded FlexBuffer, most often a dict; ``{}`` where there are no bytes.

        Raises
        ------
        ModelFormatError
            The bytes are no FlexBuffer: read ``raw``.
        """
        return flexbuffer.decode(self.raw)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An option by name."""
        return self.values.get(name, default)

    def __repr__(self) -> str:
        return f"CustomOptions({self.raw!r})"


Kernel = Callable[[list[Any], CustomOptions], Any]
"""``kernel(inputs, options)``: arrays (None where one is left out) to an array, or a sequence of them."""

Shapes = Callable[[list[Any], CustomOptions], Sequence[Shape | None]]
"""``shapes(shapes of the inputs, options)``: the shape of each output, None where only a run can tell."""

_Registered = TypeVar("_Registered")


def register_op(
    name: str, *, shapes: Shapes | None = None, pure: bool = True
) -> Callable[[_Registered], _Registered]:
    """Decorator: this is the custom operator ``name``, in every model loaded from now on.

    Parameters
    ----------
    name:
        The custom code that stands in the file.
    shapes:
        Output shapes from input shapes. Left out, they are known only once the operator has run, and what
        stands behind it is laid out anew for each new shape.
    pure:
        Whether the result depends on inputs and options alone, so that on constants it is computed once.

    The decorator takes a function ``kernel(inputs, options)``, which gets NumPy arrays and
    ``CustomOptions`` and returns an array or a sequence of arrays (they are converted to the types that
    the file declares), or a class derived from ``minilite.ops.Op``, which can also check what it is given
    and lower itself to compiled kernels.

    Raises
    ------
    ValueError
        There is another operator of that name.
    TypeError
        ``name`` is no string, or what is decorated cannot be called.

    Examples
    --------
    >>> @register_op("Scale", shapes=lambda inputs, options: [inputs[0]])
    ... def scale(inputs, options):
    ...     return inputs[0] * options.get("factor", 2.0)
    """
    if not isinstance(name, str):
        raise TypeError(f"the decorator takes the custom code: @register_op('Name'), given {name!r}")

    def register(registered: _Registered) -> _Registered:
        made: Any = registered
        if not callable(made):
            raise TypeError(f"register_op({name!r}) decorates a function or a class of Op, given {made!r}")
        if not (isinstance(made, type) and issubclass(made, Op)):
            made = _class_of(made, shapes, pure)
        names()  # first minilite's own, whose names are taken
        operator(name)(made)
        return registered

    return register


def _class_of(kernel: Kernel, shapes: Shapes | None, pure: bool) -> type[Op]:
    methods = {"kernel": staticmethod(kernel), "shapes": staticmethod(shapes) if shapes else None}
    # A callable object or functools.partial has no name of its own, its class has.
    named: Any = kernel if hasattr(kernel, "__name__") else type(kernel)
    made = type(named.__name__, (_FunctionOp,), {**methods, "pure": pure, "__doc__": kernel.__doc__})
    made.__qualname__, made.__module__ = named.__qualname__, named.__module__
    return made


class _FunctionOp(Op):
    """A custom operator made of functions."""

    kernel: Kernel
    shapes: Shapes | None

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        if self.shapes is None:
            return (None,) * len(node.outputs)
        given = [None if tensor is None else tensor.shape for tensor in node.inputs]
        made = self.shapes(given, CustomOptions(node.operator.custom_options))
        try:
            return tuple(None if shape is None else tuple(int(size) for size in shape) for shape in made)
        except TypeError:
            rule = "it gives a shape, or None, for each output, as in [(1, 3)]"
            refuse(node, f"its shapes function gave {made!r}; {rule}", rule="shapes")

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        made = type(self).kernel(list(inputs), CustomOptions(node.operator.custom_options))
        values = made if isinstance(made, (tuple, list)) else (made,)
        if any(value is None for value in values):
            raise InvokeError(
                f"op {node.operator.index} {node.operator.name}: its kernel returned None for an output; "
                "it returns an array, or a sequence of one for each output",
                rule="output-shape",
            )
        return tuple(np.asarray(value) for value in values)
