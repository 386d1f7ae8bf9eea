"""A .tflite file -> ``Graph``: constants are views of the file, every fault is a ``ModelFormatError``.

Follows TFLite's ``core/interpreter_builder.cc`` in what it accepts, and says what is wrong where
TFLite only says that something is.
"""

from __future__ import annotations

import enum
import itertools
import typing
import warnings
from dataclasses import replace
from functools import cache
from math import prod
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import tflite

from minilite import buffers, ops, schema
from minilite.content import HEADER_SIZE, Content, Source, read_content
from minilite.errors import ModelFormatError, UnsupportedOpError
from minilite.graph import (
    Array,
    Graph,
    Node,
    Operator,
    Quantization,
    Shape,
    Signature,
    Subgraph,
    Tensor,
    TensorType,
)
from minilite.progress import debug_level
from minilite.schema import Record, SchemaOptions
from minilite.verify import shape_fault, verify

__all__ = ["Source", "check_supported", "load_graph", "supported_part", "unsupported"]

_CUSTOM = tflite.BuiltinOperator.CUSTOM
_EXTERNAL_BUFFER = 10
"""Number of ``Tensor.external_buffer`` in the schema, which the package ``tflite`` does not know yet."""

_E = TypeVar("_E", bound=enum.IntEnum)


def load_graph(source: Source) -> Graph:
    """Read and verify a model.

    Parameters
    ----------
    source:
        A path, the file's bytes, or a file opened in binary mode. A path is mapped into memory and
        stays mapped while any constant of the graph is alive.

    Raises
    ------
    ModelNotFoundError
        There is no such file, or it may not be read.
    ModelFormatError
        It is not a TFLite model, or one that cannot be trusted; the message says what to do.
    """
    start = perf_counter()
    content = read_content(source)
    model = schema.root(content)
    version = model.number("Version")
    if version != schema.VERSION:
        raise ModelFormatError(
            f"Model provided is schema version {version} not equal to supported version {schema.VERSION}.\n"
            f"{content.name}: convert the model again with a current converter",
            rule="schema-version",
        )
    graph = _Loader(content, model).graph()
    verify(graph, content.name)
    _verify_calls(graph, content.name)
    if debug_level():
        from minilite.debug.verbose import tell_loaded  # noqa: PLC0415

        tell_loaded(content.name, graph, perf_counter() - start)
    return graph


def _verify_calls(graph: Graph, source: str) -> None:
    """Check that operators run subgraphs that exist, and that none comes to run itself."""
    callers: dict[int, dict[int, Node]] = {}
    for subgraph in graph.subgraphs:
        called = callers[subgraph.index] = {}
        for node in subgraph.nodes():
            op = ops.find(node.operator.name)
            for number in op.subgraphs(node) if op is not None else ():
                if not 0 <= number < len(graph.subgraphs):
                    raise ModelFormatError(
                        f"{source}: subgraph {subgraph.index} {node.operator}: runs subgraph {number}, "
                        f"the file has {len(graph.subgraphs)}",
                        op_index=node.operator.index,
                        op_name=node.operator.name,
                        rule="subgraph-index",
                    )
                called[number] = node
    # Without those that run nothing, or that nothing runs, again and again, only circles are left.
    left: set[int] = set()
    found = set(callers)
    while left != found:
        left = found
        found = {n for n in left if left & callers[n].keys() and any(n in callers[m] for m in left)}
    if left:
        number = min(left)
        node = next(node for called, node in callers[number].items() if called in left)
        raise ModelFormatError(
            f"{source}: subgraph {number} {node.operator}: subgraphs {sorted(left)} run each other in a "
            "circle, which would never end",
            op_index=node.operator.index,
            op_name=node.operator.name,
            rule="recursion",
        )


_SHOWN_OF_A_KIND = 3
"""Operators of one name that a message describes; the error's ``operators`` has all."""


def unsupported(graph: Graph) -> dict[str, list[str]]:
    """What minilite does not have: for each operator's name a line for each time it is used.

    A line has the operator's number, its name, its input and its output tensors.
    """
    missing: dict[str, list[str]] = {}
    for subgraph in graph.subgraphs:
        where = f"subgraph {subgraph.index} " if len(graph.subgraphs) > 1 else ""
        for node in subgraph.nodes():
            name = node.operator.name
            if ops.find(name) is None:
                missing.setdefault(name, []).append(f"{where}{node.operator}: {_signature(node)}")
    return missing


def check_supported(graph: Graph) -> None:
    """Raise the ``UnsupportedOpError`` that names every operator minilite does not have, if any."""
    missing = unsupported(graph)
    if not missing:
        return
    listing = []
    for name, lines in missing.items():
        listing += lines[:_SHOWN_OF_A_KIND]
        if more := lines[_SHOWN_OF_A_KIND:]:
            listing.append(f"  and {name} {len(more)} more times")
    shown = "\n  ".join(listing)
    raise UnsupportedOpError(
        f"minilite does not have {len(missing)} of the model's operators: {', '.join(missing)}\n  {shown}\n"
        f"minilite has: {', '.join(ops.names())}\n"
        "Write the missing ones with @minilite.register_op, or run what stands before the first of them: "
        "load(..., allow_missing=True), minilite run --allow-missing",
        [line for lines in missing.values() for line in lines],
        rule="unsupported-operator",
    )


def supported_part(graph: Graph) -> Graph:
    """The main subgraph up to its first operator that minilite does not have.

    Its outputs are the model's own as far as they are reached, and all else that was computed and not
    used up by then. A graph without such operators is returned as it is.
    """

    def can_run(subgraph: Subgraph) -> bool:
        return all(runs(node) for node in subgraph.nodes())

    def runs(node: Node) -> bool:
        op = ops.find(node.operator.name)
        return op is not None and all(can_run(graph.subgraphs[i]) for i in op.subgraphs(node))

    main = graph.main
    reached = tuple(node.operator for node in itertools.takewhile(runs, main.nodes()))
    if len(reached) == len(main.operators):
        return graph
    used = {i for operator in reached for i in operator.inputs}
    computed = [i for operator in reached for i in operator.outputs]
    outputs = tuple(i for i in computed if i in main.outputs or i not in used) or main.inputs
    part = replace(main, operators=reached, outputs=outputs)
    signatures = tuple(s for s in graph.signatures if s.subgraph != main.index)
    return replace(graph, subgraphs=(part, *graph.subgraphs[1:]), signatures=signatures)


def _signature(node: Node) -> str:
    def describe(tensor: Tensor | None) -> str:
        if tensor is None:
            return "none"
        return f"{tensor.type.name} {'x'.join(map(str, tensor.shape)) or 'scalar'}"

    return f"({', '.join(map(describe, node.inputs))}) -> ({', '.join(map(describe, node.outputs))})"


class _Loader:
    """Builds the records of one file, holding what its tables refer to by number."""

    def __init__(self, content: Content, model: Record) -> None:
        self.content = content
        self.model = model
        self.buffers = model.records("Buffers")
        self.codes = [self._code(i, record) for i, record in enumerate(model.records("OperatorCodes"))]
        self.constants: dict[tuple[int, TensorType], Array | None] = {}

    def graph(self) -> Graph:
        return Graph(
            subgraphs=tuple(self._subgraph(i, s) for i, s in enumerate(self.model.records("Subgraphs"))),
            signatures=tuple(self._signature(s) for s in self.model.records("SignatureDefs")),
            metadata={
                m.text("Name"): self._copy(self._bytes(m.number("Buffer"), "metadata"))
                for m in self.model.records("Metadata")
            },
            description=self.model.text("Description"),
            version=self.model.number("Version"),
        )

    def _code(self, index: int, record: Record) -> tuple[str, int, bool]:
        code = max(record.number("DeprecatedBuiltinCode"), record.number("BuiltinCode"))
        version = record.number("Version")
        builtins = schema.names(tflite.BuiltinOperator)
        if code != _CUSTOM:
            return builtins.get(code, f"BUILTIN_{code}"), version, False
        name = record.text("CustomCode")
        own = ops.find(name)
        if not name or name in builtins.values() or (own is not None and own.internal):
            raise self.content.error(
                f"operator code {index}: the custom operator is called {name!r}: "
                "it needs a name, and one that no other operator has",
                rule="custom-code",
            )
        return name, version, True

    def _subgraph(self, index: int, record: Record) -> Subgraph:
        tensors = [self._tensor(i, t) for i, t in enumerate(record.records("Tensors"))]
        operators = tuple(self._operator(i, o) for i, o in enumerate(record.records("Operators")))
        inputs = record.numbers("Inputs")
        computed = {*inputs, *itertools.chain.from_iterable(operator.outputs for operator in operators)}
        return Subgraph(
            index=index,
            name=record.text("Name"),
            tensors=tuple(t if t.index in computed else _known_if_empty(t) for t in tensors),
            operators=operators,
            inputs=inputs,
            outputs=record.numbers("Outputs"),
        )

    def _signature(self, record: Record) -> Signature:
        def arguments(field: str) -> dict[str, int]:
            return {m.text("Name"): m.number("TensorIndex") for m in record.records(field)}

        return Signature(
            key=record.text("SignatureKey"),
            subgraph=record.number("SubgraphIndex"),
            inputs=arguments("Inputs"),
            outputs=arguments("Outputs"),
        )

    def _tensor(self, index: int, record: Record) -> Tensor:
        name = record.text("Name")
        where = f"tensor {index} {name!r}"
        if record.newer_number(_EXTERNAL_BUFFER):
            raise self.content.error(
                f"{where} has its data in another file (external_buffer), which minilite cannot read: "
                "convert the model with its weights inside",
                rule="external-buffer",
                tensor=index,
            )
        kind = self._enum(TensorType, record.number("Type"), where)
        shape = record.numbers("Shape")
        sparsity = record.record("Sparsity")
        buffer = record.number("Buffer")
        data = self._constant(buffer, kind, where)
        if data is not None and sparsity is None:
            data = _shaped(data, shape, kind, where)
        return Tensor(
            index=index,
            name=name,
            type=kind,
            shape=shape,
            shape_signature=record.numbers("ShapeSignature") or shape,
            quantization=_quantization(record.record("Quantization")),
            data=data,
            buffer=buffer,
            is_variable=record.number("IsVariable"),
            sparsity=None if sparsity is None else _sparsity(sparsity),
        )

    def _bytes(self, buffer: int, where: str) -> Array:
        if not 0 <= buffer < len(self.buffers):
            raise self.content.error(
                f"{where}: buffer {buffer} does not exist, the file has {len(self.buffers)}",
                rule="buffer-index",
            )
        record = self.buffers[buffer]
        offset = record.number("Offset")
        return self._outside(offset, record.number("Size"), where) if offset > 1 else record.view("Data")

    def _outside(self, offset: int, size: int, where: str) -> Array:
        """Bytes that stand behind the flatbuffer, as in models past 2 GiB."""
        if offset < HEADER_SIZE:
            raise self.content.error(
                f"{where}: data at offset {offset} lies within the header", rule="offset", offset=offset
            )
        return self.content.view(offset, size, np.uint8)

    def _copy(self, view: Array) -> bytes:
        self.content.charge(view.nbytes)
        return view.tobytes()

    def _constant(self, buffer: int, kind: TensorType, where: str) -> Array | None:
        """A buffer's elements in a row, or None if it is empty."""
        key = (buffer, kind)
        if key not in self.constants:
            raw = self._bytes(buffer, where)
            where = f"{self.content.name}: {where}"
            self.constants[key] = buffers.decode(raw, kind, where) if buffer and raw.size else None
        return self.constants[key]

    def _operator(self, index: int, record: Record) -> Operator:
        code = record.number("OpcodeIndex")
        if not 0 <= code < len(self.codes):
            raise self.content.error(
                f"op {index}: operator code {code} does not exist, the file has {len(self.codes)}",
                rule="operator-code",
                op_index=index,
            )
        name, version, is_custom = self.codes[code]
        where = f"op {index} {name}"
        custom = record.view("CustomOptions")
        if record.number("LargeCustomOptionsOffset") > 1:
            custom = self._outside(
                record.number("LargeCustomOptionsOffset"), record.number("LargeCustomOptionsSize"), where
            )
        return Operator(
            index=index,
            name=name,
            inputs=record.numbers("Inputs"),
            outputs=record.numbers("Outputs"),
            options=None if is_custom else self._options(name, record, where),
            version=version,
            is_custom=is_custom,
            custom_options=self._copy(custom),
            intermediates=record.numbers("Intermediates"),
        )

    def _options(self, name: str, record: Record, where: str) -> Any:
        table, values = record.union("BuiltinOptions", tflite.BuiltinOptions)
        if values is None:
            table, values = record.union("BuiltinOptions2", tflite.BuiltinOptions2)
        op = ops.find(name)
        if op is None:
            return None if values is None else _schema_options(table, values)
        options: Any = op.options
        if options is None:
            return None
        if values is None:
            return options()
        if table != options.__name__:
            raise self.content.error(
                f"{where}: its options are {table}, not {options.__name__}", rule="options-table"
            )
        return options(
            **{f: self._option(values, f, kind, where) for f, kind in _field_types(options).items()}
        )

    def _option(self, record: Record, field: str, kind: Any, where: str) -> Any:
        accessor = schema.camel_case(field)
        if typing.get_origin(kind) is tuple:
            return record.numbers(accessor)
        if kind is str:
            return record.text(accessor)
        if issubclass(kind, enum.IntEnum):
            return self._enum(kind, record.number(accessor), f"{where}: {field}")
        return kind(record.number(accessor))

    def _enum(self, kind: type[_E], number: int, where: str) -> _E:
        try:
            return kind(number)
        except ValueError:
            known = ", ".join(f"{member.value} {member.name}" for member in kind)
            raise self.content.error(
                f"{where}: {number} is not a {kind.__name__}; known are {known}", rule="enum"
            ) from None


@cache
def _field_types(options: Any) -> dict[str, Any]:
    """The fields of an options record; resolving their annotations is too slow to do for each operator."""
    return typing.get_type_hints(options)


def _schema_options(table: str, record: Record) -> SchemaOptions:
    values: dict[str, Any] = {}
    for field, accessor in schema.fields(table).items():
        if schema.is_vector(table, accessor):
            values[field] = record.numbers(accessor)
        else:
            value = record.number(accessor)
            values[field] = record.text(accessor) if isinstance(value, (bytes, type(None))) else value
    return SchemaOptions(table, values)


def _quantization(record: Record | None) -> Quantization | None:
    if record is None:
        return None
    scales = record.array("Scale", np.float32)
    if not scales.size:
        return None
    zero_points = record.array("ZeroPoint", np.int64)
    if zero_points.size <= 1:
        zero_points = np.full(scales.size, zero_points[0] if zero_points.size else 0, np.int64)
        zero_points.flags.writeable = False
    return Quantization(scales, zero_points, record.number("QuantizedDimension"))


def _sparsity(record: Record) -> dict[str, Any]:
    """The schema's ``SparsityParameters``, field by field."""

    def indices(dimension: Record, field: str) -> Array:
        _, vector = dimension.union(field, tflite.SparseIndexVector)
        return np.empty(0, np.int32) if vector is None else vector.array("Values")

    return {
        "traversal_order": record.array("TraversalOrder", np.int32),
        "block_map": record.array("BlockMap", np.int32),
        "dim_metadata": tuple(
            {
                "format": dimension.number("Format"),
                "dense_size": dimension.number("DenseSize"),
                "array_segments": indices(dimension, "ArraySegments"),
                "array_indices": indices(dimension, "ArrayIndices"),
            }
            for dimension in record.records("DimMetadata")
        ),
    }


def _shaped(data: Array, shape: Shape, kind: TensorType, where: str) -> Array:
    """The elements in their shape; left in a row where they are too few, which ``verify`` reports."""
    size = prod(shape)
    if shape_fault(shape, kind) or data.size < size:
        return data
    spare = data.size - size
    if spare > (kind is TensorType.INT4):  # the last byte of an odd number of nibbles has one to spare
        warnings.warn(f"{where}: its buffer has {spare} elements more than its shape", stacklevel=2)
    return data[:size].reshape(shape)


def _known_if_empty(tensor: Tensor) -> Tensor:
    """What nothing computes and has no elements (the shape of a scalar, say) is a constant without bytes."""
    if tensor.data is not None or tensor.is_variable or 0 not in tensor.shape:
        return tensor
    if shape_fault(tensor.shape, tensor.type):
        return tensor
    return replace(tensor, data=np.empty(tensor.shape, tensor.dtype))
