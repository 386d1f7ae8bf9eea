"""The model as data: frozen records whose tensor and operator numbers are the file's own.

Nothing here knows flatbuffers (see ``loader``) or how an operator computes (see ``ops``).
The names follow TFLite's schema.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.errors import ModelFormatError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

ABSENT = -1
"""The tensor number that stands for an optional input left out."""


class TensorType(enum.IntEnum):
    """Element types, numbered as in TFLite's schema (``TensorType``)."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    STRING = 5
    BOOL = 6
    INT16 = 7
    COMPLEX64 = 8
    INT8 = 9
    FLOAT64 = 10
    COMPLEX128 = 11
    UINT64 = 12
    RESOURCE = 13
    VARIANT = 14
    UINT32 = 15
    UINT16 = 16
    INT4 = 17
    BFLOAT16 = 18

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type that holds one element once loaded (int4 is unpacked to int8)."""
        return _DTYPES[self]

    @property
    def array_dtype(self) -> np.dtype[Any]:
        """The NumPy type of arrays that hold values: ``dtype``, but ``object`` for strings (``bytes``)."""
        return np.dtype(object) if self is TensorType.STRING else self.dtype

    @property
    def bits(self) -> int:
        """Width of one element in the file; 0 where elements have no fixed width."""
        if self in (TensorType.STRING, TensorType.RESOURCE, TensorType.VARIANT):
            return 0
        return 4 if self is TensorType.INT4 else self.dtype.itemsize * 8


_DTYPES: dict[TensorType, np.dtype[Any]] = {
    TensorType.FLOAT32: np.dtype(np.float32),
    TensorType.FLOAT16: np.dtype(np.float16),
    TensorType.INT32: np.dtype(np.int32),
    TensorType.UINT8: np.dtype(np.uint8),
    TensorType.INT64: np.dtype(np.int64),
    TensorType.STRING: np.dtype(np.bytes_),
    TensorType.BOOL: np.dtype(np.bool_),
    TensorType.INT16: np.dtype(np.int16),
    TensorType.COMPLEX64: np.dtype(np.complex64),
    TensorType.INT8: np.dtype(np.int8),
    TensorType.FLOAT64: np.dtype(np.float64),
    TensorType.COMPLEX128: np.dtype(np.complex128),
    TensorType.UINT64: np.dtype(np.uint64),
    TensorType.RESOURCE: np.dtype(np.int32),
    TensorType.VARIANT: np.dtype(np.int32),
    TensorType.UINT32: np.dtype(np.uint32),
    TensorType.UINT16: np.dtype(np.uint16),
    TensorType.INT4: np.dtype(np.int8),
    TensorType.BFLOAT16: np.dtype(np.uint16),
}


class Padding(enum.IntEnum):
    """How a window treats the border (schema ``Padding``)."""

    SAME = 0
    VALID = 1


class Activation(enum.IntEnum):
    """The activation fused into an operator (schema ``ActivationFunctionType``)."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5


@dataclass(frozen=True, eq=False)
class Quantization:
    """``real = scale * (quantized - zero_point)``, for the tensor or for each slice of ``dimension``.

    Attributes
    ----------
    scales:
        float32, length 1 (per tensor) or the size of ``dimension`` (per channel).
    zero_points:
        int64, as long as ``scales``.
    dimension:
        The axis that per-channel parameters run along (schema ``quantized_dimension``).
    """

    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    dimension: int = 0

    @property
    def per_channel(self) -> bool:
        """Whether each slice of ``dimension`` has parameters of its own."""
        return len(self.scales) > 1

    @property
    def scale(self) -> np.float32:
        """The scale of a per-tensor quantization, as the float32 the file holds."""
        return self.scales[0]  # type: ignore[no-any-return]

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor quantization."""
        return int(self.zero_points[0])


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a subgraph.

    Attributes
    ----------
    index:
        Its number in the file.
    shape:
        Present sizes; after ``resize_tensor_input`` these are the new ones.
    shape_signature:
        The sizes as the file declares them, -1 where unknown.
    data:
        The constant's value, a read-only view of the file; None for what is computed.
    buffer:
        Number of the file's buffer, 0 for none.
    is_dynamic:
        Whether the shape is known only once the operator that computes it has run; ``prepare`` finds out.
    """

    index: int
    name: str
    type: TensorType
    shape: Shape
    shape_signature: Shape
    quantization: Quantization | None = None
    data: Array | None = None
    buffer: int = 0
    is_variable: bool = False
    sparsity: Mapping[str, Any] | None = None
    is_dynamic: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of one element."""
        return self.type.dtype

    @property
    def is_constant(self) -> bool:
        """Whether the value stands in the file."""
        return self.data is not None

    @property
    def size(self) -> int:
        """Number of elements (a Python integer: never overflows)."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take once loaded."""
        return self.size * self.dtype.itemsize

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.data is not None:  # NumPy forgets in a pickle that an array is read-only.
            self.data.flags.writeable = False

    def __str__(self) -> str:
        sizes = "x".join(map(str, self.shape)) or "scalar"
        return f"tensor {self.index} {self.name!r} ({self.type.name} {sizes})"

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.tensor_html(self)


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator of a subgraph, in execution order.

    Attributes
    ----------
    index:
        Its number in the file.
    name:
        TFLite's name (``CONV_2D``), or the custom code of a custom operator.
    options:
        The operator's own options record (see ``ops``); for operators minilite does not
        have, a plain dict of the fields the schema knows.
    """

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = None
    version: int = 1
    is_custom: bool = False
    custom_options: bytes = b""
    intermediates: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"op {self.index} {self.name}"

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.operator_html(self)


@dataclass(frozen=True, eq=False)
class Subgraph:
    """Tensors, and the operators that compute them."""

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def nodes(self) -> Iterator[Node]:
        """Each operator together with its tensors, in execution order."""
        return (Node(self, operator) for operator in self.operators)


@dataclass(frozen=True, eq=False)
class Signature:
    """A named entry: argument names to tensor numbers (schema ``SignatureDef``)."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole model file."""

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...] = ()
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    description: str = ""
    version: int = 3

    @property
    def main(self) -> Subgraph:
        """The subgraph that ``invoke`` runs."""
        return self.subgraphs[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        return self  # Nothing in it changes: copies of what runs it share the weights.


@dataclass(frozen=True, eq=False)
class Node:
    """An operator seen with its tensors: what ``ops`` work on."""

    subgraph: Subgraph
    operator: Operator

    @property
    def options(self) -> Any:
        """The operator's options record."""
        return self.operator.options

    @cached_property
    def inputs(self) -> tuple[Tensor | None, ...]:
        """Input tensors, None where an optional one is left out."""
        tensors = self.subgraph.tensors
        return tuple(None if i == ABSENT else tensors[i] for i in self.operator.inputs)

    @cached_property
    def outputs(self) -> tuple[Tensor, ...]:
        """Output tensors."""
        return tuple(self.subgraph.tensors[i] for i in self.operator.outputs)

    def input(self, position: int) -> Tensor:
        """The tensor at an input position that must be there."""
        tensor = self.inputs[position] if position < len(self.inputs) else None
        if tensor is None:
            raise ModelFormatError(
                f"{self.operator}: input {position} is missing",
                op_index=self.operator.index,
                op_name=self.operator.name,
                rule="missing-input",
            )
        return tensor

    def optional_input(self, position: int) -> Tensor | None:
        """The tensor at an input position that may be absent."""
        return self.inputs[position] if position < len(self.inputs) else None

    @property
    def output(self) -> Tensor:
        """The only output."""
        return self.outputs[0]

    @property
    def is_folded(self) -> bool:
        """Whether ``prepare`` has computed the outputs already: there is nothing left to run."""
        return bool(self.outputs) and all(tensor.is_constant for tensor in self.outputs)

    @property
    def is_dynamic(self) -> bool:
        """Whether an input's or output's shape is known only during the run."""
        inputs = any(tensor is not None and tensor.is_dynamic for tensor in self.inputs)
        return inputs or any(tensor.is_dynamic for tensor in self.outputs)

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.node_html(self)


def with_tensors(graph: Graph, subgraph: int, tensors: tuple[Tensor, ...]) -> Graph:
    """The same graph with one subgraph's tensors replaced."""
    subgraphs = list(graph.subgraphs)
    subgraphs[subgraph] = replace(subgraphs[subgraph], tensors=tensors)
    return replace(graph, subgraphs=tuple(subgraphs))
