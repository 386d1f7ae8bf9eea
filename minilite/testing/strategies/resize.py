"""Cases of resized pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite import ops
from minilite.graph import TensorType
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import specs, type_of, with_inputs
from minilite.testing.models import constant, one_op

_SIZES = st.one_of(st.integers(1, 9), st.integers(1, 40))


known_fault(
    "RESIZE_BILINEAR",
    "float32",
    runtime="litert-ref",
    reason="multiplies infinities by weights of zero, which makes NaN of them, where nothing is between two "
    "pixels: in a picture of one pixel or of the size asked for, which minilite copies",
    when=lambda case: _is_copied(case) and not np.isfinite(case.inputs[0]).all(),
)


def _is_copied(case: Case) -> bool:
    picture = case.inputs[0].shape[1:3]
    size = case.graph.main.tensors[1].data
    assert size is not None
    return picture in ((1, 1), tuple(size.tolist()))


@strategy("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", variants=("float32", "uint8", "int8", "int16"))
@st.composite
def resizes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Up and down, in every mode; quantized pictures whose scales differ, which changes nothing."""
    kind = type_of(variant)
    shape = (
        draw(st.integers(0, 2)),
        draw(_SIZES),
        draw(_SIZES),
        draw(st.sampled_from([1, 2, 3, 16, 21, 33])),
    )
    modes = [(False, False), (True, False), (False, True)]
    if name == "RESIZE_NEAREST_NEIGHBOR":
        modes.append((True, True))
    align, half = draw(st.sampled_from(modes))
    op = ops.find(name)
    assert op is not None
    assert op.options is not None
    options: Any = op.options(align_corners=align, half_pixel_centers=half)
    size = constant(draw(st.tuples(_SIZES, _SIZES)), TensorType.INT32)
    graph = one_op(name, [draw(specs(shape, kind)), size], [draw(specs((), kind))], options, version=3)
    return draw(with_inputs(graph, special=None))
