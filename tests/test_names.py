from __future__ import annotations

import pytest

from minilite.names import Names, input_names, output_names
from tests.small_models import chain_graph, signed_graph, tensor, two_entries_graph


def test_tensor_names_and_their_plain_forms() -> None:
    names = input_names(chain_graph())
    assert list(names) == ["serving_default_x:0"]
    for spelling in ("serving_default_x:0", "serving_default_x", "x:0", "x"):
        assert names.position(spelling) == 0


def test_the_signature_of_the_main_subgraph_names_its_arguments() -> None:
    assert list(input_names(signed_graph())) == ["image"]
    assert list(output_names(signed_graph())) == ["scores", "also_hidden"]
    assert list(input_names(two_entries_graph())) == ["x"]


def test_a_name_that_means_two_tensors_is_refused() -> None:
    names = Names((tensor(0, "x:0", 1), tensor(1, "serving_default_x", 1), tensor(2, "y", 1)), {})
    assert [names.position(name) for name in ("x:0", "serving_default_x", "y")] == [0, 1, 2]
    with pytest.raises(KeyError, match="'x' is the name of more than one tensor: use its position"):
        names.position("x")


def test_a_signature_name_goes_before_the_same_tensor_name() -> None:
    # Argument "b" is tensor "a" and the other way about: the signature is what users were told.
    names = Names((tensor(0, "a", 1), tensor(1, "b", 1)), {"b": 0, "a": 1})
    assert list(names) == ["b", "a"]
    assert (names.position("b"), names.position("a")) == (0, 1)


def test_one_tensor_may_have_two_argument_names() -> None:
    names = Names((tensor(7, "t", 1),), {"first": 7, "second": 7, "elsewhere": 3})
    assert list(names) == ["first"]
    assert names.position("first") == names.position("second") == names.position("t") == 0
    with pytest.raises(KeyError, match="'elsewhere' is none of 'first'"):
        names.position("elsewhere")
