"""Cases of the same elements in another shape."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st

from minilite.ops.reshaping import ReshapeOptions, SqueezeOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import (
    MOVED,
    SCALAR_STRING,
    axes,
    moved,
    moved_shapes,
    ranks,
    units_of,
    with_inputs,
    with_integers,
)
from minilite.testing.models import one_op


@strategy("RESHAPE", variants=(*MOVED, "string"))
@st.composite
def reshapes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A shape with the same elements, with one size perhaps left open; constant, computed or an option."""
    kind, shape = draw(moved(variant)), draw(moved_shapes())
    wanted = list(draw(st.permutations([*shape, *[1] * draw(st.integers(0, 2))])))
    if len(wanted) > 1 and draw(st.booleans()):
        wanted[:2] = [prod(wanted[:2])]
    open_place = draw(st.integers(0, len(wanted)))
    if open_place < len(wanted) and 0 not in wanted[:open_place] + wanted[open_place + 1 :]:
        wanted[open_place] = -1
    x = units_of(kind, shape)
    if draw(st.booleans()) and wanted != [0]:  # an option of (0) is a scalar
        graph = one_op(name, [x], [kind], ReshapeOptions(tuple(wanted)))
        return draw(with_inputs(graph, special=None))
    return draw(with_integers(name, [x, np.array(wanted, np.int32)], [kind]))


def _more_than_8_sizes(case: Case) -> bool:
    return len(case.graph.main.operators[0].options.new_shape) > 8


@strategy("SQUEEZE", variants=(*MOVED, "string"))
@st.composite
def squeezes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """All axes of size 1, or some that are named."""
    kind = draw(moved(variant))
    shape = draw(st.permutations([*draw(moved_shapes(max_rank=4)), *[1] * draw(st.integers(0, 3))]))
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    chosen = draw(st.lists(st.sampled_from(ones), unique=True)) if ones else []
    dims = tuple(axis - len(shape) * draw(st.booleans()) for axis in chosen)
    graph = one_op(name, [units_of(kind, shape)], [kind], SqueezeOptions(dims))
    return draw(with_inputs(graph, special=None))


@strategy("EXPAND_DIMS", variants=MOVED)
@st.composite
def expansions(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A new axis anywhere."""
    kind, shape = draw(moved(variant)), draw(moved_shapes())
    axis = np.array(draw(axes(len(shape) + 1)), draw(st.sampled_from([np.int32, np.int64])))
    return draw(with_integers(name, [units_of(kind, shape), axis], [kind]))


for _name in ("RESHAPE", "SQUEEZE"):
    known_fault(_name, "string", runtime="litert-ref", when=ranks(0, 0), reason=SCALAR_STRING)
known_fault("RESHAPE", *MOVED, "string", runtime="litert-ref", when=_more_than_8_sizes,
            reason="reads at most 8 sizes from the option")  # fmt: skip
known_fault("SQUEEZE", *MOVED, "string", runtime="litert-ref", when=ranks(9), reason="takes at most 8 axes")
