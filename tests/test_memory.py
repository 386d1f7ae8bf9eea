"""Buffers placed by their lifetimes: apart, aligned, close together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minilite.memory import ALIGNMENT, Lifetime, align, peak, place

LIFETIMES = st.lists(
    st.builds(
        lambda nbytes, first, length: Lifetime(nbytes, first, first + length),
        st.one_of(st.integers(0, 300), st.integers(0, 1 << 40)),
        st.integers(0, 9),
        st.integers(0, 5),
    ),
    max_size=25,
)


def test_sizes_become_multiples_of_the_alignment() -> None:
    assert [align(n) for n in (0, 1, 64, 65)] == [0, 64, 64, 128]
    assert ALIGNMENT == 64


def test_lifetimes_include_both_ends() -> None:
    one = Lifetime(1, 2, 4)
    assert one.meets(Lifetime(1, 4, 9))
    assert one.meets(Lifetime(1, 0, 2))
    assert one.meets(Lifetime(1, 3, 3))
    assert not one.meets(Lifetime(1, 5, 9))
    assert not one.meets(Lifetime(1, 0, 1))


def test_a_chain_needs_two_buffers_at_a_time() -> None:
    # Each layer reads the buffer before it: the first and the third may share memory.
    chain = [Lifetime(100, 0, 1), Lifetime(100, 1, 2), Lifetime(100, 2, 3), Lifetime(100, 3, 4)]
    offsets, total = place(chain)
    assert total == peak(chain) == 256
    assert offsets[0] == offsets[2] != offsets[1] == offsets[3]


def test_a_gap_is_filled() -> None:
    # The small one fits where the large one was.
    offsets, total = place([Lifetime(640, 0, 1), Lifetime(128, 2, 3), Lifetime(64, 0, 3)])
    assert offsets[1] == offsets[0] == 0
    assert total == 704


def test_the_largest_is_placed_first() -> None:
    assert place([Lifetime(64, 0, 0), Lifetime(6400, 0, 0)]) == ([6400, 0], 6464)


def test_nothing_needs_nothing() -> None:
    assert place([]) == ([], 0)
    assert peak([]) == 0
    assert place([Lifetime(0, 0, 5)]) == ([0], 0)


@given(LIFETIMES)
def test_buffers_alive_at_once_do_not_overlap(lifetimes: list[Lifetime]) -> None:
    offsets, total = place(lifetimes)
    placed = list(zip(lifetimes, offsets, strict=True))
    for number, (one, a) in enumerate(placed):
        assert a % ALIGNMENT == 0
        assert 0 <= a <= a + one.nbytes <= total
        for other, b in placed[:number]:
            if one.first <= other.last and other.first <= one.last:
                assert a + one.nbytes <= b or b + other.nbytes <= a or 0 in (one.nbytes, other.nbytes)


@given(LIFETIMES)
def test_the_block_lies_between_the_peak_and_the_sum(lifetimes: list[Lifetime]) -> None:
    _, total = place(lifetimes)
    assert peak(lifetimes) <= total <= sum(align(x.nbytes) for x in lifetimes)


@given(LIFETIMES)
def test_the_peak_is_what_one_stage_needs(lifetimes: list[Lifetime]) -> None:
    stages = range(20)
    needs = [sum(align(x.nbytes) for x in lifetimes if x.first <= s <= x.last) for s in stages]
    assert peak(lifetimes) == max(needs)


@given(LIFETIMES)
def test_all_alive_at_once_are_packed_without_gaps(lifetimes: list[Lifetime]) -> None:
    together = [Lifetime(x.nbytes, 0, 0) for x in lifetimes]
    assert place(together)[1] == peak(together)
