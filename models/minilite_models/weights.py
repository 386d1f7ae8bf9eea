"""Where a network's weights come from: drawn from a seed, or given by name.

A layer's arrays are called as TensorFlow's slim calls them: ``<layer>/weights`` (``depthwise_weights`` for a
depthwise convolution), ``<layer>/biases``, and ``<layer>/BatchNorm/gamma``, ``beta``, ``moving_mean``,
``moving_variance``. Filters have TFLite's layout: ``[out, height, width, in]``, depthwise
``[1, height, width, channels]``.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from minilite.errors import TensorValueError
from minilite.graph import Array, Shape

NORM = ("gamma", "beta", "moving_mean", "moving_variance")

EPSILON = 1e-3
"""What DeepLab's code adds to a variance before the root (PyTorch's default is 1e-5)."""

SPREAD_OF_BIASES = 0.1
"""Standard deviation of drawn biases, beside sums whose own is 1."""


@dataclass(frozen=True)
class Layer:
    """A convolution whose weights are wanted.

    Attributes
    ----------
    name:
        The scope of its variables, ``MobilenetV2/expanded_conv_3/project``.
    kind:
        ``"weights"`` or ``"depthwise_weights"``.
    shape:
        Of the filter.
    axis:
        The filter's axis that output channels run along.
    fan_in:
        Products in a sum.
    moment:
        What the square of an input value is about, on average.
    """

    name: str
    kind: str
    shape: Shape
    axis: int
    fan_in: int
    moment: float


class Weights(Protocol):
    """A source of weights."""

    def of(self, layer: Layer) -> tuple[Array, Array]:
        """The filter, float32 of the layer's shape, and the bias, float32 of its output channels."""

    def check_all_used(self) -> None:
        """Raise ``TensorValueError`` if something is left that no layer has asked for."""


@dataclass(frozen=True)
class Seeded:
    """Normal weights, such that each layer's sums have a variance of about 1: as batch norm leaves them.

    The variance is 1 / (fan-in x mean square of the inputs), He et al. 2015 ("Delving deep into rectifiers"),
    section 2.2, equation 10; behind a rectifier the mean square is half the variance. A layer's weights
    depend on the seed, its name and its shape, and on nothing else of the network.
    """

    seed: int = 0

    def of(self, layer: Layer) -> tuple[Array, Array]:
        """See ``Weights``."""
        rng = np.random.default_rng([self.seed, zlib.crc32(layer.name.encode())])
        spread = np.sqrt(1 / (layer.fan_in * layer.moment))
        weights = rng.standard_normal(layer.shape, np.float32) * np.float32(spread)
        biases = rng.standard_normal(layer.shape[layer.axis], np.float32) * np.float32(SPREAD_OF_BIASES)
        return weights, biases

    def check_all_used(self) -> None:
        """Nothing can be left."""


@dataclass(frozen=True)
class Given:
    """Arrays by variable name; batch normalisation is folded where a layer's is given.

    Parameters
    ----------
    arrays:
        By name (see the module), of any float type. ``biases`` may be missing: zeros.
    epsilon:
        What the batch normalisation was trained with.
    """

    arrays: Mapping[str, Array]
    epsilon: float = EPSILON
    _used: set[str] = field(default_factory=set, repr=False)

    def of(self, layer: Layer) -> tuple[Array, Array]:
        """See ``Weights``.

        Raises
        ------
        TensorValueError
            An array is missing, or has another shape than the layer.
        """
        channels = (layer.shape[layer.axis],)
        weights = self._array(layer, layer.kind, layer.shape)
        biases = np.zeros(channels, np.float64)
        if f"{layer.name}/biases" in self.arrays:
            biases = self._array(layer, "biases", channels)
        if any(f"{layer.name}/BatchNorm/{part}" in self.arrays for part in NORM):
            norm = [self._array(layer, f"BatchNorm/{part}", channels) for part in NORM]
            weights, biases = fold_batch_norm(weights, biases, *norm, epsilon=self.epsilon, axis=layer.axis)
        return weights.astype(np.float32), biases.astype(np.float32)

    def _array(self, layer: Layer, part: str, shape: Shape) -> Array:
        name = f"{layer.name}/{part}"
        if name not in self.arrays:
            raise TensorValueError(
                f"no array is given for {name}, which layer {layer.name} needs with the shape {shape}; "
                f"given: {_some(self.arrays)}",
                rule="weights",
            )
        array = np.asarray(self.arrays[name], np.float64)
        if array.shape != shape:
            raise TensorValueError(
                f"{name} is given with the shape {array.shape}, but its layer has {shape}: filters are laid "
                "out as [out, height, width, in], depthwise ones as [1, height, width, channels]",
                rule="weights",
            )
        self._used.add(name)
        return array

    def check_all_used(self) -> None:
        """See ``Weights``."""
        if left := [name for name in self.arrays if name not in self._used]:
            raise TensorValueError(
                f"{len(left)} of the arrays given belong to no layer of the network: {_some(left)}",
                rule="weights",
            )


def _some(names: Mapping[str, Array] | list[str]) -> str:
    first = sorted(names)[:8]
    return ", ".join(first) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def fold_batch_norm(
    weights: Array,
    biases: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    *,
    epsilon: float = EPSILON,
    axis: int = 0,
) -> tuple[Array, Array]:
    """The convolution that does what a convolution and the batch normalisation behind it do.

    ``gamma * (conv(x) + biases - mean) / sqrt(variance + epsilon) + beta``: Jacob et al. 2018 ("Quantization
    and training ..."), section 3.2, equation 14.

    Parameters
    ----------
    weights:
        The filter; output channels run along ``axis``.
    biases, gamma, beta, mean, variance:
        One for each output channel.

    Returns
    -------
    weights, biases:
        float64.
    """
    scale = np.asarray(gamma, np.float64) / np.sqrt(np.asarray(variance, np.float64) + epsilon)
    shape = [1] * weights.ndim
    shape[axis] = -1
    return weights * scale.reshape(shape), beta + (biases - mean) * scale
