"""Transposed convolutions: where phases go, and blocks of any size against exact sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import matmul, quantized, transposed
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.transposed import Phase
from minilite_kernels.window import Window

from tests.kernels.harness import Array, assert_near, call, largest

INT32 = np.dtype(np.int32)


def single(height: int, width: int, channels: int) -> Window:
    """A convolution of one tap."""
    return Window(height, width, channels, height, width, 1, 1, 1, 1, 1, 1, 0, 0)


def arguments(x: Array, weights: Array, bias: Array, w: Window, phase: Phase) -> dict[str, Any]:
    """``weights`` [block_h, block_w * channels, depth], ``bias`` one a channel."""
    depth = weights.shape[2]
    pack = matmul.pack_panels if x.dtype.kind == "f" else quantized.pack_lanes
    columns = np.tile(bias, phase.block_h * phase.block_w)
    rows = len(x) * w.out_h
    return {
        "x": x,
        "weights": np.concatenate([pack(line) for line in weights]),
        "bias": matmul.in_groups(matmul.pack_columns, columns, phase.block_h),
        "patches": ScratchSpace(x.dtype, rows * w.out_w * quantized.pad_depth(depth, x.dtype)),
        "w": w,
        "phase": phase,
    }


def run_float(x: Array, weights: Array, bias: Array, w: Window, phase: Phase, out: Array) -> None:
    given_arguments = arguments(x, weights, bias, w, phase) | {"x": x.ravel()}
    transposed.transposed_float(
        0, len(x) * w.out_h, out=out, low=float(-np.inf), high=float(np.inf), **given_arguments
    )


def test_phases_lie_between_each_other() -> None:
    # Two pixels, stride 3: places 0 and 3 get the first tap, 1 and 4 the second, 2 and 5 nothing but bias.
    x = np.array([1, 2], np.float32).reshape(1, 1, 2, 1)
    out = np.full(6, np.nan, np.float32)
    bias = np.array([0.5], np.float32)
    for first, tap in enumerate([1, 10]):
        phase = Phase(1, 6, 1, 0, first, 1, 3, 1, 1)
        run_float(x, np.array([[[tap]]], np.float32), bias, single(1, 2, 1), phase, out)
    assert np.isnan(out).tolist() == [False, False, True] * 2
    nothing = single(1, 2, 1)._replace(kernel_w=0)
    run_float(x, np.zeros((1, 1, 0), np.float32), bias, nothing, Phase(1, 6, 1, 0, 2, 1, 3, 1, 1), out)
    assert out.tolist() == [1.5, 10.5, 0.5, 2.5, 20.5, 0.5]


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 17), st.integers(1, 9)),
    block=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.sampled_from([1, 2, 5, 17]),
    dtype=st.sampled_from([np.float32, np.uint8, np.int8, np.int16]),
    seed=st.integers(0, 99),
)
def test_any_block(
    shape: tuple[int, int, int, int], block: tuple[int, int], channels: int, dtype: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    batch, height, width, depth = shape
    phase = Phase(block[0] * height, block[1] * width, channels, 0, 0, *block, *block)
    w = single(height, width, depth)
    real = dtype is np.float32
    x = rng.standard_normal(shape) if real else rng.integers(0, 100, shape)
    weights = rng.integers(-100, 100, (block[0], block[1] * channels, depth))
    bias = rng.integers(-99, 99, channels)
    x = x.astype(dtype)
    exact = np.einsum("bhwd,rcd->bhrwc", x.astype(np.float64), weights).reshape(-1, channels) + bias
    rows, size = batch * height, batch * height * width * block[0] * block[1] * channels
    if real:
        given_arguments = arguments(x, weights.astype(dtype), bias.astype(dtype), w, phase)
        out = call(
            transposed.transposed_float, size, dtype, extent=rows,
            low=float(-np.inf), high=float(np.inf), **given_arguments,
        )  # fmt: skip
        assert_near(out, exact.ravel(), depth, 100 * largest(x) + 100)
        return
    # One thousandth of the sums, about: a multiplier of 1/2 and 9 bits to the right, as exact integers.
    info, flip = np.iinfo(dtype), -128 if dtype is np.int8 else 0
    totals = weights.reshape(-1, depth).sum(1)
    packed = weights.astype(np.int16 if dtype is np.int16 else np.int8)
    given_arguments = arguments(x, packed, bias.astype(np.int32), w, phase)
    moved = np.tile(bias, block[0] * block[1]) + flip * totals
    given_arguments["bias"] = matmul.in_groups(matmul.pack_columns, moved.astype(np.int32), block[0])
    tables = {"multipliers": 1 << 30, "lefts": 0, "rights": 9}
    for name, value in tables.items():
        given_arguments[name] = np.full(len(given_arguments["bias"]), value, np.int32)
    out = call(
        transposed.transposed_quantized,
        size,
        dtype,
        extent=rows,
        sums=ScratchSpace(INT32, rows * width),
        levels=quantized.Levels(0, flip, 0, 3, int(info.min), int(info.max)),
        **given_arguments,
    )
    halved = np.floor(exact / 2 + 0.5)
    rounded = np.sign(halved) * np.floor(np.abs(halved) / 512 + 0.5)
    np.testing.assert_array_equal(out, np.clip(rounded + 3, info.min, info.max).ravel())
