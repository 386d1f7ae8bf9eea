"""Cases of several operators together: chains, branches and joins."""

from __future__ import annotations

from hypothesis import strategies as st

from minilite.testing.cases import NETWORK, Case, strategy
from minilite.testing.draw import type_of, with_inputs
from minilite.testing.networks import networks


@strategy(NETWORK, variants=("float32", "int8", "uint8"))
@st.composite
def network(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A network of up to eight operators."""
    return draw(with_inputs(draw(networks(type_of(variant)))))
