"""One-operator models in a line of Python, for tests against an oracle and for fuzzing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite import ops
from minilite.graph import ABSENT, Array, Graph, Operator, Quantization, Shape, Subgraph, Tensor, TensorType

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
    """A tensor that is computed or given. Outputs may leave out the shape: ``prepare`` infers it."""
    return TensorSpec(tuple(shape), type, **attributes)


def constant(values: npt.ArrayLike, type: TensorType | None = None, **attributes: Any) -> TensorSpec:
    """A constant; without ``type`` it has the TFLite type of the array's dtype."""
    data = np.asarray(values, None if type is None else type.array_dtype)
    return TensorSpec(data.shape, _TYPES[data.dtype] if type is None else type, data=data, **attributes)


def one_op(
    name: str,
    inputs: Sequence[TensorSpec | None],
    outputs: Sequence[TensorSpec],
    options: Any = None,
    *,
    version: int = 1,
    custom_options: bytes | None = None,
    intermediates: Sequence[TensorSpec] = (),
) -> Graph:
    """A model of one operator.

    Parameters
    ----------
    name:
        TFLite's name, or a custom code if ``custom_options`` are given.
    inputs:
        In the operator's order, None for an optional input left out. Those without ``data`` become
        the model's inputs.
    outputs:
        All become the model's outputs.
    options:
        The operator's options record; the schema's defaults if left out.
    version:
        The operator's version, as the file would state it.
    custom_options:
        Makes it a custom operator, with these bytes.
    intermediates:
        Tensors that only say how the operator quantizes what it computes in between.

    Examples
    --------
    >>> graph = one_op("RELU", [tensor((1, 3))], [tensor()])
    >>> graph.main.inputs, graph.main.outputs
    ((0,), (1,))
    """
    op = ops.find(name)
    if options is None and op is not None and op.options is not None:
        options = op.options()
    tensors: list[Tensor] = []

    def add(spec: TensorSpec | None, default_name: str) -> int:
        if spec is None:
            return ABSENT
        tensors.append(make_tensor(spec, len(tensors), default_name))
        return len(tensors) - 1

    input_numbers = tuple(add(spec, f"input_{i}") for i, spec in enumerate(inputs))
    output_numbers = tuple(add(spec, f"output_{i}") for i, spec in enumerate(outputs))
    operator = Operator(
        index=0,
        name=name,
        inputs=input_numbers,
        outputs=output_numbers,
        options=options,
        version=version,
        is_custom=custom_options is not None,
        custom_options=custom_options or b"",
        intermediates=tuple(add(spec, f"intermediate_{i}") for i, spec in enumerate(intermediates)),
    )
    given = (
        i for i in input_numbers if i != ABSENT and tensors[i].data is None and not tensors[i].is_variable
    )
    return Graph(
        (Subgraph(0, "main", tuple(tensors), (operator,), tuple(given), output_numbers),),
        description=f"one {name}",
    )


def with_variables_outside(graph: Graph) -> Graph:
    """The same model with its variables as inputs and outputs, too: state can be given and seen."""
    main = graph.main
    variables = tuple(t.index for t in main.tensors if t.is_variable)
    outside = replace(main, inputs=main.inputs + variables, outputs=main.outputs + variables)
    return replace(graph, subgraphs=(outside, *graph.subgraphs[1:]))


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
