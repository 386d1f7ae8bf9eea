"""Filter and project in one go: a depthwise convolution whose result only a 1x1 convolution reads.

A few rows are filtered into a scratch that stays in the caches, and projected from there: the wide tensor
between the two (half of an inverted residual, or of a depthwise separable convolution) is never stored.
"""

from __future__ import annotations

from typing import Any

from minilite_kernels.depthwise import filter_rows
from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel
from minilite_kernels.matmul import multiply_low_panels
from minilite_kernels.window import Window


@helper
def filter_and_project(
    x: Any,
    weights: Any,
    bias: Any,
    project_weights: Any,
    project_bias: Any,
    addend: Any,
    out: Any,
    filtered: Any,
    w: Window,
    columns: int,
    limits: Any,
    project_limits: Any,
    start: int,
    stop: int,
) -> None:
    """What both kernels below do; ``addend`` and ``project_limits`` as for ``matmul.finish``."""
    low, high = limits
    band = max(len(filtered) // (w.out_w * w.in_c), 1)
    for first in range(start, stop, band):
        after = min(first + band, stop)
        pixel, pixels = first * w.out_w, (after - first) * w.out_w
        filter_rows(x, weights, bias, filtered, -pixel * w.in_c, w.in_c, w, low, high, first, after)
        multiply_low_panels(
            filtered,
            0,
            pixels,
            w.in_c,
            project_weights,
            project_bias,
            0,
            columns,
            out,
            pixel * columns,
            columns,
            addend,
            project_limits,
        )


@kernel
def depthwise_project_float(
    x: Input,
    weights: Input,
    bias: Input,
    project_weights: Input,
    project_bias: Input,
    out: Output,
    filtered: Scratch,
    w: Window,
    columns: int,
    low: float,
    high: float,
    project_low: float,
    project_high: float,
    start: int,
    stop: int,
) -> None:
    """1x1 CONV_2D on the result of a DEPTHWISE_CONV_2D of multiplier 1, float32, rows of [batch, out_h].

    Parameters
    ----------
    x, weights, bias:
        Of ``depthwise.depthwise_float``.
    project_weights, project_bias:
        From ``matmul.pack_panels`` and ``pack_columns``: ``columns`` columns.
    out:
        NHWC with ``columns`` channels.
    filtered:
        Rows [out_w, in_c] that are filtered, then projected, at a time: at least one.
    w:
        The depthwise window.
    low, high, project_low, project_high:
        Clamps of the filtered values and of the results.
    start, stop:
        Output rows.
    """
    limits, project_limits = (low, high), (project_low, project_high, project_low, project_high)
    filter_and_project(
        x,
        weights,
        bias,
        project_weights,
        project_bias,
        None,
        out,
        filtered,
        w,
        columns,
        limits,
        project_limits,
        start,
        stop,
    )


@kernel
def depthwise_project_add_float(
    x: Input,
    weights: Input,
    bias: Input,
    project_weights: Input,
    project_bias: Input,
    addend: Input,
    out: Output,
    filtered: Scratch,
    w: Window,
    columns: int,
    low: float,
    high: float,
    project_low: float,
    project_high: float,
    sum_low: float,
    sum_high: float,
    start: int,
    stop: int,
) -> None:
    """As ``depthwise_project_float``, plus ``addend``, laid out as ``out``; the sum is clamped, too."""
    limits, project_limits = (low, high), (project_low, project_high, sum_low, sum_high)
    filter_and_project(
        x,
        weights,
        bias,
        project_weights,
        project_bias,
        addend,
        out,
        filtered,
        w,
        columns,
        limits,
        project_limits,
        start,
        stop,
    )
