"""One-operator models in a line of Python, for tests against an oracle and for fuzzing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from minilite import ops
from minilite.building import TensorSpec, constant, make_tensor, tensor
from minilite.graph import ABSENT, Graph, Operator, Subgraph, Tensor

__all__ = ["TensorSpec", "constant", "make_tensor", "one_op", "tensor", "with_variables_outside"]


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
