"""Moving data: concatenation and copies."""

from __future__ import annotations

from minilite_kernels.kernel import Input, Output, kernel


@kernel
def copy_blocks(x: Input, out: Output, block: int, stride: int, offset: int, start: int, stop: int) -> None:
    """``out[i * stride + offset :][:block] = x[i * block :][:block]`` for ``i`` in ``start..stop``.

    One input of a concatenation: ``block`` elements of each of the outer positions.
    """
    for i in range(start, stop):
        source, target = i * block, i * stride + offset
        for j in range(block):
            out[target + j] = x[source + j]
