"""Graphs made in Python: tensors and operators one after the other, shapes inferred on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite import ops
from minilite.graph import Array, Graph, Node, Operator, Quantization, Shape, Subgraph, Tensor, TensorType
from minilite.prepare import infer_shapes

_TYPES = {kind.dtype: kind for kind in reversed(TensorType) if kind.bits == kind.dtype.itemsize * 8}


@dataclass(frozen=True, eq=False)
class TensorSpec:
    """A tensor to be made; ``tensor`` and ``constant`` are the short ways to write one.

    Attributes
    ----------
    scale, zero_point:
        Quantization: a number each, or one for each slice of ``quantized_dimension``; no scale,
        no quantization.
    data:
        The value of a constant, of the type's NumPy type.
    """

    shape: Shape
    type: TensorType = TensorType.FLOAT32
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    quantized_dimension: int = 0
    data: Array | None = None
    name: str = ""
    is_variable: bool = False


def tensor(shape: Sequence[int] = (), type: TensorType = TensorType.FLOAT32, **attributes: Any) -> TensorSpec:
    """A tensor that is computed or given. Outputs may leave out the shape: it is inferred."""
    return TensorSpec(tuple(shape), type, **attributes)


def constant(values: npt.ArrayLike, type: TensorType | None = None, **attributes: Any) -> TensorSpec:
    """A constant; without ``type`` it has the TFLite type of the array's dtype."""
    data = np.asarray(values, None if type is None else type.array_dtype)
    return TensorSpec(data.shape, _TYPES[data.dtype] if type is None else type, data=data, **attributes)


def make_tensor(spec: TensorSpec, index: int, default_name: str) -> Tensor:
    """The tensor of that number that was asked for."""
    data = spec.data
    if data is not None:
        data = np.array(data, spec.type.dtype if spec.type is not TensorType.STRING else object)
        data.flags.writeable = False
    return Tensor(
        index=index,
        name=spec.name or default_name,
        type=spec.type,
        shape=spec.shape,
        shape_signature=spec.shape,
        quantization=_quantization(spec),
        data=data,
        # Buffer 0 is the empty one by convention, so that each tensor has its own behind it.
        buffer=index + 1,
        is_variable=spec.is_variable,
    )


def _quantization(spec: TensorSpec) -> Quantization | None:
    if spec.scale is None:
        return None
    scales = np.atleast_1d(np.asarray(spec.scale, np.float32))
    zero_points = np.broadcast_to(np.asarray(spec.zero_point, np.int64), scales.shape).copy()
    return Quantization(scales, zero_points, spec.quantized_dimension)


class GraphBuilder:
    """Collects tensors and operators; each call gives the number of the tensor that it adds."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.inputs: list[int] = []

    def tensor(self, spec: TensorSpec) -> int:
        """A tensor that something else computes, or a constant."""
        self.tensors.append(make_tensor(spec, len(self.tensors), f"t{len(self.tensors)}"))
        return len(self.tensors) - 1

    def input(self, spec: TensorSpec) -> int:
        """An input of the network."""
        self.inputs.append(self.tensor(spec))
        return self.inputs[-1]

    def add(
        self, name: str, inputs: Sequence[int], output: TensorSpec, options: Any = None, *, version: int = 1
    ) -> int:
        """An operator with one output, whose shape it infers; the schema's default options if none.

        Raises
        ------
        PrepareError
            The operator refuses its inputs or options.
        """
        (result,) = self.do(name, inputs, [output], options, version=version)
        return result

    def do(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[TensorSpec] = (),
        options: Any = None,
        *,
        version: int = 1,
    ) -> tuple[int, ...]:
        """An operator with any number of outputs, whose shapes it infers where they can be known."""
        op = ops.find(name)
        assert op is not None
        if options is None and op.options is not None:
            options = op.options()
        results = tuple(self.tensor(output) for output in outputs)
        self.operators.append(Operator(len(self.operators), name, tuple(inputs), results, options, version))
        shapes = infer_shapes(Node(self.subgraph(*results), self.operators[-1]))
        for result, shape in zip(results, shapes, strict=True):
            if shape is not None:
                self.tensors[result] = replace(self.tensors[result], shape=shape, shape_signature=shape)
        return results

    def graph(self, *outputs: int, description: str = "") -> Graph:
        """All of it; without ``outputs``, what nothing reads is one."""
        read = {number for operator in self.operators for number in operator.inputs}
        computed = [number for operator in self.operators for number in operator.outputs]
        outputs = outputs or tuple(number for number in computed if number not in read)
        return Graph((self.subgraph(*outputs),), description=description)

    def subgraph(self, *outputs: int) -> Subgraph:
        """All of it, as a subgraph with these outputs."""
        return Subgraph(0, "main", tuple(self.tensors), tuple(self.operators), tuple(self.inputs), outputs)
