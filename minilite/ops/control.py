"""Operators that run other subgraphs: IF, WHILE, CALL_ONCE, STABLEHLO_COMPOSITE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.errors import InvokeError
from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Op, Runtime, operator, refuse


@dataclass(frozen=True)
class IfOptions:
    """Schema table ``IfOptions``."""

    then_subgraph_index: int = 0
    else_subgraph_index: int = 0


@dataclass(frozen=True)
class WhileOptions:
    """Schema table ``WhileOptions``."""

    cond_subgraph_index: int = 0
    body_subgraph_index: int = 0


@dataclass(frozen=True)
class CallOnceOptions:
    """Schema table ``CallOnceOptions``."""

    init_subgraph_index: int = 0


@dataclass(frozen=True)
class StableHLOCompositeOptions:
    """Schema table ``StableHLOCompositeOptions``; the attributes are a FlexBuffer."""

    name: str = ""
    decomposition_subgraph_index: int = 0
    composite_attributes: tuple[int, ...] = ()
    composite_attributes_format: int = 0
    version: int = 0


class _Caller(Op):
    """An operator whose outputs are those of a subgraph, with the shapes that come out of it."""

    pure = False

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        return (None,) * len(node.outputs)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        raise InvokeError(
            f"{node.operator} runs subgraphs, which only an executor can: use execute",
            op_index=node.operator.index,
            op_name=node.operator.name,
            rule="subgraphs",
        )


def _check_condition(node: Node, tensor: Tensor) -> None:
    if tensor.type is not TensorType.BOOL:
        refuse(node, "must be of type BOOL to decide", rule="types", tensor=tensor)


def _decision(node: Node, value: Array) -> bool:
    if value.size != 1 or value.dtype != np.bool_:
        raise InvokeError(
            f"its condition came out as {value.dtype} {value.shape}, not as one bool", rule="condition"
        )
    return bool(value.reshape(-1)[0])


def _given(inputs: Sequence[Array | None]) -> list[Array]:
    return [value for value in inputs if value is not None]


@operator("IF")
class If(_Caller):
    """One of two subgraphs, chosen by a bool (TFLite's ``kernels/if.cc``).

    Inputs: condition, bool with one element; then the inputs that both subgraphs take.
    """

    options = IfOptions

    def subgraphs(self, node: Node) -> tuple[int, ...]:
        return node.options.then_subgraph_index, node.options.else_subgraph_index

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        _check_condition(node, node.input(0))
        return super().output_shapes(node)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        condition, *arguments = _given(inputs)
        then, otherwise = self.subgraphs(node)
        return runtime.call(then if _decision(node, condition) else otherwise, arguments)


@operator("WHILE")
class While(_Caller):
    """A subgraph run again and again on its own outputs (TFLite's ``kernels/while.cc``).

    Inputs: the values the loop begins with. The subgraph ``cond`` makes one bool of them, ``body`` the
    values of the next turn; those that ``cond`` turns down are the outputs.
    """

    options = WhileOptions

    def subgraphs(self, node: Node) -> tuple[int, ...]:
        return node.options.cond_subgraph_index, node.options.body_subgraph_index

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        condition, body = self.subgraphs(node)
        values = tuple(_given(inputs))
        while _decision(node, runtime.call(condition, values)[0]):
            values = runtime.call(body, values)
        return values


@operator("CALL_ONCE")
class CallOnce(_Caller):
    """A subgraph run before anything else, once in a model's life (TFLite's ``kernels/call_once.cc``).

    It has no inputs and no outputs; what it does is to fill variables and tables.
    """

    options = CallOnceOptions

    def subgraphs(self, node: Node) -> tuple[int, ...]:
        return (node.options.init_subgraph_index,)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        (subgraph,) = self.subgraphs(node)
        if ("called", subgraph) not in runtime.resources:
            runtime.call(subgraph, ())
            runtime.resources["called", subgraph] = True
        return ()


@operator("STABLEHLO_COMPOSITE")
class StableHLOComposite(_Caller):
    """An operation that is known by name, run by its decomposition (TFLite's ``stablehlo_composite.cc``)."""

    options = StableHLOCompositeOptions

    def subgraphs(self, node: Node) -> tuple[int, ...]:
        return (node.options.decomposition_subgraph_index,)

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        (subgraph,) = self.subgraphs(node)
        return runtime.call(subgraph, _given(inputs))
