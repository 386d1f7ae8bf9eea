"""Weights of the networks that are built here: drawn, given, and batch normalisation folded into them."""

from __future__ import annotations

import numpy as np
import pytest
from minilite_models.network import RELU, Network
from minilite_models.weights import Given, Layer, Seeded, fold_batch_norm

from minilite.errors import TensorValueError
from minilite.graph import Array
from minilite.model import Model


def test_a_folded_normalisation_does_what_it_did_behind_the_convolution() -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((5, 4)), rng.standard_normal((3, 1, 1, 4))
    biases, gamma, beta, mean = rng.standard_normal((4, 3))
    variance = rng.uniform(0.1, 2, 3)
    sums = x @ weights[:, 0, 0].T + biases
    normalised = gamma * (sums - mean) / np.sqrt(variance + 1e-5) + beta
    folded, bias = fold_batch_norm(weights, biases, gamma, beta, mean, variance, epsilon=1e-5)
    np.testing.assert_allclose(x @ folded[:, 0, 0].T + bias, normalised, rtol=1e-12)


def test_folding_by_hand() -> None:
    """gamma / sqrt(3 + 1) = 1; 2 * 1 and (1 - 5) * 1 + 7."""
    two, one = np.full((1, 1, 1, 1), 2.0), np.ones(1)
    weights, biases = fold_batch_norm(
        two, one, gamma=2 * one, beta=7 * one, mean=5 * one, variance=3 * one, epsilon=1, axis=3
    )
    assert (weights.item(), biases.item()) == (2.0, 3.0)


def layer(**changes: object) -> Layer:
    fields = {"name": "a", "kind": "weights", "shape": (8, 3, 3, 16), "axis": 0, "fan_in": 144, "moment": 0.5}
    return Layer(**{**fields, **changes})  # type: ignore[arg-type]


def test_drawn_weights_depend_on_seed_and_name() -> None:
    first = Seeded(1).of(layer())
    for one, other in zip(first, Seeded(1).of(layer()), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], Seeded(2).of(layer())[0])
    assert not np.array_equal(first[0], Seeded(1).of(layer(name="b"))[0])


def test_drawn_weights_have_the_spread_that_keeps_variance() -> None:
    weights, biases = Seeded().of(layer(shape=(256, 3, 3, 16)))
    assert weights.std() == pytest.approx(np.sqrt(1 / (144 * 0.5)), rel=0.02)
    assert weights.dtype == biases.dtype == np.float32
    assert biases.shape == (256,)


def arrays() -> dict[str, Array]:
    return {
        "one/weights": np.ones((2, 1, 1, 3)),
        "one/BatchNorm/gamma": np.full(2, 4.0),
        "one/BatchNorm/beta": np.array([0.0, 1.0]),
        "one/BatchNorm/moving_mean": np.zeros(2),
        "one/BatchNorm/moving_variance": np.full(2, 3.0),
        "two/depthwise_weights": np.full((1, 1, 1, 2), 0.5),
        "two/biases": np.array([0.25, 0.0]),
    }


def small(given: dict[str, Array]) -> Model:
    net = Network(Given(given, epsilon=1.0))
    x = net.conv(net.input(1, 1), "one", 2, activation=RELU)
    return Model(net.graph(net.depthwise(x, "two", 1), "small"), backend="numpy")


def test_given_weights_are_what_the_network_computes_with() -> None:
    """4 / sqrt(3 + 1) = 2, so 2 * 3 and 2 * 3 + 1; half of them, and a bias."""
    with small(arrays()) as model:
        np.testing.assert_array_equal(model(np.ones((1, 1, 1, 3), np.float32))[0].ravel(), [3.25, 3.5])


@pytest.mark.parametrize("name", ["one/weights", "one/BatchNorm/gamma", "two/depthwise_weights"])
def test_a_missing_array_is_named_with_the_shape_it_should_have(name: str) -> None:
    given = arrays()
    shape = given.pop(name).shape
    with pytest.raises(TensorValueError) as caught:
        small(given)
    assert name in str(caught.value)
    assert str(shape) in str(caught.value)


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(TensorValueError, match=r"one/weights .* \(1, 1, 3, 2\).* \(2, 1, 1, 3\)"):
        small({**arrays(), "one/weights": np.ones((1, 1, 3, 2))})


def test_an_array_that_no_layer_has_is_refused() -> None:
    with pytest.raises(TensorValueError, match=r"three/weights"):
        small({**arrays(), "three/weights": np.ones(1)})
