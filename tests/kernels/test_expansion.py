"""Expansion and depthwise filter in one kernel: the bits of the two kernels one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import depthwise, expansion, matmul
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.window import Window

from tests.kernels.harness import Array, call, windows

PANEL, WIDTH = matmul.PANEL, matmul.WIDTH


def one_after_the_other(
    x: Array, expand: Array, filters: Array, biases: tuple[Array, Array], w: Window
) -> Array:
    """``expand`` [channels, depth], clamped to 0 ... 2; ``filters`` [kernel_h, kernel_w, channels]."""
    pixels, depth = x.size // x.shape[-1], x.shape[-1]
    expanded = call(
        matmul.matmul_float, pixels * w.in_c, np.float32, extent=pixels,
        x=x, weights=matmul.pack_panels(expand), bias=matmul.pack_columns(biases[0]),
        depth=depth, columns=w.in_c, stride=w.in_c, offset=0, low=0.0, high=2.0,
    )  # fmt: skip
    rows = len(x) * w.out_h
    return call(
        depthwise.depthwise_float, rows * w.out_w * w.in_c, np.float32, extent=rows,
        x=expanded, weights=filters, bias=biases[1], w=w, low=-9.0, high=9.0,
    )  # fmt: skip


def at_once(
    x: Array, expand: Array, filters: Array, biases: tuple[Array, Array], w: Window, band: int, block: int
) -> Array:
    seen = min(w.in_h, (band - 1) * w.stride_h + (w.kernel_h - 1) * w.dilation_h + 1)
    bands, blocks = -(-w.out_h // band), -(-w.in_c // block)
    return call(
        expansion.expand_depthwise_float, len(x) * w.out_h * w.out_w * w.in_c, np.float32,
        extent=len(x) * bands * blocks,
        x=x, expand_weights=matmul.pack_panels(expand), expand_bias=matmul.pack_columns(biases[0]),
        weights=expansion.pack_filters(filters, block), bias=biases[1],
        expanded=ScratchSpace(np.dtype(np.float32), seen * w.in_w * block),
        w=w, depth=x.shape[-1], band=band, block=block,
        expand_low=0.0, expand_high=2.0, low=-9.0, high=9.0,
    )  # fmt: skip


@settings(max_examples=40)
@given(
    w=windows(st.sampled_from([WIDTH, WIDTH + 3, 3 * WIDTH, 3 * WIDTH + 1, 5 * WIDTH]), dilation=3),
    batch=st.integers(1, 2),
    depth=st.integers(1, 140),
    band=st.integers(1, 12),
    panels=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_the_bits_are_those_of_the_two(
    w: Window, batch: int, depth: int, band: int, panels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, expand, filters, *biases = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in (
            (batch, w.in_h, w.in_w, depth), (w.in_c, depth), (w.kernel_h, w.kernel_w, w.in_c),
            w.in_c, w.in_c,
        )
    )  # fmt: skip
    both = (biases[0], biases[1])
    apart = one_after_the_other(x, expand, filters, both, w)
    together = at_once(x, expand, filters, both, w, min(band, w.out_h), panels * PANEL)
    assert apart.tobytes() == together.tobytes()


def test_filters_are_packed_block_by_block() -> None:
    filters = np.arange(2 * 5, dtype=np.float32).reshape(1, 2, 5)
    assert expansion.pack_filters(filters, 3).tolist() == [0, 1, 2, 5, 6, 7, 3, 4, 8, 9]
