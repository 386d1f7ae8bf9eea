"""Is a graph one that can be trusted? Every index in range, every tensor written once before it is read."""

from __future__ import annotations

from math import prod

from minilite.graph import Shape, TensorType

MAX_RANK = 32
"""NumPy 1's limit; no TFLite kernel goes beyond 8."""

_MAX_BYTES = 2**63 - 1


def shape_fault(shape: Shape, kind: TensorType) -> str | None:
    """What is wrong with these sizes, or None."""
    if any(size < 0 for size in shape):
        return "it has a negative size"
    if len(shape) > MAX_RANK:
        return f"it has {len(shape)} dimensions, at most {MAX_RANK} are possible"
    # Sizes of 0 do not excuse the others: NumPy and TFLite multiply in 64 bits whatever the order.
    if prod(max(size, 1) for size in shape) * kind.dtype.itemsize > _MAX_BYTES:
        return "its size in bytes overflows 64 bits"
    return None
