"""Custom options that are a C struct of int32: what MediaPipe's converter writes."""

from __future__ import annotations

import struct

from minilite.graph import Node, Padding
from minilite.ops.base import refuse


def raw_integers(node: Node, count: int) -> tuple[int, ...]:
    """The first ``count`` integers of the node's custom options; refuse shorter ones."""
    raw = node.operator.custom_options
    if len(raw) < 4 * count:
        refuse(
            node,
            f"its custom options have {len(raw)} bytes, but must have {4 * count}: {count} int32",
            rule="custom-options",
        )
    return struct.unpack_from(f"<{count}i", raw)


def raw_padding(node: Node, number: int) -> Padding:
    """What C's ``TfLitePadding`` calls 1 (SAME) or 2 (VALID); refuse others."""
    if number not in (1, 2):
        refuse(node, f"padding is {number}, but must be 1 (SAME) or 2 (VALID)", rule="padding")
    return Padding.SAME if number == 1 else Padding.VALID


def raw_positive(node: Node, **numbers: int) -> None:
    """Refuse numbers that are zero or negative: strides, window sizes."""
    for name, number in numbers.items():
        if number < 1:
            refuse(node, f"{name} is {number}, but must be at least 1", rule=name.replace("_", "-"))
