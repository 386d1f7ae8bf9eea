"""Random numbers: RANDOM_UNIFORM, RANDOM_STANDARD_NORMAL, MULTINOMIAL.

The generator is Philox 4x32-10, as in TFLite's ``kernels/random_ops.cc``: with the same seeds come the
same numbers. They go on from run to run, as long as a model keeps its resources. Two seeds of 0 stand
for none: then each model draws seeds of its own, and no two runs are the same. Of a seed TFLite keeps
the lower 32 bits.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Op, Runtime, Tolerance, operator, refuse, ulps
from minilite.ops.checks import check_arity, check_rank, check_types, constant_integers

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class RandomOptions:
    """Schema table ``RandomOptions``."""

    seed: int = 0
    seed2: int = 0


class Philox:
    """A stream of blocks of four 32-bit words, each computed from its number and two seeds alone."""

    MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
    KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
    ROUNDS = 10

    def __init__(self, seed: int, seed2: int) -> None:
        seed, seed2 = _signed_32_bits(seed), _signed_32_bits(seed2)
        if seed == seed2 == 0:
            seed, seed2 = secrets.randbits(64), secrets.randbits(64)
        self._key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
        # A counter of 128 bits whose upper half begins as the second seed.
        self._next = (seed2 & 0xFFFFFFFFFFFFFFFF) << 64

    def skip(self, blocks: int) -> None:
        """Leave blocks out."""
        self._next = (self._next + blocks) % (1 << 128)

    def blocks(self, count: int) -> Words:
        """The next blocks [count, 4]."""
        low = np.uint64(self._next & 0xFFFFFFFFFFFFFFFF) + np.arange(count, dtype=np.uint64)
        carried = low < low[:1]
        high = self._next >> 64
        upper = np.where(carried, np.uint64((high + 1) & 0xFFFFFFFFFFFFFFFF), np.uint64(high))
        self.skip(count)
        word = np.uint64(0xFFFFFFFF)
        c0, c1, c2, c3 = low & word, low >> np.uint64(32), upper & word, upper >> np.uint64(32)
        for turn in range(self.ROUNDS):
            key0, key1 = (
                np.uint64((key + turn * step) & 0xFFFFFFFF)
                for key, step in zip(self._key, self.KEY_STEPS, strict=True)
            )
            first, second = self.MULTIPLIERS[0] * c0, self.MULTIPLIERS[1] * c2
            c0, c1, c2, c3 = (
                (second >> np.uint64(32)) ^ c1 ^ key0,
                second & word,
                (first >> np.uint64(32)) ^ c3 ^ key1,
                first & word,
            )
        return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def _signed_32_bits(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def uniform_float32(words: Words) -> Array:
    """[0, 1) from the lower 23 bits."""
    ones = (words & np.uint32(0x7FFFFF)) | np.uint32(127 << 23)
    return ones.view(np.float32) - np.float32(1)


def uniform_float64(words: Words) -> Array:
    """[0, 1) from 52 bits of each pair [..., 2]."""
    upper = words[..., 0].astype(np.uint64) & np.uint64(0xFFFFF)
    ones = (upper << np.uint64(32)) | words[..., 1] | np.uint64(1023 << 52)
    return ones.view(np.float64) - 1.0


def normal_float32(words: Words) -> Array:
    """Two normal numbers of each pair [..., 2], by Box and Muller."""
    radius = np.maximum(uniform_float32(words[..., 0]), np.float32(1e-7))
    radius = np.sqrt(np.float32(-2) * np.log(radius))
    angle = (2.0 * np.pi * uniform_float32(words[..., 1]).astype(np.float64)).astype(np.float32)
    return np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=-1)


class _Random(Op):
    """What they share: a generator for each node, kept among the model's resources."""

    options = RandomOptions
    pure = False

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        return self._draw(node, inputs, Philox(node.options.seed, node.options.seed2))

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        key = ("random numbers", node.subgraph.index, node.operator.index)
        if key not in runtime.resources:
            runtime.resources[key] = Philox(node.options.seed, node.options.seed2)
        return self._draw(node, inputs, runtime.resources[key])

    def _draw(self, node: Node, inputs: Sequence[Array | None], generator: Philox) -> tuple[Array, ...]:
        raise NotImplementedError


class _Filled(_Random):
    """float32 numbers of a shape, int32 [rank]."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((TensorType.INT32, TensorType.FLOAT32),))
        check_rank(node, node.input(0), 1, "sizes")
        shape = constant_integers(node.input(0))
        return (None if shape is None else self._checked(node, shape),)

    def _checked(self, node: Node, shape: Shape) -> Shape:
        if min(shape, default=0) < 0:
            refuse(node, f"the shape {shape} has a negative size", rule="random-shape", tensor=node.input(0))
        return shape

    def _draw(self, node: Node, inputs: Sequence[Array | None], generator: Philox) -> tuple[Array, ...]:
        (sizes,) = inputs
        assert sizes is not None
        shape = self._checked(node, tuple(int(size) for size in sizes))
        count = int(np.prod(shape, dtype=np.int64))
        # What is left of the last block is lost.
        return (self._numbers(generator.blocks(-(-count // 4)))[:count].reshape(shape),)

    def _numbers(self, blocks: Words) -> Array:
        raise NotImplementedError


@operator("RANDOM_UNIFORM")
class RandomUniform(_Filled):
    """Numbers in [0, 1), all as likely."""

    def _numbers(self, blocks: Words) -> Array:
        return uniform_float32(blocks).ravel()

    def tolerance(self, node: Node) -> Tolerance:
        return EXACT


@operator("RANDOM_STANDARD_NORMAL")
class RandomStandardNormal(_Filled):
    """Numbers around 0 with a standard deviation of 1."""

    def _numbers(self, blocks: Words) -> Array:
        return normal_float32(blocks.reshape(-1, 2)).ravel()

    def tolerance(self, node: Node) -> Tolerance:
        # A logarithm, a square root, a sine and a product.
        return ulps(8)


@operator("MULTINOMIAL")
class Multinomial(_Random):
    """Classes drawn by their unnormalized log-probabilities.

    Inputs: logits, float32 [batch, classes], and the number of samples, int32 scalar. The output is
    [batch, samples], int64 or int32. Infinite and NaN logits are never drawn.
    """

    SKIPPED = 2 * 256
    """Blocks left out for each four samples of a run, so that runs never share any."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        indices = (TensorType.INT64, TensorType.INT32)
        check_types(node, tuple((TensorType.FLOAT32, TensorType.INT32, i) for i in indices))
        logits = node.input(0)
        check_rank(node, logits, 2, "batch, classes")
        check_rank(node, node.input(1), 0, "none")
        if logits.shape[1] < 1:
            refuse(node, "must have at least one class", rule="classes", tensor=logits)
        samples = constant_integers(node.input(1))
        return (None if samples is None else (logits.shape[0], self._checked(node, samples[0])),)

    def _checked(self, node: Node, samples: int) -> int:
        if samples < 0:
            refuse(node, f"is {samples}, but must be at least 0", rule="samples", tensor=node.input(1))
        return samples

    def _draw(self, node: Node, inputs: Sequence[Array | None], generator: Philox) -> tuple[Array, ...]:
        logits, number = inputs
        assert logits is not None
        assert number is not None
        batch, samples = len(logits), self._checked(node, int(number))
        used = -(-batch * samples * 2 // 4)
        words = generator.blocks(used)
        generator.skip(batch * -(-samples // 4) * 4 * self.SKIPPED - used)
        finite = np.isfinite(logits)
        largest = np.max(logits, axis=1, where=finite, initial=np.finfo(np.float32).min, keepdims=True)
        shares = np.exp(np.where(finite, logits, 0).astype(np.float64) - largest.astype(np.float64))
        sums = np.cumsum(np.where(finite, shares, 0), axis=1)
        wanted = uniform_float64(words.reshape(-1, 2)[: batch * samples]).reshape(batch, samples)
        drawn: list[Any] = [
            np.searchsorted(row, at * row[-1], side="right") for row, at in zip(sums, wanted, strict=True)
        ]
        return (np.array(drawn, node.output.dtype).reshape(batch, samples),)
