"""Each operation on tiles against plain NumPy.

Run compiled this holds the LLVM bodies, and under ``NUMBA_DISABLE_JIT=1`` the NumPy bodies, to the
same statement.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import simd, vector
from minilite_kernels import simd_integer as integer
from minilite_kernels.kernel import Input, Kernel, Output, Scratch, ScratchSpace, kernel

from tests.kernels.harness import Array, assert_near, call, largest, scaled

ROWS, VECTORS, WIDTH = 3, 2, vector.WIDTH
COLUMNS = VECTORS * WIDTH
LASTS = [0, 1, ROWS - 1]


@kernel
def load_store(
    x: Input, out: Output, offset: int, stride: int, last: int, columns: int, start: int, stop: int
) -> None:
    tile = simd.broadcast_row(x, offset, ROWS, VECTORS)
    simd.store(tile, out, start, stride, last, columns)


@kernel
def store_whole(x: Input, out: Output, stride: int, last: int, start: int, stop: int) -> None:
    simd.store(simd.broadcast_row(x, start, ROWS, VECTORS), out, start, stride, last, COLUMNS)


@kernel
def outer(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    offset: int,
    stride: int,
    last: int,
    panel: int,
    start: int,
    stop: int,
) -> None:
    tile = simd.broadcast_row(bias, 0, ROWS, VECTORS)
    tile = simd.outer_multiply_add(tile, x, offset, stride, last, weights, panel)
    simd.store(tile, out, 0, COLUMNS, last, COLUMNS)


@kernel
def pairwise(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    offset: int,
    stride: int,
    panel: int,
    start: int,
    stop: int,
) -> None:
    tile = simd.broadcast_row(bias, 0, ROWS, VECTORS)
    tile = simd.pairwise_multiply_add(tile, x, offset, stride, weights, panel)
    simd.store(tile, out, 0, COLUMNS, ROWS, COLUMNS)


@kernel
def correlated(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    offset: int,
    distance: int,
    line: int,
    stride: int,
    first_line: int,
    last_line: int,
    first: int,
    last: int,
    start: int,
    stop: int,
) -> None:
    tile = simd.broadcast_row(bias, 0, ROWS, 1)
    taps = simd.load_rows(weights, 4, WIDTH + 3, 9)
    positions = (ROWS - 1) * stride + 3
    inside = first_line == 0 and last_line == 3 and first == 0 and last == positions
    valid = (first_line, last_line, first, last)
    if stride == 1:
        if inside:
            tile = simd.correlate(tile, x, offset, distance, line, taps, 3, 1)
        else:
            tile = simd.correlate_border(tile, x, offset, distance, line, taps, 3, 1, valid)
    elif inside:
        tile = simd.correlate(tile, x, offset, distance, line, taps, 3, 2)
    else:
        tile = simd.correlate_border(tile, x, offset, distance, line, taps, 3, 2, valid)
    simd.store(tile, out, 0, WIDTH, ROWS, WIDTH)


@kernel
def scaled_columns(x: Input, table: Input, out: Output, column: int, start: int, stop: int) -> None:
    tile = simd.scale_columns(simd.broadcast_row(x, 0, ROWS, VECTORS), table, column)
    simd.store(simd.add_columns(tile, table, column), out, 0, COLUMNS, ROWS, COLUMNS)


@kernel
def floated(x: Input, out: Output, start: int, stop: int) -> None:
    tile = integer.to_float(simd.broadcast_row(x, 0, ROWS, VECTORS))
    simd.store(tile, out, 0, COLUMNS, ROWS, COLUMNS)


@kernel
def copied(x: Input, out: Output, offset: int, start: int, stop: int) -> None:
    simd.copy_vector(x, offset, out, start)


@kernel
def cleared(x: Input, out: Output, start: int, stop: int) -> None:
    tile = simd.broadcast_row(x, 0, ROWS, VECTORS)
    simd.store(simd.zeros_like(tile), out, 0, COLUMNS, ROWS, COLUMNS)


@kernel
def limited(x: Input, out: Output, low: float, high: float, start: int, stop: int) -> None:
    tile = simd.clamp(simd.broadcast_row(x, 0, 1, VECTORS), np.float32(low), np.float32(high))
    simd.store(tile, out, 0, 0, 0, COLUMNS)


@kernel
def limited_integers(x: Input, out: Output, low: int, high: int, start: int, stop: int) -> None:
    tile = simd.clamp(simd.broadcast_row(x, 0, 1, VECTORS), np.int32(low), np.int32(high))
    simd.store(tile, out, 0, 0, 0, COLUMNS)


@kernel
def larger_of(x: Input, other: Input, out: Output, start: int, stop: int) -> None:
    tile = simd.larger(simd.broadcast_row(x, 0, 1, VECTORS), simd.broadcast_row(other, 0, 1, VECTORS))
    simd.store(tile, out, 0, 0, 0, COLUMNS)


@kernel
def root_of_share(x: Input, out: Output, divisor: float, start: int, stop: int) -> None:
    tile = simd.divide(simd.broadcast_row(x, 0, 1, VECTORS), np.float32(divisor))
    simd.store(simd.square_root(tile), out, 0, 0, 0, COLUMNS)


@kernel
def averaged(x: Input, out: Output, divisor: int, start: int, stop: int) -> None:
    simd.store(integer.divide_half_away(simd.broadcast_row(x, 0, 1, VECTORS), divisor), out, 0, 0, 0, COLUMNS)


@kernel
def mixed(x: Input, other: Input, out: Output, weight: int, start: int, stop: int) -> None:
    tile, second = simd.broadcast_row(x, 0, 1, VECTORS), simd.broadcast_row(other, 0, 1, VECTORS)
    simd.store(integer.mix_half_away(tile, second, np.int32(weight), 10), out, 0, 0, 0, COLUMNS)


@kernel
def dot(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    offset: int,
    stride: int,
    last: int,
    panel: int,
    start: int,
    stop: int,
) -> None:
    tile = simd.broadcast_row(bias, 0, ROWS, VECTORS)
    tile = integer.dot_multiply_add(tile, x, offset, stride, last, weights, panel)
    simd.store(tile, out, 0, COLUMNS, last, COLUMNS)


@kernel
def pairwise_bytes(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    offset: int,
    stride: int,
    zero: int,
    panel: int,
    start: int,
    stop: int,
) -> None:
    tile = simd.broadcast_row(bias, 0, ROWS, VECTORS)
    tile = integer.pairwise_multiply_add(tile, x, offset, stride, zero, weights, panel)
    simd.store(tile, out, 0, COLUMNS, ROWS, COLUMNS)


@kernel
def woven_products(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    lanes: Scratch,
    keep: int,
    change: int,
    last: int,
    start: int,
    stop: int,
) -> None:
    for row in range(ROWS):
        seen = (row, row + 7, row + 1, row + 5)
        if x.itemsize == 2:
            simd.store(integer.weave(x, seen, keep, change, 2), lanes, row * WIDTH, 0, 0, WIDTH)
        else:
            simd.store(integer.weave(x, seen, keep, change, 3), lanes, row * WIDTH, 0, 0, WIDTH)
    tile = simd.broadcast_row(bias, 0, ROWS, 1)
    tile = integer.multiply_add_lanes(tile, lanes, 0, WIDTH, last, weights, 8)
    simd.store(tile, out, 0, WIDTH, ROWS, WIDTH)


@kernel
def row_terms(
    terms: Input, bias: Input, out: Output, offset: int, last: int, factor: int, start: int, stop: int
) -> None:
    tile = simd.broadcast_row(bias, 0, ROWS, VECTORS)
    tile = integer.add_row_terms(tile, terms, offset, last, factor)
    simd.store(tile, out, 0, COLUMNS, last, COLUMNS)


@kernel
def rescale(
    x: Input,
    multipliers: Input,
    lefts: Input,
    rights: Input,
    out: Output,
    column: int,
    zero: int,
    start: int,
    stop: int,
) -> None:
    tile = simd.broadcast_row(x, 0, 1, VECTORS)
    tile = integer.requantize(tile, multipliers, lefts, rights, column, zero)
    simd.store(tile, out, 0, 0, 0, COLUMNS)


def once(leaf: Kernel, size: int, dtype: Any, **arguments: Any) -> Array:
    """A call of one item."""
    return call(leaf, size, dtype, extent=1, **arguments)


def floats(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def clamped(last: int) -> Array:
    return np.minimum(np.arange(ROWS), last)


@pytest.mark.parametrize("last", LASTS)
@pytest.mark.parametrize("columns", [0, 1, WIDTH - 1, WIDTH, WIDTH + 1, COLUMNS, COLUMNS + 5])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_store_writes_what_exists_and_no_more(last: int, columns: int, dtype: Any) -> None:
    # Rows further apart than they are long: what lies between them stays.
    x = np.arange(1, COLUMNS + 4).astype(dtype)
    width, stride = min(columns, COLUMNS), COLUMNS + 3
    for fill in (-1, -2):
        out = np.full(ROWS * stride, fill, dtype)
        load_store(0, 1, x=x, out=out, offset=3, stride=stride, last=last, columns=columns)
        expected = np.full((ROWS, stride), fill)
        expected[: last + 1, :width] = x[3 : 3 + width]
        np.testing.assert_array_equal(out.reshape(ROWS, stride), expected)


def test_rows_may_follow_each_other_without_a_gap() -> None:
    x, columns = floats(COLUMNS), COLUMNS - 3
    result = once(load_store, 2 * columns, np.float32, x=x, offset=0, stride=columns, last=1, columns=columns)
    np.testing.assert_array_equal(result, np.tile(x[:columns], 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32])
def test_integers_are_narrowed(dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.resize([info.min, info.max, 0, 7], COLUMNS).astype(np.int32)
    assert once(store_whole, COLUMNS, dtype, x=x, stride=0, last=0).tolist() == x.tolist()


def test_floats_become_integers_by_truncation() -> None:
    x = np.resize([0.0, 1.99, 254.999, 255.0, 0.5], COLUMNS).astype(np.float32)
    result = once(store_whole, COLUMNS, np.uint8, x=x, stride=0, last=0)
    assert result[:4].tolist() == np.resize([0, 1, 254, 255, 0], 4).tolist()


@pytest.mark.parametrize("last", LASTS)
def test_outer_multiply_add(last: int) -> None:
    x, weights, bias = floats(40), floats(COLUMNS + 5, 1), floats(COLUMNS, 2)
    rows = last + 1
    result = once(
        outer, rows * COLUMNS, np.float32,
        x=x, weights=weights, bias=bias, offset=4, stride=9, last=last, panel=5,
    )  # fmt: skip
    exact = bias + np.outer(x[4 + 9 * clamped(last)[:rows]].astype(np.float64), weights[5:])
    assert_near(result.reshape(rows, COLUMNS), exact, 1, largest(x) * largest(weights) + largest(bias))


@pytest.mark.parametrize("lines", [(0, 3), (1, 3), (0, 2), (1, 1)])
@pytest.mark.parametrize("columns", [(0, 0), (1, 0), (0, 2), (4, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_correlate_shares_what_neighbours_see(
    stride: int, lines: tuple[int, int], columns: tuple[int, int]
) -> None:
    """A filter of 3 x 3, of whose lines ``lines`` and of whose columns all but ``columns`` are there."""
    distance, positions = WIDTH + 2, (ROWS - 1) * stride + 3
    line = positions * distance + 5
    first, last = columns[0], positions - columns[1]
    x, bias, weights = floats(1 + 3 * line), floats(WIDTH, 2), floats(4 + 9 * (WIDTH + 3), 1)
    there = np.zeros((3, positions, 1), bool)
    there[lines[0] : lines[1], first:last] = True
    seen = x[1:].reshape(3, line)[:, :-5].reshape(3, positions, distance)[..., :WIDTH]
    # What is not there is not read: it may be anything.
    x[1:].reshape(3, line)[:, :-5].reshape(3, positions, distance)[~there[..., 0]] = np.nan
    seen = np.where(there, seen, 0).astype(np.float64)
    result = once(
        correlated, ROWS * WIDTH, np.float32,
        x=x, weights=weights, bias=bias, offset=1, distance=distance, line=line, stride=stride,
        first_line=lines[0], last_line=lines[1], first=first, last=last,
    )  # fmt: skip
    filters = weights[4:].reshape(3, 3, WIDTH + 3)[..., :WIDTH]
    exact = [
        bias + np.einsum("utc,utc->c", seen[:, i * stride : i * stride + 3], filters) for i in range(ROWS)
    ]
    bound = float(np.nanmax(np.abs(x))) * largest(weights) + largest(bias)
    assert_near(result.reshape(ROWS, WIDTH), np.array(exact), 9, bound)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int16, np.uint8, np.int8])
def test_copy_vector(dtype: Any) -> None:
    count = 4 * WIDTH // np.dtype(dtype).itemsize
    x = (np.arange(count + 3) * 7 - 5).astype(dtype)
    assert once(copied, count, dtype, x=x, offset=3).tolist() == x[3:].tolist()


def test_columns_have_factors_and_terms() -> None:
    x, table = floats(COLUMNS), floats(COLUMNS + 5, 1)
    result = once(scaled_columns, ROWS * COLUMNS, np.float32, x=x, table=table, column=5)
    np.testing.assert_array_equal(result.reshape(ROWS, -1), np.tile(x * table[5:] + table[5:], (ROWS, 1)))


def test_integers_become_the_nearest_floats() -> None:
    # Ties to even: above 2**24 float32 has no odd integers.
    x = np.resize(
        np.array([0, -3, (1 << 24) + 1, (1 << 24) + 3, -(1 << 31), (1 << 31) - 1], np.int32), COLUMNS
    )
    result = once(floated, ROWS * COLUMNS, np.float32, x=x)
    assert result[:6].tolist() == [0, -3, 1 << 24, (1 << 24) + 4, -(2.0**31), 2.0**31]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_zeros_like(dtype: Any) -> None:
    result = once(cleared, ROWS * COLUMNS, dtype, x=np.full(COLUMNS, 3, dtype))
    assert result.tolist() == [0] * (ROWS * COLUMNS)


def test_pairwise_multiply_add() -> None:
    stride = COLUMNS + 1
    x, weights, bias = floats(ROWS * stride + 2), floats(COLUMNS + 5, 1), floats(COLUMNS, 2)
    result = once(
        pairwise, ROWS * COLUMNS, np.float32,
        x=x, weights=weights, bias=bias, offset=2, stride=stride, panel=5,
    )  # fmt: skip
    rows = x[2:].reshape(ROWS, stride)[:, :COLUMNS].astype(np.float64)
    exact = bias + rows * weights[5:]
    assert_near(
        result.reshape(ROWS, COLUMNS), exact, 1, largest(x) * largest(weights) + largest(bias)
    )  # fmt: skip


def test_clamp_of_floats() -> None:
    x = np.resize([-np.inf, -1.5, -0.5, 0.5, 1.5, np.inf, np.nan], COLUMNS).astype(np.float32)
    result = once(limited, COLUMNS, np.float32, x=x, low=-1, high=1)
    np.testing.assert_array_equal(result, np.resize([-1, -1, -0.5, 0.5, 1, 1, np.nan], COLUMNS))


def test_clamp_of_integers() -> None:
    x = np.resize([-(1 << 31), -6, -5, 0, 9, 10, (1 << 31) - 1], COLUMNS).astype(np.int32)
    result = once(limited_integers, COLUMNS, np.int32, x=x, low=-5, high=9)
    np.testing.assert_array_equal(result, np.resize([-5, -5, -5, 0, 9, 9, 9], COLUMNS))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_larger_keeps_the_first_beside_nan(dtype: Any) -> None:
    x, other = (
        np.resize([1, 5, -3, 0], COLUMNS).astype(dtype),
        np.resize([2, 4, -4, 0], COLUMNS).astype(dtype),
    )
    expected = np.maximum(x, other)
    if dtype is np.float32:
        other[1] = np.nan
    assert once(larger_of, COLUMNS, dtype, x=x, other=other).tolist() == expected.tolist()


def test_divide_and_square_root() -> None:
    x = np.resize([8, 0, 32, 12.5], COLUMNS).astype(np.float32)
    result = once(root_of_share, COLUMNS, np.float32, x=x, divisor=2)
    assert result[:4].tolist() == np.resize([2, 0, 4, 2.5], 4).tolist()


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 49, 2**31 - 1])
def test_divide_half_away(divisor: int) -> None:
    edges = [0, 1, -1, 24, -25, 3, -3, 2**31 - 1, -(2**31) + 1, 10**9 + 1, -(10**9) - 2]
    for x in np.array_split(np.resize(edges, 3 * COLUMNS).astype(np.int32), 3):
        exact = [(2 * abs(v) + divisor) // (2 * divisor) * (1 if v > 0 else -1) for v in x.tolist()]
        assert once(averaged, COLUMNS, np.int32, x=x, divisor=divisor).tolist() == exact


@pytest.mark.parametrize("weight", [0, 1, 512, 1024, -256, 2046])
def test_mix_half_away(weight: int) -> None:
    x = np.resize([0, 1024, -1024, 512, -512, 1 << 26, -(1 << 26)], COLUMNS).astype(np.int32)
    other = np.resize([1024, -1024, 0, -(1 << 26)], COLUMNS).astype(np.int32)
    exact = []
    for a, b in zip(x.tolist(), other.tolist(), strict=True):
        total = a * (1024 - weight) + b * weight
        exact.append((abs(total) + (1 << 19) >> 20) * (1 if total > 0 else -1))
    assert once(mixed, COLUMNS, np.int32, x=x, other=other, weight=weight).tolist() == exact


@pytest.mark.parametrize("last", LASTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_dot_multiply_add(last: int, dtype: Any) -> None:
    rng = np.random.default_rng(last)
    x = rng.integers(0, 256, 40, np.uint8).view(dtype)
    x[4:8] = np.full(4, 255, np.uint8).view(dtype)
    weights = rng.integers(-128, 128, 4 * COLUMNS + 8, np.int8)
    weights[8:12], weights[12:16] = -128, 127
    bias = rng.integers(-(1 << 20), 1 << 20, COLUMNS, np.int32)
    rows = last + 1
    result = once(
        dot, rows * COLUMNS, np.int32, x=x, weights=weights, bias=bias, offset=4, stride=9, last=last, panel=8
    )
    places = 4 + 9 * np.arange(rows)[:, None] + np.arange(4)
    exact = bias + x.view(np.uint8)[places].astype(np.int64) @ weights[8:].reshape(-1, 4).T.astype(np.int64)
    np.testing.assert_array_equal(result.reshape(rows, COLUMNS), exact)


def test_dot_products_wrap() -> None:
    x, weights = np.full(32, 255, np.uint8), np.full(4 * COLUMNS, 127, np.int8)
    bias = np.full(COLUMNS, (1 << 31) - 1, np.int32)
    result = once(
        dot, COLUMNS, np.int32, x=x, weights=weights, bias=bias, offset=0, stride=4, last=0, panel=0
    )
    assert set(result.tolist()) == {-(1 << 31) + 4 * 255 * 127 - 1}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_pairwise_multiply_add_of_bytes(dtype: Any) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    stride = COLUMNS + 1
    x = rng.integers(info.min, info.max, ROWS * stride + 2, dtype, endpoint=True)
    weights = rng.integers(-255, 255, COLUMNS + 5, np.int16, endpoint=True)
    bias = rng.integers(-(1 << 20), 1 << 20, COLUMNS, np.int32)
    zero = int(info.min) + 5
    result = once(
        pairwise_bytes, ROWS * COLUMNS, np.int32,
        x=x, weights=weights, bias=bias, offset=2, stride=stride, zero=zero, panel=5,
    )  # fmt: skip
    rows = x[2:].reshape(ROWS, stride)[:, :COLUMNS].astype(np.int64) - zero
    np.testing.assert_array_equal(result.reshape(ROWS, COLUMNS), bias + rows * weights[5:])


@pytest.mark.parametrize("last", LASTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
def test_weave_and_multiply_add_lanes(dtype: Any, last: int) -> None:
    info, rng = np.iinfo(dtype), np.random.default_rng(5)
    count, bits = (2, 16) if dtype is np.int16 else (4, 8)
    x = rng.integers(info.min, info.max, ROWS + 7 + WIDTH, dtype, endpoint=True)
    weights = rng.integers(-128, 127, 8 + count * WIDTH, np.int8, endpoint=True).astype(f"i{x.itemsize}")
    bias = rng.integers(-1000, 1000, WIDTH, np.int32)
    # The second row is left out, 5 stands in its place; int8 becomes unsigned.
    mask, flip = (1 << bits) - 1, 0x80 if dtype is np.int8 else 0
    keep, change = mask if count == 2 else 0xFF00FF, flip | 5 << bits | flip << 2 * bits
    change &= 0xFFFFFFFF
    lanes = ScratchSpace(np.dtype(np.int32), ROWS * WIDTH)
    arguments = {"x": x, "weights": weights, "bias": bias, "lanes": lanes, "keep": keep, "change": change}
    result = once(woven_products, ROWS * WIDTH, np.int32, last=last, **arguments).reshape(ROWS, WIDTH)
    moved = x.astype(np.int64) + flip
    seen = [min(row, last) + np.arange(WIDTH) for row in range(ROWS)]
    rows = [(moved[at], np.full(WIDTH, 5), moved[at + 1], np.zeros(WIDTH, np.int64)) for at in seen]
    filters = weights[8:].reshape(WIDTH, count).astype(np.int64)
    exact = [bias + sum(v * filters[:, i] for i, v in enumerate(row[:count])) for row in rows]
    np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize("last", LASTS)
def test_add_row_terms(last: int) -> None:
    terms = np.array([9, 9, 100, -200, 1 << 30], np.int32)
    bias = np.arange(COLUMNS, dtype=np.int32)
    rows = last + 1
    result = once(row_terms, rows * COLUMNS, np.int32, terms=terms, bias=bias, offset=2, last=last, factor=-4)
    added = np.array([-400, 800, 0])[:rows]  # the third wraps
    np.testing.assert_array_equal(result.reshape(rows, COLUMNS), bias + added[:, None])


@pytest.mark.parametrize("shift", [-31, -9, -1, 0, 1, 5])
def test_requantize(shift: int) -> None:
    rng = np.random.default_rng(shift + 31)
    x = rng.integers(-(1 << 31), 1 << 31, COLUMNS).astype(np.int32) >> max(shift, 0)
    x[:4] = [-5, 5, 0, -1]
    factors = rng.integers(1 << 30, 1 << 31, COLUMNS + 3).astype(np.int32)
    factors[3:7] = 1 << 30  # ties
    left, right = (np.full(COLUMNS + 3, max(s, 0), np.int32) for s in (shift, -shift))
    result = once(
        rescale, COLUMNS, np.int32, x=x, multipliers=factors, lefts=left, rights=right, column=3, zero=-7
    )
    exact = [scaled(int(v), int(m), shift) - 7 for v, m in zip(x, factors[3:], strict=True)]
    np.testing.assert_array_equal(result, exact)
