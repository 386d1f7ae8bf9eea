"""bfloat16 on NumPy, which does not have it: held as its 16 bits, the upper half of a float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minilite.graph import Array


def float32_from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The numbers that these bits are, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def bfloat16_from_float32(values: Array) -> npt.NDArray[np.uint16]:
    """Rounded to nearest, ties to even; every NaN becomes the quiet one with its sign."""
    values = np.ascontiguousarray(values, np.float32).reshape(values.shape)
    bits = values.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    nan = 0x7FC0 | ((bits >> 16) & 0x8000)
    return np.where(np.isnan(values), nan, rounded).astype(np.uint16)
