from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import TensorType
from minilite.ops.text import SkipGramOptions, split_words
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.models import one_op, tensor
from tests.oracle import run


def grams(sentence: bytes, size: int, skip: int, *, every: bool = False) -> list[bytes]:
    string = tensor((1,), TensorType.STRING)
    graph = one_op(
        "SKIP_GRAM", [string], [tensor((0,), TensorType.STRING)], SkipGramOptions(size, skip, every)
    )
    (found,) = run(ReferenceExecutor(prepare(graph)), [np.array([sentence], object)])
    words: list[bytes] = found.tolist()
    return words


def test_neighbours_and_those_with_a_word_between() -> None:
    assert grams(b"one two three", 2, 0) == [b"one two", b"two three"]
    assert grams(b"one two three", 2, 1) == [b"one two", b"one three", b"two three"]
    assert grams(b"a b", 2, 0, every=True) == [b"a b", b"a", b"b"]


def test_fewer_words_than_a_group_has() -> None:
    assert grams(b"one", 2, 0, every=True) == []


def test_words() -> None:
    assert split_words(b"one  two\tthree ") == [b"one", b"two", b"three"]
    assert split_words(b" lost kept") == [b"kept"]  # as TFLite


def test_refuses_no_sentence() -> None:
    empty = tensor((0,), TensorType.STRING)
    with pytest.raises(PrepareError, match="no sentence"):
        prepare(one_op("SKIP_GRAM", [empty], [tensor((0,), TensorType.STRING)], SkipGramOptions(1)))
