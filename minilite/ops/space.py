"""Pixels moved between the picture, the batch and the channels.

SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND, SPACE_TO_DEPTH, DEPTH_TO_SPACE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minilite.graph import Array, Node, Shape
from minilite.ops.base import operator, refuse
from minilite.ops.checks import (
    check_arity,
    check_elements,
    check_integers,
    check_numbers,
    check_positive,
    check_rank,
    check_same_quantization,
    check_same_type,
    integers,
)
from minilite.ops.moves import Move, Rearrangement, around, scalar
from minilite.quantization import real_zero


@dataclass(frozen=True)
class SpaceToDepthOptions:
    """Schema table ``SpaceToDepthOptions``."""

    block_size: int = 0


@dataclass(frozen=True)
class DepthToSpaceOptions:
    """Schema table ``DepthToSpaceOptions``."""

    block_size: int = 0


class _Batches(Rearrangement):
    """What both directions share: a picture cut into blocks, with one image for each place in a block.

    The first input is [batch, *space, channels]; block sizes are int32 or int64 [space], and amounts
    before and behind each axis (padding of the larger picture, or crops of it) [space, 2].
    """

    where = (1, 2)

    def check(self, node: Node) -> None:
        check_arity(node, (3, 3))
        x = node.input(0)
        check_numbers(node, x)
        check_same_type(node, x, node.output)
        check_same_quantization(node, x, node.output)
        if len(x.shape) < 3:
            refuse(
                node,
                f"has rank {len(x.shape)}, but must have at least 3: batch, space, channels",
                rule="rank",
                tensor=x,
            )
        space = len(x.shape) - 2
        check_integers(node, node.input(1), (space,))
        check_integers(node, node.input(2), (space, 2))

    def blocks(self, node: Node, inputs: Sequence[Any]) -> tuple[int, ...]:
        """The size of a block along each axis of space."""
        blocks = integers(inputs[1])
        if any(size < 1 for size in blocks):
            refuse(node, f"{blocks} must be at least 1", rule="block-shape", tensor=node.input(1))
        return blocks

    def amounts(self, node: Node, inputs: Sequence[Any]) -> list[tuple[int, int]]:
        """Elements before and behind, for each axis of space."""
        flat = integers(inputs[2])
        if any(amount < 0 for amount in flat):
            refuse(node, f"has the negative amount {min(flat)}", rule="padding", tensor=node.input(2))
        return list(zip(flat[::2], flat[1::2], strict=True))

    def parts(
        self, node: Node, inputs: Sequence[Any], picture: Array, images: Array
    ) -> Iterator[tuple[Array, Array, tuple[slice, ...]]]:
        """For each place in a block: its pixels of the picture, the images they are, and the box there."""
        blocks, amounts = self.blocks(node, inputs), self.amounts(node, inputs)
        by_place = images.reshape(*blocks, images.shape[0] // prod(blocks), *images.shape[1:])
        for place in np.ndindex(*blocks):
            of_picture, of_images = [slice(None)], [slice(0, by_place.shape[len(blocks)])]
            for axis, (block, (before, _)) in enumerate(zip(blocks, amounts, strict=True), 1):
                first = -(-max(before - place[axis - 1], 0) // block)
                start = first * block + place[axis - 1] - before
                count = len(range(start, picture.shape[axis], block))
                of_picture.append(slice(start, None, block))
                of_images.append(slice(first, first + count))
            yield picture[tuple(of_picture)], by_place[place], tuple(of_images)


@operator("SPACE_TO_BATCH_ND")
class SpaceToBatchNd(_Batches):
    """A padded picture's pixels that are a block apart, as images of their own (``space_to_batch_nd.cc``).

    The padding is a real zero.
    """

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        blocks, x = self.blocks(node, inputs), node.input(0)
        batch, *space, channels = x.shape
        padded = [a + n + b for n, (a, b) in zip(space, self.amounts(node, inputs), strict=True)]
        if any(n % block for n, block in zip(padded, blocks, strict=True)):
            refuse(
                node,
                f"the padded picture {tuple(padded)} is no whole number of blocks {blocks}",
                rule="block-size",
                tensor=x,
            )
        cut = (n // block for n, block in zip(padded, blocks, strict=True))
        return ((batch * prod(blocks), *cut, channels),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        zero = scalar(node, real_zero(node.output))
        for pixels, images, box in self.parts(node, inputs, inputs[0], outputs[0]):
            yield images[box], pixels
            for border in around(images, box):
                yield border, zero


@operator("BATCH_TO_SPACE_ND")
class BatchToSpaceNd(_Batches):
    """Images put together again as the pixels of a picture, which is cropped (``batch_to_space_nd.cc``)."""

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        blocks, x = self.blocks(node, inputs), node.input(0)
        batch, *space, channels = x.shape
        if batch % prod(blocks):
            refuse(node, f"{batch} images are no whole number of blocks {blocks}", rule="block-size",
                   tensor=x)  # fmt: skip
        whole = [n * block for n, block in zip(space, blocks, strict=True)]
        left = tuple(n - a - b for n, (a, b) in zip(whole, self.amounts(node, inputs), strict=True))
        if any(n < 0 for n in left):
            refuse(node, f"crops leave {left} of {tuple(whole)}", rule="crops", tensor=node.input(2))
        return ((batch // prod(blocks), *left, channels),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        for pixels, images, box in self.parts(node, inputs, outputs[0], inputs[0]):
            yield pixels, images[box]


class _Depth(Rearrangement):
    """What both directions share: squares of ``block_size`` pixels, whose channels stand side by side."""

    def check(self, node: Node) -> None:
        check_arity(node, (1, 1))
        x = node.input(0)
        check_elements(node, x)
        check_same_type(node, x, node.output)
        check_rank(node, x, 4, "batch, height, width, channels")
        check_positive(node, "block_size")


@operator("SPACE_TO_DEPTH")
class SpaceToDepth(_Depth):
    """Squares of pixels as the channels of one (TFLite's ``kernels/space_to_depth.cc``)."""

    options = SpaceToDepthOptions

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        x, block = node.input(0), node.options.block_size
        batch, height, width, channels = x.shape
        if height % block or width % block:
            refuse(node, f"height and width must be multiples of block_size {block}", rule="block-size",
                   tensor=x)  # fmt: skip
        return ((batch, height // block, width // block, channels * block * block),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield _squares(outputs[0], node.options.block_size), _pixels(inputs[0], node.options.block_size)


@operator("DEPTH_TO_SPACE")
class DepthToSpace(_Depth):
    """Channels as squares of pixels, rows of a square first (TFLite's ``kernels/depth_to_space.cc``)."""

    options = DepthToSpaceOptions

    def sizes(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Shape, ...]:
        x, block = node.input(0), node.options.block_size
        batch, height, width, channels = x.shape
        if channels % (block * block):
            refuse(
                node,
                f"the number of channels must be a multiple of {block * block}, block_size squared",
                rule="block-size",
                tensor=x,
            )
        return ((batch, height * block, width * block, channels // (block * block)),)

    def moves(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Array]) -> Iterator[Move]:
        yield _pixels(outputs[0], node.options.block_size), _squares(inputs[0], node.options.block_size)


def _squares(deep: Array, block: int) -> Array:
    """[batch, height, width, channels * block²] as [batch, height, width, block, block, channels]."""
    return deep.reshape(*deep.shape[:3], block, block, deep.shape[3] // (block * block))


def _pixels(wide: Array, block: int) -> Array:
    """[batch, height * block, width * block, channels] in the order of ``_squares``."""
    batch, height, width, channels = wide.shape
    cut = wide.reshape(batch, height // block, block, width // block, block, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5)
