"""Cases of SKIP_GRAM."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.text import SkipGramOptions
from minilite.testing.cases import Case, strategy
from minilite.testing.models import one_op, tensor


@strategy("SKIP_GRAM", variants=("string",))
@st.composite
def sentences(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Words and spaces in any order."""
    sentence = "".join(
        draw(st.lists(st.sampled_from(["a", "bc", "d", " ", "  ", "\t"]), min_size=1, max_size=12))
    )
    options = SkipGramOptions(draw(st.integers(1, 4)), draw(st.integers(0, 3)), draw(st.booleans()))
    graph = one_op(name, [tensor((1,), TensorType.STRING)], [tensor((0,), TensorType.STRING)], options)
    given = np.empty(1, object)
    given[0] = sentence.encode()
    return Case(graph, (given,))
