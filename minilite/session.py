"""One subgraph behind TFLite's calls: resized, allocated, written, run and read."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minilite.errors import InvokeError, PrepareError, TensorValueError
from minilite.executor import Executor
from minilite.graph import Array, Graph, Shape, Subgraph, Tensor, with_tensors
from minilite.prepare import prepare
from minilite.values import check
from minilite.verify import shape_fault

_NULL = "Tensor data is null. Run allocate_tensors() first"
_VIEWS_HELD = """There is at least 1 reference to internal data
      in the interpreter in the form of a numpy array or slice. Be sure to
      only hold the function returned from tensor() if you are using raw
      data access."""


class _Lease:
    """What a handed-out array is built on: it lives as long as any array or slice made from that one.

    NumPy keeps the object an array was made from, and views keep the array; so a weak reference to
    the lease tells whether the caller still holds internal memory.
    """

    __slots__ = ("__array_interface__", "__weakref__", "_memory")

    def __init__(self, memory: Array) -> None:
        self._memory = memory
        self.__array_interface__: dict[str, Any] = memory.__array_interface__


class Session:
    """The states that TFLite's interpreter takes a subgraph through.

    New or resized, it has shapes but no memory; ``allocate`` makes the executor, after which tensors
    are written, run and read. Resizing an input drops the memory again. The class does no locking.
    """

    def __init__(self, graph: Graph, subgraph: int, create: Callable[..., Executor]) -> None:
        self._declared = graph
        self._graph = graph
        self._index = subgraph
        self._create = create
        self._shapes: dict[int, Shape] = {}
        self._executor: Executor | None = None
        self._leases: weakref.WeakSet[_Lease] = weakref.WeakSet()

    @property
    def subgraph(self) -> Subgraph:
        """The subgraph with its present shapes."""
        if self._executor is not None:
            return self._executor.subgraph
        return self._graph.subgraphs[self._index]

    @property
    def views_are_held(self) -> bool:
        """Whether the caller still has an array that shares the memory."""
        return bool(self._leases)

    def tensor(self, index: int) -> Tensor:
        """The tensor of that number, whatever integer type names it."""
        tensors = self.subgraph.tensors
        number = operator.index(index)
        if not 0 <= number < len(tensors):
            raise TensorValueError(
                f"Invalid tensor index {number} exceeds max tensor index {len(tensors)}\n"
                f"Tensors are numbered 0 to {len(tensors) - 1} in subgraph {self._index}; "
                "get_tensor_details() lists them.",
                rule="tensor-index",
            )
        return tensors[number]

    def resize(self, index: int, shape: Shape, *, strict: bool) -> None:
        """Give an input other sizes; unless they are what it has, the memory is dropped."""
        tensor = self._resizable(index)
        if strict:
            _check_strict(tensor, shape)
        fault = shape_fault(shape, tensor.type)
        if fault is not None:
            raise PrepareError(
                f"BytesRequired number of elements overflowed.\n{tensor} cannot become {shape}: {fault}.",
                tensor=tensor.index,
                rule="resize-shape",
            )
        if shape == tensor.shape:
            return
        self.ensure_no_views()
        tensors = list(self.subgraph.tensors)
        tensors[tensor.index] = replace(tensor, shape=shape)
        self._graph = with_tensors(self._graph, self._index, tuple(tensors))
        self._shapes[tensor.index] = shape
        self._drop_memory()

    def _resizable(self, index: int) -> Tensor:
        try:
            tensor = self.tensor(index)
        except TensorValueError as error:  # TFLite: RuntimeError here, ValueError everywhere else.
            raise PrepareError(
                f"tensor_index < context_.tensors_size && tensor_index >= 0 was not true.\n{error}",
                rule="tensor-index",
            ) from None
        inputs = self.subgraph.inputs
        if tensor.index not in inputs:
            raise PrepareError(
                f"Attempting to resize a fixed-size tensor.\n{tensor} is not an input of the subgraph; "
                f"its inputs are {list(inputs)}, and all other shapes follow from theirs.",
                tensor=tensor.index,
                rule="resize-input",
            )
        return tensor

    def allocate(self) -> None:
        """Infer all shapes and make the memory. Does nothing, and keeps all values, if that is done."""
        if self._executor is not None:
            return
        self.ensure_no_views()
        self._graph = prepare(self._declared, self._shapes, self._index)
        self._executor = self._create(self._graph, subgraph=self._index)

    def write(self, index: int, value: Any) -> None:
        """Copy a value of exactly the tensor's type and shape into an input or a variable."""
        tensor = self.tensor(index)
        if not (tensor.index in self.subgraph.inputs or tensor.is_variable):
            source = "a constant of the file" if tensor.is_constant else "computed by the model"
            raise TensorValueError(
                f"Cannot set tensor: {tensor} is {source}. "
                f"The tensors that can be set are the inputs, {list(self.subgraph.inputs)}.",
                tensor=tensor.index,
                rule="read-only",
            )
        array = check(np.asarray(value), tensor)
        if self._executor is None:
            raise TensorValueError(
                "Cannot set tensor: Tensor is unallocated. Try calling allocate_tensors() first\n"
                "Tensors have memory from allocate_tensors() until an input is resized.",
                tensor=tensor.index,
                rule="unallocated",
            )
        self._executor.view(tensor.index)[...] = array

    def view(self, index: int) -> Array:
        """A tensor's memory. Constants can be read at any time, the rest once it is allocated."""
        tensor = self.tensor(index)
        if tensor.data is not None:
            return tensor.data
        if self._executor is None:
            raise TensorValueError(
                f"{_NULL}\n{tensor} has memory from allocate_tensors() until an input is resized.",
                tensor=tensor.index,
                rule="unallocated",
            )
        return self._executor.view(tensor.index)

    def read(self, index: int) -> Array:
        """A copy of a tensor's value; TFLite gives a NumPy scalar where there are no axes."""
        value: Array = self.view(index).copy()[()]
        return value

    def lend(self, index: int) -> Array:
        """A tensor's memory for the caller; while he holds it, it stays where it is."""
        lease = _Lease(self.view(index))
        self._leases.add(lease)
        return np.asarray(lease)

    def ensure_no_views(self) -> None:
        """Refuse what would change memory that the caller holds."""
        if self.views_are_held:
            raise InvokeError(
                f"{_VIEWS_HELD}\nDelete the arrays that tensor(i)() returned, or take copies: get_tensor(i).",
                rule="views-held",
            )

    def run(self) -> None:
        """Run all operators once."""
        self.ensure_no_views()
        if self._executor is None:
            raise InvokeError(
                "Invoke called on model that is not ready.\n"
                "Call allocate_tensors() first, and again after each resize_tensor_input().",
                rule="unallocated",
            )
        self._executor.run()

    def reset_variables(self) -> None:
        """Set the tensors that outlive a run back to zero (int8: to their zero point)."""
        if self._executor is None:
            return
        for tensor in self.subgraph.tensors:
            if tensor.is_variable:
                zero_point = tensor.quantization.zero_point if tensor.quantization is not None else 0
                self._executor.view(tensor.index)[...] = zero_point if tensor.dtype == np.int8 else 0

    def save(self) -> dict[str, Any]:
        """What a copy needs to stand where this one stands: sizes, and the values of inputs and variables."""
        kept = [t.index for t in self.subgraph.tensors if t.index in self.subgraph.inputs or t.is_variable]
        allocated = self._executor is not None
        return {
            "shapes": dict(self._shapes),
            "allocated": allocated,
            "values": {i: self.view(i).copy() for i in kept} if allocated else {},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take the place that ``save`` describes."""
        for index, shape in state["shapes"].items():
            self.resize(index, shape, strict=False)
        if state["allocated"]:
            self.allocate()
        for index, value in state["values"].items():
            self.write(index, value)

    def _drop_memory(self) -> None:
        if self._executor is not None:
            self._executor.close()
            self._executor = None


def as_shape(sizes: Any) -> Shape:
    """The sizes given to ``resize_tensor_input``: a one-dimensional row of integers."""
    array = np.asarray(sizes)
    if array.ndim != 1:
        raise TensorValueError(
            f"Shape should be 1D instead of {array.ndim}.\n"
            "Pass one size for each axis, as in [1, 257, 257, 3].",
            rule="resize-shape",
        )
    shape = tuple(int(size) for size in array)
    if any(size != given for size, given in zip(shape, array, strict=True)):
        raise TensorValueError(f"sizes have to be whole numbers, given {list(sizes)}", rule="resize-shape")
    return shape


def _check_strict(tensor: Tensor, shape: Shape) -> None:
    present = tensor.shape
    if len(shape) != len(present):
        raise PrepareError(
            f"tensor->dims->size != dims.size() ({len(present)} != {len(shape)})\n"
            f"With strict=True {tensor} keeps its number of axes.",
            tensor=tensor.index,
            rule="resize-strict",
        )
    for axis, (size, new) in enumerate(zip(present, shape, strict=True)):
        if new != size and tensor.shape_signature[axis] != -1:
            raise PrepareError(
                f"Attempting to resize dimension {axis} of tensor {tensor.index} with value {size} to {new}. "
                "ResizeInputTensorStrict only allows mutating unknown dimensions identified by -1.\n"
                f"The file declares {tensor.shape_signature}; strict=False allows any size.",
                tensor=tensor.index,
                rule="resize-strict",
            )
