"""Borders around a tensor: PAD, PADV2, MIRROR_PAD."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from minilite.graph import Array, Node, Shape
from minilite.ops.base import Int8, operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_integers,
    check_numbers,
    check_same_quantization,
    check_same_type,
    integers,
)
from minilite.ops.moves import Move, Rearrangement, around, part, scalar
from minilite.quantization import real_zero


class MirrorPadMode(enum.IntEnum):
    """Whether a mirror repeats the edge (schema ``MirrorPadMode``)."""

    REFLECT = 0
    SYMMETRIC = 1


@dataclass(frozen=True)
class MirrorPadOptions:
    """Schema table ``MirrorPadOptions``."""

    mode: MirrorPadMode = MirrorPadMode.REFLECT


class _Padding(Rearrangement):
    """What all share: the second input, integers [rank, 2], how much goes before and behind each axis."""

    where = (1,)

    def check(self, node: Node) -> None:
        x = node.input(0)
        check_numbers(node, x)
        check_same_type(node, x, node.output)
        check_integers(node, node.input(1), (len(x.shape), 2), narrow=True)

    def paddings(self, node: Node, inputs: Sequence[Any]) -> list[tuple[int, int]]:
        """Elements before and behind, for each axis."""
        flat = integers(inputs[1])
        if any(amount < 0 for amount in flat):
            refuse(node, f"has the negative padding {min(flat)}", rule="padding", tensor=node.input(1))
        return list(zip(flat[::2], flat[1::2], strict=True))

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        paddings = self.paddings(node, inputs)
        shape = node.input(0).shape
        return (tuple(a + n + b for n, (a, b) in zip(shape, paddings, strict=True)),)


class _ConstantPadding(_Padding):
    """One value all around: the third input, or a real zero."""

    def check(self, node: Node) -> None:
        check_arity(node, (2, 3))
        super().check(node)
        value = node.optional_input(2)
        if value is None:
            return
        check_same_type(node, node.input(0), value)
        check_same_quantization(node, value, node.output)
        if value.size != 1:
            refuse(node, "must have one element", rule="padding-value", tensor=value)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        x, (out,) = inputs[0], outputs
        given = node.optional_input(2) is not None
        value = inputs[2].reshape(()) if given else scalar(node, real_zero(node.output))
        paddings = self.paddings(node, inputs)
        box = tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, paddings, strict=True))
        yield part(out, box), x
        for border in around(out, box):
            yield border, value


@operator("PAD")
class Pad(_ConstantPadding):
    """Zeros around a tensor, quantized ones the output's zero point (TFLite's ``kernels/pad.cc``).

    Paddings are bool or integers of 8 to 64 bits, [rank, 2].
    """

    int8 = Int8(same_scale=True)


@operator("PADV2")
class PadV2(_ConstantPadding):
    """The third input, of one element, around a tensor (TFLite's ``kernels/pad.cc``)."""

    int8 = Int8(same_scale=True)


@operator("MIRROR_PAD")
class MirrorPad(_Padding):
    """A tensor's own elements around it, as mirrors at its edges show them (``kernels/mirror_pad.cc``).

    REFLECT mirrors at the edge elements, SYMMETRIC behind them, so that they appear twice.
    """

    options = MirrorPadOptions
    int8 = Int8(same_scale=True)

    def check(self, node: Node) -> None:
        check_arity(node, (2, 2))
        super().check(node)
        check_same_quantization(node, node.input(0), node.output)

    def paddings(self, node: Node, inputs: Sequence[Any]) -> list[tuple[int, int]]:
        paddings, x = super().paddings(node, inputs), node.input(0)
        for axis, (n, amounts) in enumerate(zip(x.shape, paddings, strict=True)):
            shown = max(n - _edge(node), 0)
            if max(amounts) > shown:
                refuse(
                    node,
                    f"padding {max(amounts)} of axis {axis}, where a mirror shows only {shown} elements",
                    rule="mirror-padding",
                    tensor=x,
                )
        return paddings

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        x, (out,) = inputs[0], outputs
        paddings = self.paddings(node, inputs)
        parts = [_mirrors(n, *amounts, _edge(node)) for n, amounts in zip(x.shape, paddings, strict=True)]
        for choice in product(*parts):
            targets, sources = zip(*choice, strict=True) if choice else ((), ())
            yield part(out, targets), part(x, sources)


def _edge(node: Node) -> int:
    """Elements at an edge that its mirror does not show."""
    return 1 if node.options.mode is MirrorPadMode.REFLECT else 0


def _mirrors(n: int, before: int, behind: int, edge: int) -> list[tuple[slice, slice]]:
    """Along one axis: where the mirror before, the elements and the mirror behind go, and what they show."""
    parts = [(slice(before, before + n), slice(0, n))]
    if before:
        last = edge - 1
        parts.append((slice(0, before), slice(last + before, last if last >= 0 else None, -1)))
    if behind:
        first = n - 1 - edge
        last = first - behind
        parts.append((slice(before + n, None), slice(first, last if last >= 0 else None, -1)))
    return parts
