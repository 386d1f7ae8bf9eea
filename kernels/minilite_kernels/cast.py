"""Numbers in another type."""

from __future__ import annotations

import numpy as np

from minilite_kernels.kernel import Input, Output, kernel


@kernel
def convert(x: Input, out: Output, start: int, stop: int) -> None:
    """CAST between types whose conversion C defines."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = x[i]


@kernel
def truncate(x: Input, out: Output, low: int, high: int, start: int, stop: int) -> None:
    """CAST from floats to integers in ``[low, high]``: what lies past them becomes an end, NaN ``high``."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        value = x[i]
        if not value < high:
            out[i] = high
        elif value <= low:
            out[i] = low
        else:
            out[i] = np.int64(value)
