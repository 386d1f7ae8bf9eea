"""Cases of pixels moved between the picture, the batch and the channels."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.space import DepthToSpaceOptions, SpaceToDepthOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import MOVED, makes, moved, units_of, with_inputs, with_integers
from minilite.testing.models import one_op

SIZES = st.sampled_from([1, 2, 3, 4])


@strategy("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", variants=MOVED)
@st.composite
def batches(draw: st.DrawFn, name: str, variant: str) -> Case:
    """One or two axes of space, blocks of any size, uneven padding or crops."""
    kind, space = draw(moved(variant)), draw(st.integers(1, 2))
    blocks = [draw(st.integers(1, 3)) for _ in range(space)]
    before = [draw(st.integers(0, 3)) for _ in range(space)]
    batch, channels = draw(SIZES), draw(SIZES)
    if name == "SPACE_TO_BATCH_ND":
        sizes = [draw(st.integers(1, 7)) for _ in range(space)]
        behind = [
            -(a + n) % block + block * draw(st.integers(0, 1))
            for n, a, block in zip(sizes, before, blocks, strict=True)
        ]
    else:
        batch *= int(np.prod(blocks))
        sizes = [draw(st.integers(3, 5)) for _ in range(space)]
        behind = [
            draw(st.integers(0, n * block - a)) for n, a, block in zip(sizes, before, blocks, strict=True)
        ]
    inputs = [
        units_of(kind, (batch, *sizes, channels)),
        np.array(blocks, np.int32),
        np.array([before, behind], np.int32).T.copy(),
    ]
    return draw(with_integers(name, inputs, [kind]))


@strategy("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", variants=MOVED)
@st.composite
def depths(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Blocks of any size."""
    kind, block = draw(moved(variant)), draw(st.integers(1, 4))
    batch, height, width, channels = (draw(SIZES) for _ in range(4))
    if name == "SPACE_TO_DEPTH":
        shape = (batch, height * block, width * block, channels)
        graph = one_op(name, [units_of(kind, shape)], [kind], SpaceToDepthOptions(block))
    else:
        shape = (batch, height, width, channels * block * block)
        graph = one_op(name, [units_of(kind, shape)], [kind], DepthToSpaceOptions(block))
    return draw(with_inputs(graph, special=None))


for _name in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"):
    known_fault(_name, "other", runtime="litert-ref", reason="refuses BOOL, FLOAT16 and COMPLEX64")
    known_fault(_name, "quantized", "integer", runtime="litert-ref",
                when=makes(TensorType.INT16, TensorType.UINT32),
                reason="refuses INT16 and UINT32")  # fmt: skip
