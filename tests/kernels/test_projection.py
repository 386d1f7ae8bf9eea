"""Depthwise filter and projection in one kernel: the bits of the two kernels one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import depthwise, matmul, projection
from minilite_kernels.kernel import ScratchSpace
from minilite_kernels.window import Window

from tests.kernels.harness import call, windows

WIDTH = matmul.WIDTH


@settings(max_examples=40)
@given(
    w=windows(st.sampled_from([WIDTH, WIDTH + 3, 3 * WIDTH + 1]), dilation=3),
    batch=st.integers(1, 2),
    columns=st.sampled_from([1, WIDTH, WIDTH + 1, 2 * matmul.PANEL]),
    band=st.integers(1, 5),
    adds=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_bits_are_those_of_the_two(
    w: Window, batch: int, columns: int, band: int, adds: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, pixels = batch * w.out_h, batch * w.out_h * w.out_w
    x, filters, weights, bias, project_bias, addend = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in (
            (batch, w.in_h, w.in_w, w.in_c), (w.kernel_h, w.kernel_w, w.in_c), (columns, w.in_c),
            w.in_c, columns, (pixels, columns),
        )
    )  # fmt: skip
    filtered = call(
        depthwise.depthwise_float, pixels * w.in_c, np.float32, extent=rows,
        x=x, weights=filters, bias=bias, w=w, low=0.0, high=6.0,
    )  # fmt: skip
    packed: dict[str, Any] = {
        "weights": matmul.pack_panels(weights), "bias": matmul.pack_columns(project_bias),
    }  # fmt: skip
    sums: dict[str, Any] = {"addend": addend, "sum_low": 0.0, "sum_high": 3.0} if adds else {}
    place: dict[str, Any] = {} if adds else {"stride": columns, "offset": 0}
    apart = call(
        matmul.matmul_add_float if adds else matmul.matmul_float, pixels * columns, np.float32, extent=pixels,
        x=filtered, depth=w.in_c, columns=columns, low=-9.0, high=9.0, **packed, **sums, **place,
    )  # fmt: skip
    together = call(
        projection.depthwise_project_add_float if adds else projection.depthwise_project_float,
        pixels * columns, np.float32, extent=rows,
        x=x, weights=filters, bias=bias, w=w, low=0.0, high=6.0, columns=columns,
        project_weights=packed["weights"], project_bias=packed["bias"], project_low=-9.0, project_high=9.0,
        filtered=ScratchSpace(np.dtype(np.float32), band * w.out_w * w.in_c), **sums,
    )  # fmt: skip
    assert apart.tobytes() == together.tobytes()
