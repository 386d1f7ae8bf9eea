"""``Graph`` -> the bytes of a .tflite file, such that loading them gives an equal graph."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tflite
from flatbuffers.builder import Builder, BuilderSizeError

from minilite import schema
from minilite.buffers import encode
from minilite.content import IDENTIFIER
from minilite.errors import MiniliteError
from minilite.graph import Array, Graph, Operator, Quantization, Signature, Subgraph, Tensor

_BUFFER_ALIGNMENT = 16
"""``force_align`` of ``Buffer.data`` in the schema."""

_CUSTOM = tflite.BuiltinOperator.CUSTOM
_PLACEHOLDER_FOR_GREATER_OP_CODES = tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES


def write_graph(graph: Graph) -> bytes:
    """The model file: ``load_graph(write_graph(graph))`` equals ``graph``.

    Constants keep their buffer numbers where each number stands for one value; others get new ones.

    Raises
    ------
    MiniliteError
        The file would be larger than the 2 GiB a flatbuffer can hold.
    """
    try:
        return _Writer(graph).write()
    except BuilderSizeError as error:
        raise MiniliteError(
            "the model is larger than the 2 GiB a .tflite file can hold", rule="size"
        ) from error


class _Writer:
    """One file in the making. Flatbuffers are built back to front: what is referred to comes first."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = Builder(1 << 16)
        self.buffers: dict[int, Array] = {}
        self.codes: dict[tuple[str, int, bool], int] = {}

    def write(self) -> bytes:
        graph = self.graph
        numbers = self._number_buffers()
        metadata = [self._metadata(name, value) for name, value in graph.metadata.items()]
        subgraphs = [
            self._subgraph(subgraph, n) for subgraph, n in zip(graph.subgraphs, numbers, strict=True)
        ]
        signatures = [self._signature(signature) for signature in graph.signatures]
        buffers = [self._buffer(self.buffers.get(i)) for i in range(self.buffer_count)]
        codes = [self._code(*code) for code in self.codes]
        model = self._table(
            "Model",
            version=graph.version,
            description=self._text(graph.description),
            operator_codes=self._offsets(codes),
            subgraphs=self._offsets(subgraphs),
            buffers=self._offsets(buffers),
            metadata=self._offsets(metadata) if metadata else None,
            signature_defs=self._offsets(signatures) if signatures else None,
        )
        self.builder.Finish(model, IDENTIFIER)
        return bytes(self.builder.Output())

    def _number_buffers(self) -> list[dict[int, int]]:
        """The buffer of each tensor of each subgraph; fills ``buffers``."""
        subgraphs = self.graph.subgraphs
        tensors = [tensor for subgraph in subgraphs for tensor in subgraph.tensors]
        self.buffer_count = max((tensor.buffer for tensor in tensors), default=0) + 1
        numbers = [
            {tensor.index: self._constant_buffer(tensor) for tensor in subgraph.tensors if tensor.is_constant}
            for subgraph in subgraphs
        ]
        for subgraph, known in zip(subgraphs, numbers, strict=True):
            for tensor in subgraph.tensors:
                # In a rewritten graph the number may now be that of another tensor's value.
                known.setdefault(tensor.index, 0 if tensor.buffer in self.buffers else tensor.buffer)
        return numbers

    def _constant_buffer(self, tensor: Tensor) -> int:
        assert tensor.data is not None
        value = encode(tensor.data, tensor.type)
        number = tensor.buffer
        if number == 0 or (number in self.buffers and not np.array_equal(self.buffers[number], value)):
            return self._new_buffer(value)
        self.buffers[number] = value
        return number

    def _new_buffer(self, value: Array) -> int:
        number = self.buffer_count
        self.buffers[number] = value
        self.buffer_count += 1
        return number

    def _buffer(self, value: Array | None) -> int:
        if value is None:
            return self._table("Buffer")
        return self._table("Buffer", data=self._bytes(value))

    def _metadata(self, name: str, value: bytes) -> int:
        number = self._new_buffer(np.frombuffer(value, np.uint8))
        return self._table("Metadata", name=self._text(name), buffer=number)

    def _code(self, name: str, version: int, is_custom: bool) -> int:
        code = _CUSTOM if is_custom else _builtin_code(name)
        return self._table(
            "OperatorCode",
            deprecated_builtin_code=min(code, _PLACEHOLDER_FOR_GREATER_OP_CODES),
            builtin_code=code,
            custom_code=self._text(name) if is_custom else None,
            version=version,
        )

    def _subgraph(self, subgraph: Subgraph, buffers: Mapping[int, int]) -> int:
        tensors = [self._tensor(tensor, buffers[tensor.index]) for tensor in subgraph.tensors]
        operators = [self._operator(operator) for operator in subgraph.operators]
        return self._table(
            "SubGraph",
            name=self._text(subgraph.name),
            tensors=self._offsets(tensors),
            operators=self._offsets(operators),
            inputs=self._numbers(subgraph.inputs, np.int32),
            outputs=self._numbers(subgraph.outputs, np.int32),
        )

    def _tensor(self, tensor: Tensor, buffer: int) -> int:
        signature = tensor.shape_signature if tensor.shape_signature != tensor.shape else ()
        return self._table(
            "Tensor",
            name=self._text(tensor.name),
            shape=self._numbers(tensor.shape, np.int32),
            shape_signature=self._numbers(signature, np.int32) if signature else None,
            has_rank=True,
            type=int(tensor.type),
            buffer=buffer,
            is_variable=tensor.is_variable,
            quantization=None if tensor.quantization is None else self._quantization(tensor.quantization),
            sparsity=None if tensor.sparsity is None else self._sparsity(tensor.sparsity),
        )

    def _quantization(self, quantization: Quantization) -> int:
        return self._table(
            "QuantizationParameters",
            scale=self._numbers(quantization.scales, np.float32),
            zero_point=self._numbers(quantization.zero_points, np.int64),
            quantized_dimension=quantization.dimension,
        )

    def _sparsity(self, sparsity: Mapping[str, Any]) -> int:
        dimensions = [
            self._table(
                "DimensionMetadata",
                format=dimension["format"],
                dense_size=dimension["dense_size"],
                **self._indices("array_segments", dimension["array_segments"]),
                **self._indices("array_indices", dimension["array_indices"]),
            )
            for dimension in sparsity["dim_metadata"]
        ]
        return self._table(
            "SparsityParameters",
            traversal_order=self._numbers(sparsity["traversal_order"], np.int32),
            block_map=self._numbers(sparsity["block_map"], np.int32) if len(sparsity["block_map"]) else None,
            dim_metadata=self._offsets(dimensions),
        )

    def _indices(self, field: str, values: Array) -> dict[str, int]:
        """A vector of the union ``SparseIndexVector``: as narrow as the array is."""
        if not len(values):
            return {}
        name = {1: "Uint8Vector", 2: "Uint16Vector", 4: "Int32Vector"}[values.dtype.itemsize]
        vector = self._table(name, values=self._numbers(values, values.dtype))
        return {f"{field}_type": getattr(tflite.SparseIndexVector, name), field: vector}

    def _operator(self, operator: Operator) -> int:
        code = (operator.name, operator.version, operator.is_custom)
        custom_options = np.frombuffer(operator.custom_options, np.uint8)
        return self._table(
            "Operator",
            opcode_index=self.codes.setdefault(code, len(self.codes)),
            inputs=self._numbers(operator.inputs, np.int32),
            outputs=self._numbers(operator.outputs, np.int32),
            intermediates=self._numbers(operator.intermediates, np.int32) if operator.intermediates else None,
            custom_options=self._bytes(custom_options) if custom_options.size else None,
            **self._options(operator.options),
        )

    def _options(self, options: Any) -> dict[str, int]:
        if options is None:
            return {}
        if isinstance(options, schema.SchemaOptions):
            table, values = options.table, dict(options)
        else:
            table = type(options).__name__
            values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        union = "builtin_options" if hasattr(tflite.BuiltinOptions, table) else "builtin_options_2"
        kinds = getattr(tflite, schema.camel_case(union))
        fields = {name: self._option(table, name, value) for name, value in values.items()}
        return {f"{union}_type": getattr(kinds, table), union: self._table(table, **fields)}

    def _option(self, table: str, field: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, tuple):
            return self._numbers(value, _vector_dtype(table, field, value)) if value else None
        return value

    def _signature(self, signature: Signature) -> int:
        def arguments(numbers: Mapping[str, int]) -> int:
            return self._offsets(
                [self._table("TensorMap", name=self._text(n), tensor_index=i) for n, i in numbers.items()]
            )

        return self._table(
            "SignatureDef",
            signature_key=self._text(signature.key),
            subgraph_index=signature.subgraph,
            inputs=arguments(signature.inputs),
            outputs=arguments(signature.outputs),
        )

    def _table(self, table: str, /, **values: Any) -> int:
        """A table of the schema: numbers, and the offsets of what was written before; None leaves out."""
        getattr(tflite, f"{table}Start")(self.builder)
        for field, value in values.items():
            if value is not None:
                # A negative zero equals the default, 0.0, and would be left out.
                self.builder.ForceDefaults(isinstance(value, float) and math.copysign(1, value) < 0)
                getattr(tflite, f"{table}Add{schema.camel_case(field)}")(self.builder, value)
        return int(getattr(tflite, f"{table}End")(self.builder))

    def _text(self, text: str) -> int:
        return int(self.builder.CreateString(text))

    def _numbers(self, values: Any, dtype: Any) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, dtype)))

    def _bytes(self, value: Array) -> int:
        builder = self.builder
        builder.StartVector(1, value.size, _BUFFER_ALIGNMENT)
        builder.head -= value.size
        builder.Bytes[builder.head : builder.head + value.size] = value.tobytes()
        return int(builder.EndVector())

    def _offsets(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())


def _builtin_code(name: str) -> int:
    """The number of a builtin operator; ``BUILTIN_n`` is how the loader calls one newer than the schema."""
    code = getattr(tflite.BuiltinOperator, name, None)
    return int(name.removeprefix("BUILTIN_")) if code is None else int(code)


def _vector_dtype(table: str, field: str, values: tuple[Any, ...]) -> np.dtype[Any]:
    """The element type of a vector field, whose width only the generated builder function knows."""

    class Probe:
        def StartVector(self, size: int, _count: int, _alignment: int) -> int:  # noqa: N802
            return size

    size = getattr(tflite, f"{table}Start{schema.camel_case(field)}Vector")(Probe(), 0)
    # Bytes past 127 fit into unsigned ones, and the bits are the same.
    integer = "i" if min(values) < 0 else "u"
    kind = "f" if any(isinstance(value, float) for value in values) else integer
    return np.dtype(f"{kind}{size}")
