"""How far two values of a tensor lie apart, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10
from typing import Any

import numpy as np

from minilite.graph import Array, Tensor, TensorType
from minilite.quantization import real_values

QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True)
class Spread:
    """Errors of a tensor's elements: the largest, their mean, and quantiles."""

    max: float = 0.0
    mean: float = 0.0
    median: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0

    @classmethod
    def of(cls, errors: Array) -> Spread:
        """The spread of errors, all of them at least 0; infinite ones count, and make the mean infinite."""
        if not errors.size or not errors.any():
            return cls()
        # Interpolation between an infinity and a number is NaN: quantiles are elements.
        quantiles = np.quantile(errors, QUANTILES, method="higher").tolist()
        return cls(float(errors.max()), float(errors.mean(dtype=np.float64)), *quantiles)


@dataclass(frozen=True)
class Difference:
    """One value beside the one it should be.

    Attributes
    ----------
    fault:
        Why there is nothing to measure (other shapes), or None.
    elements, unequal:
        How many there are, and how many of them differ. NaN is equal to NaN.
    absolute, relative:
        Errors in the tensor's own units, and as parts of the expected element; infinite where one side is not
        a number and the other is.
    ulps:
        Of floats: how many representable numbers lie between, in the narrower of the two types.
    steps:
        Of integers of one type: the difference of the codes.
    snr_db:
        Signal-to-noise ratio in decibels; None where nothing differs.
    worst:
        Index of the element with the largest absolute error.
    given, expected:
        The two values of that element.
    """

    fault: str | None = None
    elements: int = 0
    unequal: int = 0
    absolute: Spread = Spread()
    relative: Spread = Spread()
    ulps: Spread | None = None
    steps: Spread | None = None
    snr_db: float | None = None
    worst: tuple[int, ...] = ()
    given: Any = None
    expected: Any = None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.fault is None and not self.unequal


def difference(given: Array, expected: Array) -> Difference:
    """Measure how far ``given`` lies from ``expected``; types may differ, shapes may not."""
    if given.shape != expected.shape:
        return Difference(f"shape {given.shape} instead of {expected.shape}")
    if given.dtype.kind not in "biufc" or expected.dtype.kind not in "biufc":
        return _of_texts(given, expected)
    a, b = _comparable(given), _comparable(expected)
    unequal = (a != b) & ~((a != a) & (b != b))  # noqa: PLR0124 - NaN
    count = int(np.count_nonzero(unequal))
    if not count:
        zero = Spread()
        integers = _are_integers(given, expected)
        return Difference(
            elements=given.size,
            ulps=zero if _narrower(given, expected) is not None else None,
            steps=zero if integers else None,
        )
    errors = absolute_errors(a, b, unequal)
    worst = tuple(map(int, np.unravel_index(int(np.argmax(errors)), errors.shape)))
    narrow = _narrower(given, expected)
    return Difference(
        elements=given.size,
        unequal=count,
        absolute=Spread.of(errors),
        relative=Spread.of(_relative(errors, b)),
        ulps=None if narrow is None else Spread.of(ulps_between(given, expected, narrow)),
        steps=Spread.of(errors) if _are_integers(given, expected) else None,
        snr_db=signal_to_noise(b, a),
        worst=worst,
        given=given[worst].item(),
        expected=expected[worst].item(),
    )


def absolute_errors(a: Array, b: Array, unequal: Array) -> Array:
    """``|a - b|`` where they are unequal; infinite where it is not a number, 0 elsewhere."""
    with np.errstate(all="ignore"):
        if a.dtype.kind in "iu" and b.dtype.kind in "iu":
            # Wide integers that float64 takes for equal are still at least one apart.
            errors = np.maximum(abs(a.astype(np.float64) - b.astype(np.float64)), 1.0)
        else:
            errors = abs(a - b)
    return np.where(unequal, np.where(np.isnan(errors), np.inf, errors), 0.0)


def _of_texts(given: Array, expected: Array) -> Difference:
    unequal = np.array([x != y for x, y in zip(given.ravel(), expected.ravel(), strict=True)], bool)
    if not unequal.any():
        return Difference(elements=given.size)
    worst = tuple(map(int, np.unravel_index(int(np.argmax(unequal)), given.shape)))
    return Difference(
        elements=given.size,
        unequal=int(unequal.sum()),
        worst=worst,
        given=repr(given[worst]),
        expected=repr(expected[worst]),
    )


def _comparable(values: Array) -> Array:
    """Values wide enough to subtract: integers as they are, the rest in double precision."""
    if values.dtype.kind in "iu":
        return values
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def _relative(errors: Array, expected: Array) -> Array:
    magnitudes = np.abs(expected.astype(np.float64) if expected.dtype.kind in "iu" else expected)
    with np.errstate(all="ignore"):
        parts = errors / magnitudes
    return np.where(errors == 0, 0.0, np.where(np.isnan(parts), np.inf, parts))


def signal_to_noise(signal: Array, given: Array) -> float:
    """``10 log10(sum(signal**2) / sum((given - signal)**2))`` in decibels.

    Infinite without noise; minus infinity where there is noise but no signal, or what is not finite differs.
    """
    wide = np.complex128 if signal.dtype.kind == "c" else np.float64
    a, b = signal.astype(wide), given.astype(wide)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return -inf
    noise = float(np.sum(np.abs(b[finite] - a[finite]) ** 2))
    power = float(np.sum(np.abs(a[finite]) ** 2))
    if noise == 0:
        return inf
    return 10 * log10(power / noise) if power > 0 else -inf


def _are_integers(given: Array, expected: Array) -> bool:
    return given.dtype.kind in "iu" and given.dtype == expected.dtype


def _narrower(given: Array, expected: Array) -> np.dtype[Any] | None:
    if given.dtype.kind != "f" or expected.dtype.kind != "f":
        return None
    return min(given.dtype, expected.dtype, key=lambda dtype: dtype.itemsize)


def ulps_between(given: Array, expected: Array, dtype: np.dtype[Any]) -> Array:
    """How many steps from one number of a float type to the next lie between (float64, infinite for NaN)."""
    with np.errstate(all="ignore"):
        a, b = given.astype(dtype), expected.astype(dtype)
    nan = np.isnan(a) != np.isnan(b)
    both = np.isnan(a) & np.isnan(b)
    between = abs(_order(a) - _order(b)).astype(np.float64)
    return np.where(both, 0.0, np.where(nan, np.inf, between))


def _order(values: Array) -> Array:
    """Integers in the order of the floats, adjacent where those are: both zeros are 0."""
    size = values.dtype.itemsize
    bits = np.ascontiguousarray(values).view(f"i{size}")
    bits = bits.astype(np.longdouble if size == 8 else np.int64)  # differences do not fit int64
    lowest = -(2 ** (8 * size - 1))
    return np.where(bits < 0, lowest - bits, bits)


def real(values: Array, tensor: Tensor) -> Array:
    """What a tensor's numbers stand for: quantized ones dequantized, in float64; bfloat16 as float32."""
    if tensor.type is TensorType.BFLOAT16 and values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    quantized = tensor.quantization is not None and len(tensor.quantization.scales) > 0
    return real_values(values, tensor) if quantized and values.dtype.kind in "iu" else values


def labels(values: Array, tensor: Tensor) -> Array | None:
    """The classes that an output says, if it looks like scores or labels; else None.

    Scores have the classes on their last axis and something before it; labels are integers that are not
    quantized, or a picture of one channel of them.
    """
    if values.dtype.kind in "iu" and tensor.quantization is None:
        return values
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind not in "iuf" or not values.size:
        return None
    best: Array = np.argmax(values, -1)
    return best


def label_flips(given: Array, expected: Array, tensor: Tensor) -> tuple[int, int] | None:
    """How many labels differ, and how many there are; None for what has no labels."""
    if given.shape != expected.shape:
        return None
    ours, theirs = labels(given, tensor), labels(expected, tensor)
    if ours is None or theirs is None:
        return None
    return int(np.count_nonzero(ours != theirs)), ours.size
