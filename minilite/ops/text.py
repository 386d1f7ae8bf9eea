"""SKIP_GRAM: groups of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Op, operator, refuse
from minilite.ops.checks import check_arity, check_types

_SPACES = b" \t\n\v\f\r"


@dataclass(frozen=True)
class SkipGramOptions:
    """Schema table ``SkipGramOptions``."""

    ngram_size: int = 0
    max_skip_size: int = 0
    include_all_ngrams: bool = False


@operator("SKIP_GRAM")
class SkipGram(Op):
    """Groups of ``ngram_size`` words of a sentence, in its order (TFLite's ``kernels/skip_gram.cc``).

    Input: strings, of which the first is the sentence. Between two words of a group up to
    ``max_skip_size`` may be left out; with ``include_all_ngrams`` there are smaller groups, too. Output:
    strings [groups], words with a space between them.
    """

    options = SkipGramOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, [(TensorType.STRING, TensorType.STRING)])
        if node.input(0).size < 1:
            refuse(node, "has no sentence", rule="empty", tensor=node.input(0))
        return (None,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (sentences,) = inputs
        assert sentences is not None
        words, options = split_words(bytes(sentences.ravel()[0])), node.options
        grams = [b" ".join(words[i] for i in places) for places in skip_grams(len(words), options)]
        found = np.empty(len(grams), object)
        found[:] = grams
        return (found,)


def split_words(sentence: bytes) -> list[bytes]:
    """The words of a sentence; TFLite loses the one after a space that the sentence begins with."""
    words, begin = [], 0
    for i in range(1, len(sentence)):
        if sentence[i] in _SPACES:
            if i > begin and sentence[begin] not in _SPACES:
                words.append(sentence[begin:i])
            begin = i + 1
    if len(sentence) > begin:
        words.append(sentence[begin:])
    return words


def skip_grams(words: int, options: SkipGramOptions) -> Iterator[list[int]]:
    """Positions of each group's words, as a depth-first search meets them: longer groups first."""
    size = options.ngram_size

    def grow(group: list[int]) -> Iterator[list[int]]:
        if len(group) < size:
            for i in range(group[-1] + 1, min(group[-1] + 2 + options.max_skip_size, words)):
                yield from grow([*group, i])
        if len(group) == size or options.include_all_ngrams:
            yield group

    for first in range(words if words >= size > 0 else 0):
        yield from grow([first])
