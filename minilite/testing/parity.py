"""Do two results of an operator agree? Judged by the operator's own tolerance, and answered with figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from minilite import ops
from minilite.executor import Executor
from minilite.graph import Array, Graph, Node, Tensor, TensorType


@dataclass(frozen=True)
class Comparison:
    """One output beside what it should be.

    Attributes
    ----------
    fault:
        What is wrong, or None.
    error:
        The largest absolute difference; infinite where one side is not a number and the other is.
    bound:
        What is allowed at the place of the largest difference in proportion to its bound.
    worst:
        Index of that place.
    """

    fault: str | None
    error: float = 0.0
    bound: float = 0.0
    worst: tuple[int, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the output is within the tolerance."""
        return self.fault is None


def compare(given: Array, expected: Array, bound: Array | float) -> Comparison:
    """An output against the right one; NaN agrees with NaN, an infinity with itself.

    Parameters
    ----------
    bound:
        The largest absolute difference allowed, for all elements or for each.
    """
    if (given.shape, given.dtype) != (expected.shape, expected.dtype):
        return Comparison(f"{given.dtype} {given.shape} instead of {expected.dtype} {expected.shape}")
    if given.dtype.kind not in "biufc":
        same = given.tolist() == expected.tolist()
        return Comparison(None if same else "other strings")
    if not given.size:
        return Comparison(None)
    wide = np.complex128 if given.dtype.kind == "c" else np.float64
    if given.dtype.itemsize == 8 and given.dtype.kind in "iu":  # float64 cannot tell all of these apart
        difference = np.where(given == expected, 0.0, np.maximum(abs(given.astype(wide) - expected), 1.0))
    else:
        with np.errstate(all="ignore"):
            difference = abs(given.astype(wide) - expected.astype(wide))
            alike = (given == expected) | ((given != given) & (expected != expected))  # noqa: PLR0124 - NaN
        difference = np.where(alike, 0.0, np.where(np.isnan(difference), np.inf, difference))
    allowed = np.broadcast_to(np.nan_to_num(np.asarray(bound, np.float64)), difference.shape)
    with np.errstate(all="ignore"):
        excess = np.where(difference == 0, 0.0, difference / np.maximum(allowed, 1e-300))
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(excess), difference.shape))
    error, limit = float(difference[worst]), float(allowed[worst])
    fault = None
    if error > limit:
        count = int(np.count_nonzero(difference > allowed))
        fault = (
            f"{given[worst]} instead of {expected[worst]} at {worst}: off by {error:.6g}, allowed "
            f"{limit:.6g}; {count} of {given.size} elements are off"
        )
    return Comparison(fault, error, limit, worst)


def compare_outputs(
    prepared: Graph, inputs: Sequence[Array], given: Sequence[Array], expected: Sequence[Array]
) -> list[Comparison]:
    """All outputs of a model of one operator, by its tolerance for these inputs of the graph."""
    (node,) = prepared.main.nodes()
    fed = dict(zip(prepared.main.inputs, inputs, strict=True))
    values = [None if t is None else t.data if t.data is not None else fed.get(t.index) for t in node.inputs]
    return [compare(a, b, bound(node, values, b)) for a, b in zip(given, expected, strict=True)]


def bound(node: Node, inputs: Sequence[Array | None], expected: Array) -> Array | float:
    """How far an output of a node may lie from the right one."""
    op = ops.find(node.operator.name)
    assert op is not None
    allowed: Array | float = op.tolerance(node).bound(inputs, expected)
    return allowed


@dataclass(frozen=True, eq=False)
class Alone:
    """An operator that ran by itself: with the shapes its tensors had, what it was given and what it made.

    ``outputs`` may be memory of an executor, which the next operator writes to.
    """

    node: Node
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array, ...]


def run_alone(node: Node, value: Callable[[int], Array], executor: Executor | None = None) -> Alone:
    """Run one operator on the values that another run of the graph had.

    Parameters
    ----------
    node:
        Of a prepared graph; see ``stands_alone``.
    value:
        A tensor's value in the other run, by its number; of dynamic tensors, outputs' too.
    executor:
        Of that graph, made with ``keep_all``; without it the operator's NumPy reference runs.
    """
    dynamic = node.is_dynamic
    if dynamic:
        node = _as_it_ran(node, value)
    inputs = tuple(
        None if t is None else t.data if t.data is not None else value(t.index) for t in node.inputs
    )
    return Alone(node, inputs, tuple(_made(node, inputs, None if dynamic else executor)))


@dataclass(frozen=True, eq=False)
class LocalComparison:
    """An operator's output made of the inputs that a run gave it, beside the output of that run."""

    node: Node
    tensor: Tensor
    comparison: Comparison


def compare_operators(
    graph: Graph, value: Callable[[int], Array], executor: Executor | None = None
) -> Iterator[LocalComparison]:
    """Each operator alone, on the values that another run of the graph had.

    Errors do not add up from one operator to the next, so each is held to its own tolerance. Operators
    with effects beyond their outputs are passed over. Parameters are those of ``run_alone``.
    """
    for node in graph.main.nodes():
        if not stands_alone(node):
            continue
        alone = run_alone(node, value, executor)
        for tensor, made in zip(alone.node.outputs, alone.outputs, strict=True):
            expected = value(tensor.index)
            found = compare(made, expected, bound(alone.node, alone.inputs, expected))
            yield LocalComparison(alone.node, tensor, found)


def _as_it_ran(node: Node, value: Callable[[int], Array]) -> Node:
    """A node with the shapes that its tensors had in a run."""
    tensors = list(node.subgraph.tensors)
    for tensor in (*node.inputs, *node.outputs):
        if tensor is not None and tensor.is_dynamic:
            shape = value(tensor.index).shape
            tensors[tensor.index] = replace(tensor, shape=shape, is_dynamic=False)
    return Node(replace(node.subgraph, tensors=tuple(tensors)), node.operator)


def stands_alone(node: Node) -> bool:
    """Whether a node's outputs are made of nothing but its inputs, and both are values one can look at."""
    op = ops.find(node.operator.name)
    assert op is not None
    handles = (TensorType.RESOURCE, TensorType.VARIANT)
    tensors = (*node.inputs, *node.outputs)
    return op.pure and not node.is_folded and all(t is None or t.type not in handles for t in tensors)


def rounds_floats(node: Node) -> bool:
    """Whether a node quantizes floats that the network has computed: by itself, or for its weights."""
    inputs = [t for t in node.inputs if t is not None and not t.is_constant]
    takes_floats = any(t.type is TensorType.FLOAT32 for t in inputs)
    weights = [t for t in node.inputs if t is not None and t.is_constant]
    kinds = (TensorType.INT4, TensorType.INT8, TensorType.UINT8)
    hybrid = any(t.type in kinds and t.quantization is not None for t in weights)
    makes_integers = any(t.quantization is not None and t.dtype.kind in "iu" for t in node.outputs)
    return takes_floats and (hybrid or makes_integers)


def near(expected: Array) -> float:
    """How far a network's output may lie from the right one, whose operators are each within their tolerance.

    0 for integers. The errors of one float operator are the inputs of the next, and no bound holds for every
    network: 1e-4 of the largest magnitude is what those seen keep.
    """
    return 1e-4 * magnitude(expected) if expected.dtype.kind in "fc" else 0.0


def magnitude(values: Array) -> float:
    """The largest absolute value, infinities and NaN aside."""
    return float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))


def _made(node: Node, inputs: Sequence[Array | None], executor: Executor | None) -> Sequence[Array]:
    if executor is None:
        op = ops.find(node.operator.name)
        assert op is not None
        with np.errstate(all="ignore"):
            return op.evaluate(node, inputs)
    for tensor, given in zip(node.inputs, inputs, strict=True):
        if tensor is not None and tensor.data is None:
            executor.view(tensor.index)[...] = given
    executor.run(node.operator.index, node.operator.index + 1)
    return [executor.view(tensor.index) for tensor in node.outputs]
