"""Calling kernels between guards, and what their results are held against: plain NumPy, plain integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from minilite_kernels.kernel import Kernel, ScratchSpace
from minilite_kernels.window import Window

from minilite.graph import Padding
from minilite.shapes import padded_size

Array = npt.NDArray[Any]

GUARD = 64
"""Elements before and after each array: more than a vector of the widest machine."""


class Guarded:
    """A flat array between guards that no kernel may touch.

    Floats are guarded by NaN, so that a result that depends on them shows it.
    """

    def __init__(self, values: Array) -> None:
        values = np.asarray(values).ravel()
        self._whole = np.empty(values.size + 2 * GUARD, values.dtype)
        self._whole.view(np.uint8)[:] = 0xA5
        if values.dtype.kind == "f":
            self._whole[:] = np.nan
        self.array = self._whole[GUARD : GUARD + values.size]
        self.array[:] = values
        self._before = self._guards()

    def _guards(self) -> bytes:
        return self._whole[:GUARD].tobytes() + self._whole[-GUARD:].tobytes()

    def check(self) -> None:
        """Fail if a guard was written."""
        assert self._guards() == self._before, "a kernel wrote outside its array"


def call(
    kernel: Kernel,
    size: int,
    dtype: npt.DTypeLike,
    /,
    *,
    extent: int,
    pieces: int = 3,
    output: str = "out",
    **arguments: Any,
) -> Array:
    """The kernel's output [size], computed over ``range(extent)`` at once.

    Computed again in ``pieces``, the last first, over other memory: that has to give the same bits.
    Nothing outside the output and the scratch may change.
    """
    whole = _run(kernel, size, dtype, output, [(0, extent)], 0x5A, arguments)
    grain = max(1, -(-extent // pieces))
    parts = [(start, min(start + grain, extent)) for start in range(0, extent, grain)]
    split = _run(kernel, size, dtype, output, parts[::-1], 0xFF, arguments)
    assert whole.tobytes() == split.tobytes(), f"{kernel}: pieces {parts} differ from the whole"
    return whole


def _run(
    kernel: Kernel,
    size: int,
    dtype: npt.DTypeLike,
    output: str,
    parts: list[tuple[int, int]],
    fill: int,
    arguments: dict[str, Any],
) -> Array:
    guarded = {output: Guarded(np.full(size * np.dtype(dtype).itemsize, fill, np.uint8).view(dtype))}
    inputs = {}
    for name, value in arguments.items():
        if isinstance(value, ScratchSpace):
            guarded[name] = Guarded(np.full(value.nbytes, fill, np.uint8).view(value.dtype))
        elif isinstance(value, np.ndarray):
            guarded[name] = Guarded(value)
            inputs[name] = guarded[name].array.copy()
    arrays = {name: guard.array for name, guard in guarded.items()}
    for start, stop in parts:
        kernel(start, stop, **{**arguments, **arrays})
    for guard in guarded.values():
        guard.check()
    for name, before in inputs.items():
        assert arrays[name].tobytes() == before.tobytes(), f"{kernel} changed its input {name}"
    return arrays[output].copy()


def assert_near(actual: Array, exact: Array, terms: int, magnitude: float) -> None:
    """float32 sums of ``terms`` terms as large as ``magnitude``, against the same in float64."""
    bound = 4 * float(np.finfo(np.float32).eps) * max(terms, 1) * max(magnitude, 1e-30)
    np.testing.assert_allclose(actual, exact, rtol=0, atol=bound)


def largest(values: Array) -> float:
    return float(np.max(np.abs(values), initial=0))


# --- windows -------------------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn, channels: st.SearchStrategy[int], dilation: int = 2) -> Window:
    """Windows as TFLite's padding makes them: overlapping every border, wider than the image too."""
    axes = []
    for _ in range(2):
        taps, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        spread = draw(st.integers(1, dilation))
        padding = draw(st.sampled_from(Padding))
        least = (taps - 1) * spread + 1 if padding is Padding.VALID else 1
        size = least + draw(st.integers(0, 11))
        out, before = padded_size(padding, size, taps, stride, spread)
        axes.append((size, out, taps, stride, spread, before))
    (in_h, out_h, *rows, pad_top), (in_w, out_w, *columns, pad_left) = axes
    alternating = (n for pair in zip(rows, columns, strict=True) for n in pair)
    return Window(in_h, in_w, draw(channels), out_h, out_w, *alternating, pad_top, pad_left)  # type: ignore[call-arg]


def same_window(
    size: tuple[int, int], channels: int, taps: int, *, stride: int = 1, dilation: int = 1
) -> Window:
    """A square window with SAME padding over an image of ``size``."""
    (out_h, top), (out_w, left) = (padded_size(Padding.SAME, n, taps, stride, dilation) for n in size)
    return Window(
        *size, channels, out_h, out_w, taps, taps, stride, stride, dilation, dilation, top, left
    )  # fmt: skip


def patches(x: Array, w: Window) -> tuple[Array, Array]:
    """What each output pixel sees, [batch, out_h, out_w, kernel_h, kernel_w, channels], and where it looks.

    Outside the image the values are zero and the mask, [out_h, out_w, kernel_h, kernel_w, 1], is False.
    """
    y = np.arange(w.out_h)[:, None] * w.stride_h - w.pad_top + np.arange(w.kernel_h) * w.dilation_h
    x_ = np.arange(w.out_w)[:, None] * w.stride_w - w.pad_left + np.arange(w.kernel_w) * w.dilation_w
    inside = ((y >= 0) & (y < w.in_h))[:, None, :, None] & ((x_ >= 0) & (x_ < w.in_w))[None, :, None, :]
    rows, columns = y.clip(0, w.in_h - 1)[:, None, :, None], x_.clip(0, w.in_w - 1)[None, :, None, :]
    mask = inside[..., None]
    return np.where(mask, x[:, rows, columns], 0), mask


# --- TFLite's fixed point on Python's integers ----------------------------------------------------


def wrapped(value: int) -> int:
    """What is left of an integer in 32 bits."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def scaled(value: int, multiplier: int, shift: int) -> int:
    """``value * multiplier * 2**(shift - 31)`` with TFLite's double rounding."""
    product = wrapped(value << max(shift, 0)) * multiplier
    high = (2 * product + (1 << 31)) // (1 << 32)  # to nearest, ties up
    divisor = 1 << max(-shift, 0)
    away = (2 * abs(high) + divisor) // (2 * divisor)  # to nearest, ties away from zero
    return away if high >= 0 else -away


def all_scaled(values: Array, multipliers: Any, shifts: Any) -> Array:
    """``scaled`` of each element; the other two broadcast."""
    arguments = np.broadcast_arrays(values, multipliers, shifts)
    results = [scaled(int(v), int(m), int(s)) for v, m, s in zip(*(a.flat for a in arguments), strict=True)]
    return np.array(results, np.int64).reshape(arguments[0].shape)


multipliers = st.integers(1 << 30, (1 << 31) - 1)
"""Fixed-point multipliers as ``quantize_multiplier`` makes them."""
