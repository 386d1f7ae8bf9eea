"""Cases of diagonals of matrices."""

from __future__ import annotations

from hypothesis import strategies as st

from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import MOVED, moved, moved_shapes, units_of, with_inputs
from minilite.testing.models import one_op


@strategy("MATRIX_DIAG", "MATRIX_SET_DIAG", variants=MOVED)
@st.composite
def diagonals(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Batches of matrices, wide, high or square."""
    kind, batch = draw(moved(variant)), draw(moved_shapes(max_rank=2))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    if name == "MATRIX_DIAG":
        inputs = [units_of(kind, (*batch, rows))]
    else:
        inputs = [units_of(kind, (*batch, rows, columns)), units_of(kind, (*batch, min(rows, columns)))]
    return draw(with_inputs(one_op(name, inputs, [kind]), special=None))


for _name in ("MATRIX_DIAG", "MATRIX_SET_DIAG"):
    known_fault(_name, "other", runtime="litert-ref", crashes=True,
                reason="writes 8 bytes for each element of BOOL, FLOAT16 and COMPLEX64")  # fmt: skip
