"""A tensor's values in a few figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Tensor, TensorType
from minilite.notation import figure


@dataclass(frozen=True)
class Statistics:
    """Figures of one tensor's value, in the numbers it holds: of quantized tensors the codes.

    Attributes
    ----------
    count:
        Number of elements.
    min, max, mean:
        Over what is finite; None where nothing is, or where values are no real numbers. The mean is
        summed in float64.
    zeros, nan, infinite:
        How many elements are zero (of a quantized tensor: its zero point), NaN, infinite.
    saturated:
        Of a quantized tensor, the share of elements that are the lowest or the highest code of its type:
        a clamp, of the type's range or of a fused activation that ends there, has met them. None for others.
    unused_codes:
        Of a quantized tensor with at most 16 bits, how many codes of its type no element has. None for
        others.
    """

    count: int
    min: float | None
    max: float | None
    mean: float | None
    zeros: int
    nan: int
    infinite: int
    saturated: float | None = None
    unused_codes: int | None = None

    @classmethod
    def of(cls, value: Array, tensor: Tensor | None = None) -> Statistics:
        """The figures of a value; ``tensor`` tells its type and whether it is quantized."""
        return _statistics(value, tensor)

    def __str__(self) -> str:
        share = self.zeros / max(self.count, 1)
        words = [
            f"min {figure(self.min)} max {figure(self.max)} mean {figure(self.mean)}",
            f"{share:.1%} zero",
        ]
        words += [f"{self.nan} NaN"] if self.nan else []
        words += [f"{self.infinite} infinite"] if self.infinite else []
        words += [f"{self.saturated:.2%} saturated"] if self.saturated else []
        words += [f"{self.unused_codes} codes unused"] if self.unused_codes else []
        return ", ".join(words)


def _statistics(value: Array, tensor: Tensor | None) -> Statistics:
    if value.dtype.kind not in "biufc":
        return Statistics(value.size, None, None, None, zeros=0, nan=0, infinite=0)
    if value.dtype.kind == "c":
        return _of_complex(value)
    if tensor is not None and tensor.type is TensorType.BFLOAT16 and value.dtype == np.uint16:
        value = (value.astype(np.uint32) << 16).view(np.float32)
    if value.dtype.kind == "f":
        return _of_floats(value)
    if tensor is not None and tensor.quantization is not None and value.dtype.kind in "iu":
        return _of_codes(value, tensor)
    return _of_integers(value)


def _of_floats(value: Array) -> Statistics:
    nan = infinite = 0
    finite = value
    if value.size and not (np.isfinite(value.min()) and np.isfinite(value.max())):
        nan, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        finite = value[np.isfinite(value)]
    zeros = value.size - int(np.count_nonzero(value))
    return Statistics(value.size, *_range(finite), zeros=zeros, nan=nan, infinite=infinite)


def _of_complex(value: Array) -> Statistics:
    zeros, nan, infinite = (value == 0).sum(), np.isnan(value).sum(), np.isinf(value).sum()
    return Statistics(value.size, None, None, None, zeros=int(zeros), nan=int(nan), infinite=int(infinite))


def _of_integers(value: Array) -> Statistics:
    zeros = value.size - int(np.count_nonzero(value))
    return Statistics(value.size, *_range(value), zeros=zeros, nan=0, infinite=0)


def _of_codes(value: Array, tensor: Tensor) -> Statistics:
    assert tensor.quantization is not None
    low, high = code_limits(tensor)
    zero_point = 0 if tensor.quantization.per_channel else tensor.quantization.zero_point
    saturated = unused = None
    if high - low < 1 << 16:
        counts = np.bincount(value.reshape(-1).astype(np.int64) - low, minlength=high - low + 1)
        unused = int((counts == 0).sum())
        saturated = float(counts[0] + counts[-1]) / max(value.size, 1)
        zeros = int(counts[zero_point - low]) if low <= zero_point <= high else 0
    else:
        saturated = float(np.mean((value == low) | (value == high))) if value.size else 0.0
        zeros = int((value == zero_point).sum())
    figures = _range(value)
    return Statistics(
        value.size, *figures, zeros=zeros, nan=0, infinite=0, saturated=saturated, unused_codes=unused
    )


def code_limits(tensor: Tensor) -> tuple[int, int]:
    """The lowest and the highest code of a quantized tensor's type."""
    if tensor.type is TensorType.INT4:
        return -8, 7
    limits = np.iinfo(tensor.dtype)
    return int(limits.min), int(limits.max)


def _range(finite: Array) -> tuple[float | None, float | None, float | None]:
    if not finite.size:
        return None, None, None
    mean = float(finite.mean(dtype=np.float64))
    return finite.min().item(), finite.max().item(), mean
