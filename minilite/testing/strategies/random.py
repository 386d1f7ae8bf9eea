"""Cases of random numbers, which are the same for the same seeds."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.random import RandomOptions
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import SEEDS, shapes, type_of, values
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.strategies.selection import parameter


@st.composite
def _options(draw: st.DrawFn) -> RandomOptions:
    """Two seeds that are not both 0: that would ask for other numbers each time."""
    seeds = st.one_of(st.integers(0, 99), st.integers(-(2**63), 2**63 - 1))
    return RandomOptions(draw(seeds.filter(lambda seed: seed % (1 << 32) != 0)), draw(seeds))


@strategy("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", variants=("float32",))
@st.composite
def numbers(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any shape, constant or computed."""
    spec, more = draw(parameter(np.array(draw(shapes(1, 4)), np.int32)))
    return Case(one_op(name, [spec], [tensor()], draw(_options())), tuple(more))


@strategy("MULTINOMIAL", variants=("int32", "int64"))
@st.composite
def draws(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Log-probabilities of which some are infinite."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 6)))
    rng = np.random.default_rng(draw(SEEDS))
    logits = values(rng, shape, TensorType.FLOAT32)
    if draw(st.booleans()):
        logits[rng.random(shape) < 0.2] = -np.inf
    samples = constant(np.array(draw(st.integers(1, 9)), np.int32))
    graph = one_op(name, [tensor(shape), samples], [tensor((), type_of(variant))], draw(_options()))
    return Case(graph, (logits,))
