"""Cases of operators that run subgraphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.building import GraphBuilder
from minilite.graph import Shape, Subgraph, TensorType
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import SEEDS, shapes, type_of, values
from minilite.testing.models import constant, tensor
from minilite.testing.networks import joined, options

_NUMBERS = ("float32", "int32")

_NO_ATTRIBUTES = (0, 0, 1, 0, 0, 36, 1)
"""An empty map, as a FlexBuffer."""


@st.composite
def functions(draw: st.DrawFn, kind: TensorType, shape: Shape, *, may_resize: bool) -> Subgraph:
    """A function of one tensor: some arithmetic, and sometimes a row is put beside itself."""
    net = GraphBuilder()
    y = net.input(tensor(shape, kind))
    for name in draw(st.lists(st.sampled_from(("ADD", "MUL")), min_size=1, max_size=3)):
        number = net.tensor(constant(np.array(draw(st.integers(-3, 3))), kind))
        y = net.add(name, [y, number], tensor((), kind))
    if may_resize and shape and draw(st.booleans()):
        y = net.add("CONCATENATION", [y, y], tensor((), kind), options("CONCATENATION", axis=0))
    return net.subgraph(y)


@strategy("IF", variants=_NUMBERS)
@st.composite
def choice(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Either of two functions, whose outputs may differ in shape; sometimes the choice is a constant."""
    kind, shape = type_of(variant), draw(shapes(0, 3))
    one: Shape = (1,) if draw(st.booleans()) else ()
    flag = np.full(one, draw(st.booleans()))
    net = GraphBuilder()
    known = draw(st.booleans())
    chosen = net.tensor(constant(flag)) if known else net.input(tensor(one, TensorType.BOOL))
    x = net.input(tensor(shape, kind))
    branches = options(name, then_subgraph_index=1, else_subgraph_index=2)
    (y,) = net.do(name, [chosen, x], [tensor(shape, kind)], branches)
    graph = joined(
        net.subgraph(y),
        draw(functions(kind, shape, may_resize=True)),
        draw(functions(kind, shape, may_resize=True)),
    )
    given = values(np.random.default_rng(draw(SEEDS)), shape, kind)
    return Case(graph, (given,) if known else (flag, given))


@strategy("WHILE", variants=_NUMBERS)
@st.composite
def loop(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A function run a number of times, none at all among them; values may grow longer with each turn."""
    kind, shape = type_of(variant), draw(shapes(0, 3))
    counter, turns = TensorType.INT32, draw(st.integers(0, 4))
    net = GraphBuilder()
    count, x = net.input(tensor((), counter)), net.input(tensor(shape, kind))
    chosen = options(name, cond_subgraph_index=1, body_subgraph_index=2)
    results = net.do(name, [count, x], [tensor((), counter), tensor(shape, kind)], chosen)

    condition = GraphBuilder()
    count = condition.input(tensor((), counter))
    condition.input(tensor(shape, kind))
    limit = condition.tensor(constant(np.int32(turns)))
    goes_on = condition.add("LESS", [count, limit], tensor((), TensorType.BOOL))

    body = GraphBuilder()
    count, x = body.input(tensor((), counter)), body.input(tensor(shape, kind))
    more = body.add("ADD", [count, body.tensor(constant(np.int32(1)))], tensor((), counter))
    number = body.tensor(constant(np.array(draw(st.integers(-2, 2))), kind))
    y = body.add(draw(st.sampled_from(("ADD", "MUL"))), [x, number], tensor((), kind))
    grows = draw(st.booleans())
    if shape and grows:
        y = body.add("CONCATENATION", [y, x], tensor((), kind), options("CONCATENATION", axis=0))
    graph = joined(net.subgraph(*results), condition.subgraph(goes_on), body.subgraph(more, y))
    start = np.array(draw(st.integers(0, 2)), np.int32)
    return Case(graph, (start, values(np.random.default_rng(draw(SEEDS)), shape, kind)))


@strategy("STABLEHLO_COMPOSITE", variants=_NUMBERS)
@st.composite
def composite(draw: st.DrawFn, name: str, variant: str) -> Case:
    """An operation with a decomposition that a runtime knows nothing else about."""
    kind, shape = type_of(variant), draw(shapes(0, 3))
    net = GraphBuilder()
    x = net.input(tensor(shape, kind))
    chosen: Any = options(
        name, name="minilite.test", decomposition_subgraph_index=1, composite_attributes=_NO_ATTRIBUTES
    )
    (y,) = net.do(name, [x], [tensor(shape, kind)], chosen)
    graph = joined(net.subgraph(y), draw(functions(kind, shape, may_resize=False)))
    return Case(graph, (values(np.random.default_rng(draw(SEEDS)), shape, kind),))
