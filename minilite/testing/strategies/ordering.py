"""Cases of elements in another order, or repeated."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.ordering import ReverseSequenceOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import (
    MOVED,
    SCALAR_STRING,
    is_empty,
    makes,
    moved,
    moved_shapes,
    ranks,
    units_of,
    with_integers,
)

INDEX = st.sampled_from([np.int32, np.int64])


@strategy("TRANSPOSE", variants=MOVED)
@st.composite
def transpositions(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Axes in any order, some counted from the back; now and then as large as several squares."""
    kind, shape = draw(moved(variant)), list(draw(moved_shapes()))
    if len(shape) in (2, 3) and draw(st.booleans()):
        shape[-2:] = draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    order = draw(st.permutations(range(len(shape))))
    order = [axis - len(shape) * draw(st.booleans()) for axis in order]
    return draw(with_integers(name, [units_of(kind, shape), np.array(order, np.int32)], [kind]))


known_fault("TRANSPOSE", *MOVED, runtime="litert-ref", when=ranks(0, 0), reason="leaves a scalar unwritten")


@strategy("REVERSE_V2", variants=MOVED)
@st.composite
def reversals(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Some axes, neighbours or not."""
    kind, shape = draw(moved(variant)), draw(moved_shapes(min_rank=1))
    chosen = draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    which = [axis - len(shape) * draw(st.booleans()) for axis in chosen]
    return draw(with_integers(name, [units_of(kind, shape), np.array(which, np.int32)], [kind]))


def _axes_apart(case: Case) -> bool:
    """Whether the axes are not neighbours; None are not, either."""
    x, which = case.graph.main.tensors[:2]
    given = sorted(
        int(axis) % len(x.shape) for axis in (case.inputs[-1] if which.data is None else which.data)
    )
    return not given or given != list(range(given[0], given[0] + len(given)))


known_fault("REVERSE_V2", *MOVED, runtime="litert-ref", when=_axes_apart, crashes=True,
            reason="refuses axes that are not neighbours; no axes end the process")  # fmt: skip
known_fault("REVERSE_V2", *MOVED, runtime="litert-ref", when=is_empty, crashes=True,
            reason="a tensor of no elements ends the process")  # fmt: skip
known_fault("REVERSE_V2", *MOVED, runtime="litert-ref", when=makes(TensorType.UINT32, TensorType.COMPLEX64),
            reason="refuses UINT32 and COMPLEX64")  # fmt: skip


_NO_SEQUENCES = [TensorType[name] for name in ("INT8", "UINT32", "BOOL", "FLOAT16", "COMPLEX64")]


@strategy("REVERSE_SEQUENCE", variants=MOVED)
@st.composite
def sequence_reversals(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any two axes, and lengths from none to all."""
    kind, shape = draw(moved(variant)), draw(moved_shapes(min_rank=2))
    sequence, batch = draw(st.permutations(range(len(shape))))[:2]
    lengths = [draw(st.integers(0, shape[sequence])) for _ in range(shape[batch])]
    inputs = [units_of(kind, shape), np.array(lengths, draw(INDEX))]
    options = ReverseSequenceOptions(sequence, batch)
    return draw(with_integers(name, inputs, [kind], options))


known_fault("REVERSE_SEQUENCE", *MOVED, runtime="litert-ref", when=is_empty, crashes=True,
            reason="a tensor of no elements ends the process")  # fmt: skip
known_fault("REVERSE_SEQUENCE", *MOVED, runtime="litert-ref", when=makes(*_NO_SEQUENCES),
            reason="refuses INT8, UINT32, BOOL, FLOAT16 and COMPLEX64")  # fmt: skip


@strategy("TILE", variants=(*MOVED, "string"))
@st.composite
def tiles(draw: st.DrawFn, name: str, variant: str) -> Case:
    """From no times to three times along each axis."""
    kind, shape = draw(moved(variant)), draw(moved_shapes(max_rank=4))
    times = [draw(st.sampled_from([1, 1, 2, 3, 0])) for _ in shape]
    return draw(with_integers(name, [units_of(kind, shape), np.array(times, draw(INDEX))], [kind]))


known_fault("TILE", "string", runtime="litert-ref", when=ranks(0, 0), reason=SCALAR_STRING)


@strategy("BROADCAST_TO", variants=MOVED)
@st.composite
def broadcasts(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Axes of size 1 stretched, others added in front."""
    kind, shape = draw(moved(variant)), draw(moved_shapes(max_rank=5))
    wanted = [size if size != 1 else draw(st.sampled_from([1, 2, 3, 0])) for size in shape]
    wanted = draw(st.lists(st.integers(1, 3), max_size=min(3, 8 - len(shape)))) + wanted
    return draw(
        with_integers(name, [units_of(kind, shape), np.array(wanted, draw(INDEX))], [kind], version=2)
    )
