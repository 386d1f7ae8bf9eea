"""What outlives a run and is reached through handles: variables and hash tables."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from minilite.errors import InvokeError
from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Op, Runtime, operator, refuse
from minilite.ops.checks import check_arity


@dataclass(frozen=True)
class VarHandleOptions:
    """Schema table ``VarHandleOptions``."""

    container: str = ""
    shared_name: str = ""


@dataclass(frozen=True)
class ReadVariableOptions:
    """Schema table ``ReadVariableOptions``."""


@dataclass(frozen=True)
class AssignVariableOptions:
    """Schema table ``AssignVariableOptions``."""


@dataclass(frozen=True)
class HashtableOptions:
    """Schema table ``HashtableOptions``."""

    table_id: int = 0
    key_dtype: TensorType = TensorType.FLOAT32
    value_dtype: TensorType = TensorType.FLOAT32


class _Stateful(Op):
    pure = False

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        _fail(
            node, "reads or writes what outlives a run, which only an executor has: use execute", "resource"
        )


def _fail(node: Node, message: str, rule: str) -> NoReturn:
    raise InvokeError(
        f"{node.operator} {message}", op_index=node.operator.index, op_name=node.operator.name, rule=rule
    )


_names: list[Hashable] = []
"""Every name that a resource had in this process. A handle is a place in this list, so that it is a
constant of the model; resources themselves are kept by name, which other processes understand."""


def _handle(node: Node, name: Hashable) -> Array:
    """The number that stands for a name, in the shape of the output."""
    if name not in _names:
        _names.append(name)
    return np.full(node.output.shape, _names.index(name), np.int32)


def _name(node: Node, inputs: Sequence[Array | None]) -> Hashable:
    """What the handle, the first input, stands for."""
    handle = inputs[0]
    assert handle is not None
    number = int(handle.reshape(-1)[0])
    if not 0 <= number < len(_names):
        _fail(node, f"{node.input(0)} holds {number}, which is no handle", "resource-handle")
    return _names[number]


def _check_handle(node: Node, tensor: Tensor) -> None:
    # Converters have written handles as int32 as well.
    if tensor.type not in (TensorType.RESOURCE, TensorType.INT32) or tensor.size != 1:
        refuse(node, "must be the handle of a resource, one element", rule="resource-handle", tensor=tensor)


def _handle_shape(node: Node) -> tuple[Shape | None, ...]:
    check_arity(node, (0, 0))
    _check_handle(node, node.output)
    return (node.output.shape,)


@operator("VAR_HANDLE")
class VarHandle(Op):
    """The handle of the variable of that name (TFLite's ``kernels/var_handle.cc``): a constant."""

    options = VarHandleOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        return _handle_shape(node)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        return (_handle(node, ("variable", node.options.container, node.options.shared_name)),)


@operator("ASSIGN_VARIABLE")
class AssignVariable(_Stateful):
    """Give a variable a value, of any shape (TFLite's ``kernels/assign_variable.cc``).

    Inputs: handle, value. No outputs.
    """

    options = AssignVariableOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2), outputs=0)
        _check_handle(node, node.input(0))
        return ()

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        value = inputs[1]
        assert value is not None
        # A new array each time: what was read before may still be in use.
        runtime.resources[_name(node, inputs)] = value.copy()
        return ()


@operator("READ_VARIABLE")
class ReadVariable(_Stateful):
    """The value of a variable (TFLite's ``kernels/read_variable.cc``).

    It has the shape that was assigned: the declared one is taken for it where the file gives all sizes.
    """

    options = ReadVariableOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        _check_handle(node, node.input(0))
        y = node.output
        return (None if -1 in y.shape_signature or not y.shape else y.shape,)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        value = runtime.resources.get(_name(node, inputs))
        if not isinstance(value, np.ndarray):
            _fail(node, f"reads the variable of {node.input(0)} before it is assigned", "unassigned-variable")
        if value.dtype != node.output.type.array_dtype:
            _fail(node, f"reads {value.dtype} into {node.output}", "types")
        return (value,)


_KEYS_AND_VALUES = ((TensorType.STRING, TensorType.INT64), (TensorType.INT64, TensorType.STRING))


@operator("HASHTABLE")
class Hashtable(_Stateful):
    """The handle of a table from strings to int64 or back (TFLite's ``kernels/hashtable.cc``)."""

    options = HashtableOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        types = (node.options.key_dtype, node.options.value_dtype)
        if types not in _KEYS_AND_VALUES:
            refuse(
                node,
                f"a table from {types[0].name} to {types[1].name}: there are tables from STRING to INT64 "
                "and from INT64 to STRING",
                rule="types",
            )
        return _handle_shape(node)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        name = ("table", node.options.table_id)
        runtime.resources.setdefault(name, {})
        return (_handle(node, name),)


def _table(node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> dict[Any, Any]:
    table = runtime.resources.get(_name(node, inputs))
    if not isinstance(table, dict):
        _fail(node, f"there is no table behind {node.input(0)}", "resource-handle")
    return table


def _check_keys_and_values(node: Node, keys: Tensor, values: Tensor) -> None:
    if (keys.type, values.type) not in _KEYS_AND_VALUES:
        refuse(node, f"cannot map {keys} to {values}: STRING to INT64 or INT64 to STRING", rule="types")


@operator("HASHTABLE_IMPORT")
class HashtableImport(_Stateful):
    """Fill a table; once it is filled, no more (TFLite's ``kernels/hashtable_import.cc``).

    Inputs: handle, keys [n], values [n]. No outputs. Of equal keys the first counts.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3), outputs=0)
        _check_handle(node, node.input(0))
        keys, values = node.input(1), node.input(2)
        _check_keys_and_values(node, keys, values)
        if keys.shape != values.shape:
            refuse(node, f"must have one value for each of {keys}", rule="table-size", tensor=values)
        return ()

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        _, keys, values = inputs
        assert keys is not None
        assert values is not None
        table = _table(node, inputs, runtime)
        if not table:
            for key, value in zip(keys.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True):
                table.setdefault(key, value)
        return ()


@operator("HASHTABLE_FIND")
class HashtableFind(_Stateful):
    """Look keys up (TFLite's ``kernels/hashtable_find.cc``).

    Inputs: handle, keys of any shape, the value of keys that are not there (one element).
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        _check_handle(node, node.input(0))
        keys, default = node.input(1), node.input(2)
        _check_keys_and_values(node, keys, node.output)
        if default.type is not node.output.type or default.size != 1:
            refuse(node, f"must be one value of the type of {node.output}", rule="types", tensor=default)
        return (keys.shape,)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        _, keys, default = inputs
        assert keys is not None
        assert default is not None
        table = _table(node, inputs, runtime)
        otherwise = default.reshape(-1)[0]
        found = np.empty(keys.size, node.output.type.array_dtype)
        for i, key in enumerate(keys.reshape(-1).tolist()):
            found[i] = table.get(key, otherwise)
        return (found.reshape(keys.shape),)


@operator("HASHTABLE_SIZE")
class HashtableSize(_Stateful):
    """How many keys a table has, int64 [1] (TFLite's ``kernels/hashtable_size.cc``)."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        _check_handle(node, node.input(0))
        return ((1,),)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        return (np.array([len(_table(node, inputs, runtime))], np.int64),)
