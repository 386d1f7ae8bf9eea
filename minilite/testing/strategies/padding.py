"""Cases of borders around a tensor."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.padding import MirrorPadMode, MirrorPadOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import MOVED, is_empty, makes, moved, moved_shapes, ranks, units_of, with_integers

INDEX = st.sampled_from([np.int32, np.int64, np.int16, np.int8])


@strategy("PAD", "PADV2", variants=MOVED)
@st.composite
def pads(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any amounts on any side; PADV2 with a value of its own."""
    kind, shape = draw(moved(variant)), draw(moved_shapes(min_rank=1))
    amounts = [[draw(st.sampled_from([0, 0, 1, 2, 3])) for _ in range(2)] for _ in shape]
    inputs = [units_of(kind, shape), np.array(amounts, draw(INDEX)).reshape(-1, 2)]
    if name == "PADV2":
        inputs.append(units_of(kind, draw(st.sampled_from([(), (1,)]))))
    return draw(with_integers(name, inputs, [kind]))


for _name in ("PAD", "PADV2"):
    known_fault(_name, *MOVED, runtime="litert-ref", when=ranks(6), reason="takes at most 5 axes")
    known_fault(_name, *MOVED, runtime="litert-ref", when=makes(TensorType.UINT32, TensorType.COMPLEX64),
                reason="refuses UINT32 and COMPLEX64")  # fmt: skip


@strategy("MIRROR_PAD", variants=MOVED)
@st.composite
def mirror_pads(draw: st.DrawFn, name: str, variant: str) -> Case:
    """As much as a mirror shows, on any side."""
    kind, shape = draw(moved(variant)), draw(moved_shapes(min_rank=1))
    mode = draw(st.sampled_from(MirrorPadMode))
    most = [max(size - (mode is MirrorPadMode.REFLECT), 0) for size in shape]
    amounts = [[draw(st.integers(0, n)) for _ in range(2)] for n in most]
    index = draw(st.sampled_from([np.int32, np.int64]))
    inputs = [units_of(kind, shape), np.array(amounts, index).reshape(-1, 2)]
    return draw(with_integers(name, inputs, [kind], MirrorPadOptions(mode)))


known_fault("MIRROR_PAD", *MOVED, runtime="litert-ref", when=is_empty, reason="refuses axes of no elements")
