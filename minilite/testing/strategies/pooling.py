"""Cases of pools."""

from __future__ import annotations

from hypothesis import strategies as st

from minilite.graph import Padding
from minilite.ops.pooling import Pool2DOptions
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import specs, type_of, with_inputs
from minilite.testing.models import one_op, tensor


@strategy("AVERAGE_POOL_2D", "MAX_POOL_2D", variants=("float32", "uint8", "int8", "int16"))
@strategy("L2_POOL_2D", variants=("float32",))
@st.composite
def pools(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A window that overlaps every border, or is as large as the picture."""
    kind = type_of(variant)
    sizes = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    shape = (draw(st.integers(0, 3)), *sizes, draw(st.sampled_from([1, 2, 3, 8, 16, 17, 33])))
    x = draw(specs(shape, kind))
    y = tensor((), kind, scale=x.scale, zero_point=x.zero_point)
    graph = one_op(name, [x], [y], draw(pool_options(sizes)), version=1 if name == "L2_POOL_2D" else 2)
    # Sums stay finite: where they overflow, the order of additions decides what comes out.
    largest = None if name == "MAX_POOL_2D" else 1e18
    return draw(with_inputs(graph, special=None, largest=largest))


@st.composite
def pool_options(draw: st.DrawFn, sizes: tuple[int, int]) -> Pool2DOptions:
    """Windows for a picture of ``sizes`` that leave an output."""
    padding = draw(st.sampled_from(Padding))
    whole = draw(st.booleans()) and draw(st.booleans())
    most = sizes if padding is Padding.VALID else (14, 14)
    height, width = sizes if whole else draw(st.tuples(*(st.integers(1, min(m, 5)) for m in most)))
    return Pool2DOptions(
        padding,
        stride_w=draw(st.integers(1, 4)),
        stride_h=draw(st.integers(1, 4)),
        filter_width=width,
        filter_height=height,
        fused_activation_function=draw(st.sampled_from(sorted(FUSED_ACTIVATIONS))),
    )
