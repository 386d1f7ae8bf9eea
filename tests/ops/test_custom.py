"""Operators that users register, and models with operators that nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import minilite
from minilite import ops
from minilite.errors import InvokeError, PrepareError, UnsupportedOpError
from minilite.flexbuffer import encode
from minilite.graph import Array, Graph, Node, Shape
from minilite.loader import load_graph
from minilite.model import Model
from minilite.ops.custom import CustomOptions
from minilite.testing.models import one_op, tensor
from minilite.writer import write_graph
from tests.networks import Network, floats
from tests.ops.test_control import BACKENDS


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    ops.names()  # before the copy, so that all of minilite's own are in it
    from minilite.ops import base

    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))


def model(name: str, options: Any = None, backend: str = "auto", count: int = 1) -> Model:
    """A model of one custom operator: floats [3] to floats [3], ``count`` of them."""
    raw = options if isinstance(options, bytes) else encode(options or {})
    outputs = [tensor((3,))] * count
    graph = one_op(name, [tensor((3,))], outputs, custom_options=raw)
    return minilite.load(write_graph(graph), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_function_with_shapes(backend: str) -> None:
    @minilite.register_op("Scale", shapes=lambda inputs, options: [inputs[0]])
    def scale(inputs: list[Array], options: CustomOptions) -> Array:
        return np.asarray(inputs[0] * options.get("factor", 2.0))

    made = model("Scale", {"factor": 3.0}, backend)
    assert made(floats(1, 2, 3))[0].tolist() == [3, 6, 9]
    assert made(floats(1, 2, 3))[0].dtype == np.float32
    assert model("Scale", b"", backend)(floats(1, 2, 3))[0].tolist() == [2, 4, 6]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_function_without_shapes_has_those_it_returns(backend: str) -> None:
    @minilite.register_op("Positive")
    def positive(inputs: list[Array], options: CustomOptions) -> Array:
        return np.asarray(inputs[0][inputs[0] > 0])

    made = model("Positive", backend=backend)
    assert made(floats(1, -2, 3))[0].tolist() == [1, 3]
    assert made(floats(-1, -2, 3))[0].tolist() == [3]
    assert made(floats(-1, -2, -3))[0].shape == (0,)


def test_raw_options_stay_as_they_are() -> None:
    seen: list[bytes] = []

    @minilite.register_op("Raw", shapes=lambda inputs, options: [inputs[0]])
    def raw(inputs: list[Array], options: CustomOptions) -> Array:
        seen.append(options.raw)
        with pytest.raises(minilite.ModelFormatError):
            _ = options.values
        return inputs[0]

    model("Raw", b"\x01\x02\xff")(floats(1, 2, 3))
    assert seen == [b"\x01\x02\xff"]


def test_a_class_with_all_that_operators_can_do() -> None:
    @minilite.register_op("Twins")
    class Twins(ops.Op):
        """The input twice."""

        def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
            return (node.input(0).shape,) * 2

        def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
            assert inputs[0] is not None
            return inputs[0], inputs[0]

    assert [value.tolist() for value in model("Twins", count=2)(floats(1, 2, 3))] == [[1, 2, 3]] * 2


def test_a_wrong_number_of_outputs_and_a_fault_name_the_operator() -> None:
    @minilite.register_op("Odd", shapes=lambda inputs, options: [inputs[0], inputs[0]])
    def odd(inputs: list[Array], options: CustomOptions) -> Array:
        return inputs[0]

    @minilite.register_op("Faulty", shapes=lambda inputs, options: [inputs[0]])
    def faulty(inputs: list[Array], options: CustomOptions) -> Array:
        raise ZeroDivisionError("planted")

    with pytest.raises(InvokeError, match="op 0 Odd made 1 values for 2 outputs"):
        model("Odd", count=2)(floats(1, 2, 3))
    with pytest.raises(InvokeError, match=r"op 0 Faulty failed .* planted"):
        model("Faulty")(floats(1, 2, 3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kernel_that_returns_none_is_named(backend: str) -> None:
    @minilite.register_op("Forgot")
    def forgot(inputs: list[Array], options: CustomOptions) -> None:
        inputs[0] + 1

    with pytest.raises(InvokeError, match=r"op 0 Forgot.* returned None .* it returns an array"):
        model("Forgot", backend=backend)(floats(1, 2, 3))


@pytest.mark.parametrize("shapes", [lambda inputs, options: inputs[0], lambda inputs, options: None])
def test_shapes_that_are_none_are_refused_by_name(shapes: Any) -> None:
    @minilite.register_op("Flat", shapes=shapes)
    def flat(inputs: list[Array], options: CustomOptions) -> Array:
        return inputs[0]

    with pytest.raises(PrepareError, match=r"op 0 Flat: its shapes function gave .* for each output"):
        model("Flat")


def test_the_decorator_needs_a_name_and_something_to_call() -> None:
    with pytest.raises(TypeError, match=r"@register_op\('Name'\)"):
        minilite.register_op(lambda inputs, options: inputs[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"decorates a function or a class of Op, given 3"):
        minilite.register_op("Three")(3)


def test_a_partial_function_is_an_operator() -> None:
    def scale(factor: float, inputs: list[Array], options: CustomOptions) -> Array:
        return np.asarray(inputs[0] * factor)

    minilite.register_op("Thrice")(partial(scale, 3.0))
    assert model("Thrice")(floats(1, 2, 3))[0].tolist() == [3, 6, 9]


def test_a_cell_may_be_run_again_but_not_take_another_s_name() -> None:
    def define() -> None:
        @minilite.register_op("Again", shapes=lambda inputs, options: [inputs[0]])
        def again(inputs: list[Array], options: CustomOptions) -> Array:
            return inputs[0]

    define()
    define()

    with pytest.raises(ValueError, match="defined twice"):

        @minilite.register_op("RELU")
        def other(inputs: list[Array], options: CustomOptions) -> Array:
            return inputs[0]


def test_a_class_called_like_minilite_s_own_does_not_take_its_place() -> None:
    with pytest.raises(ValueError, match="defined twice"):

        @minilite.register_op("ADD")
        class Add(ops.Op):
            """Not minilite's."""

    added = ops.find("ADD")
    assert added is not None
    assert type(added).__module__.startswith("minilite.ops.")


# --- operators that nobody has --------------------------------------------------------------------


def partly_known() -> Graph:
    """``y = Unknown(x + 1) + (x + 1)``, of which ``x + 1`` (tensor 2) can be computed."""
    net = Network()
    x = net.input(3)
    one = net.constant(floats(1, 1, 1))
    known = net.add("ADD", x, one, shape=(3,))
    unknown = net.add("RELU", known, shape=(3,))
    main = net.subgraph(net.add("ADD", unknown, known, shape=(3,)))
    first, middle, last = main.operators
    middle = replace(middle, name="Unknown", options=None, is_custom=True)
    return load_graph(write_graph(Graph((replace(main, operators=(first, middle, last)),))))


def test_unknown_operators_are_named_with_the_ways_out() -> None:
    with pytest.raises(UnsupportedOpError, match="register_op") as caught:
        minilite.load(write_graph(partly_known()))
    message = str(caught.value)
    assert "op 1 Unknown: (FLOAT32 3) -> (FLOAT32 3)" in message
    assert "--allow-missing" in message


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_stands_before_the_first_unknown_one_runs(backend: str) -> None:
    made = minilite.load(write_graph(partly_known()), backend=backend, allow_missing=True)
    assert [tensor.index for tensor in made.outputs] == [2]
    assert made(floats(1, 2, 3))[0].tolist() == [2, 3, 4]


def test_a_model_that_misses_nothing_is_run_whole() -> None:
    graph = one_op("RELU", [tensor((3,))], [tensor((3,))])
    assert minilite.load(write_graph(graph), allow_missing=True)(floats(-1, 2, 3))[0].tolist() == [0, 2, 3]


def test_a_model_that_begins_with_an_unknown_operator_gives_its_inputs() -> None:
    graph = one_op("Unknown", [tensor((3,))], [tensor((3,))], custom_options=b"")
    made = minilite.load(write_graph(graph), allow_missing=True)
    assert made(floats(1, 2, 3))[0].tolist() == [1, 2, 3]
