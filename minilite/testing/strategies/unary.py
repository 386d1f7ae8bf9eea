"""Cases of arithmetic on each element."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Shape, TensorType
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, shapes, specs, type_of, values, with_inputs
from minilite.testing.models import TensorSpec, one_op, tensor

SIZES = st.one_of(st.integers(1, 7), st.sampled_from([0, 1, 17, 40]))


def element_shapes(max_rank: int = 4) -> st.SearchStrategy[Shape]:
    """Any rank; sizes of 0, and some past the width of a vector."""
    return shapes(0, max_rank, SIZES).filter(lambda shape: np.prod(shape, dtype=np.int64) < 5000)


@strategy("ABS", variants=("float32", "int32", "int8", "int16"))
@strategy("NEG", variants=("float32", "int64", "int32", "int8", "int16"))
@strategy("SQUARE", "SIN", "COS", "FLOOR", "CEIL", "ROUND", variants=("float32",))
@strategy("EXP", "LOG", "SQRT", "RSQRT", variants=("float32", "int8", "int16"))
@strategy("SIGN", variants=("float32", "float64", "int32"))
@strategy("ZEROS_LIKE", variants=("float32", "int32", "int64"))
@strategy("CEIL", variants=("int32", "int8", "int16"))
@strategy("FLOOR", "CEIL", "NEG", variants=("float16", "bfloat16"))
@st.composite
def maps(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A tensor of any shape, its values from the whole of the type."""
    kind = type_of(variant)
    shape = draw(element_shapes(5))
    x, y = draw(specs(shape, kind)), draw(specs((), kind))
    if name == "EXP" and kind is TensorType.INT16 and draw(st.integers(0, 9)):
        # Not all of them past the largest float.
        x = draw(specs(shape, kind, low=1e-5, high=2e-3))
    if name in ("SQRT", "RSQRT") and kind is not TensorType.FLOAT32:
        return draw(_roots(name, shape, kind))
    if (name in ("NEG", "CEIL") or (name, variant) == ("ABS", "int16")) and draw(st.booleans()):
        # Without a scale they are numbers.
        x, y = tensor(shape, kind), tensor((), kind)
    graph = one_op(name, [x], [y])
    return draw(with_inputs(graph, special=None))


@st.composite
def _roots(draw: st.DrawFn, name: str, shape: Shape, kind: TensorType) -> Case:
    """Quantized values that are not negative."""
    low = int(np.iinfo(kind.dtype).min)
    x: TensorSpec = draw(specs(shape, kind, low=1e-2))
    y: TensorSpec = draw(specs((), kind, low=1e-2))
    rng = np.random.default_rng(draw(SEEDS))
    assert isinstance(x.zero_point, int)
    drawn = values(rng, shape, kind, zero_point=x.zero_point)
    assert x.zero_point >= low
    graph = one_op(name, [x], [y])
    return Case(graph, (np.maximum(drawn, np.array(x.zero_point, drawn.dtype)),))


def _overflows(case: Case) -> bool:
    """Whether some point of the table is no float32, in steps of the output."""
    x, y = (t.quantization for t in case.graph.main.tensors)
    assert x is not None
    assert y is not None
    return float(x.scale) * 32768 - float(np.log(y.scale)) > 88.0


known_fault(
    "EXP",
    "int16",
    runtime="litert-ref",
    reason="where the exponential overflows float32 its table holds what infinity less infinity becomes as "
    "an integer (LUTPopulateInt16 of internal/common.h)",
    when=_overflows,
)
for _name in ("CEIL", "ROUND"):
    known_fault(
        _name,
        "float32",
        runtime="litert-ref",
        reason="BUILTIN_REF does not have the operator",
        instead="litert-builtin",
    )
known_fault(
    "CEIL",
    *("float16", "bfloat16", "int32", "int16", "int8"),
    runtime="litert-ref",
    reason="BUILTIN_REF does not have the operator, and the kernel of LiteRT 2.3 only float32",
)
for _name in ("FLOOR", "NEG"):
    known_fault(
        _name,
        "bfloat16",
        runtime="litert-ref",
        reason="its Python interface has no arrays of bfloat16",
    )
