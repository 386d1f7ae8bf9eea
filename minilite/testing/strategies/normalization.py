"""Cases of normalizations."""

from __future__ import annotations

from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.normalization import LocalResponseNormalizationOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import shapes, specs, type_of, with_inputs
from minilite.testing.models import one_op, tensor


@strategy("L2_NORMALIZATION", variants=("float32", "uint8", "int8"))
@st.composite
def l2_normalizations(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Rows of any length."""
    kind = type_of(variant)
    x = draw(specs(draw(shapes(1, 4, st.one_of(st.integers(1, 6), st.just(35)))), kind))
    y = tensor()
    if kind is not TensorType.FLOAT32:
        y = tensor((), kind, scale=1 / 128, zero_point=128 if kind is TensorType.UINT8 else 0)
    graph = one_op(name, [x], [y])
    return draw(with_inputs(graph, special=None, largest=1e15))


@strategy("LOCAL_RESPONSE_NORMALIZATION", variants=("float32",))
@st.composite
def local_response_normalizations(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Windows wider and narrower than the channels."""
    x = tensor(draw(shapes(4, 4, st.integers(1, 9))))
    options = LocalResponseNormalizationOptions(
        radius=draw(st.integers(0, 10)),
        bias=draw(st.sampled_from([1.0, 2.0, 0.5])),
        alpha=draw(st.sampled_from([1.0, 0.25, 2.0**-13])),
        beta=draw(st.sampled_from([0.5, 0.75, 1.0])),
    )
    return draw(with_inputs(one_op(name, [x], [tensor()], options), special=None, largest=1e15))


known_fault(
    "LOCAL_RESPONSE_NORMALIZATION",
    "float32",
    runtime="litert-ref",
    reason="leaves out the last of a channel's neighbours, and with a radius of 0 the channel itself "
    "(reference_ops.h); its default kernels agree",
)
