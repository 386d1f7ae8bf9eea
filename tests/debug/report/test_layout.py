from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.debug.report.layout import GAP_Y, Layout, Link, layered

Sizes = list[tuple[float, float]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Sizes, list[Link]]:
    """Nodes of different sizes, each reading some of those before it."""
    count = draw(st.integers(1, 24))
    size = st.tuples(st.sampled_from([60.0, 116.0, 188.0]), st.sampled_from([28.0, 54.0]))
    sizes = [draw(size) for _ in range(count)]
    links = [
        Link(source, target, source)
        for target in range(1, count)
        for source in draw(st.sets(st.integers(0, target - 1), max_size=3))
    ]
    return sizes, links


def overlapping(layout: Layout, sizes: Sizes) -> list[tuple[int, int]]:
    def apart(one: int, other: int, axis: int) -> bool:
        (a, b), (c, d) = (layout.boxes[one], layout.boxes[other]), (sizes[one], sizes[other])
        return a[axis] + c[axis] <= b[axis] or b[axis] + d[axis] <= a[axis]

    pairs = combinations(range(len(sizes)), 2)
    return [pair for pair in pairs if not apart(*pair, 0) and not apart(*pair, 1)]


@given(graphs())
def test_no_boxes_overlap_and_all_lines_go_down(graph: tuple[Sizes, list[Link]]) -> None:
    sizes, links = graph
    layout = layered(sizes, links)
    assert overlapping(layout, sizes) == []
    for link, line in zip(links, layout.lines, strict=True):
        assert all(above[1] <= below[1] for above, below in pairwise(line))
        (x0, y0), (x1, y1) = layout.boxes[link.source], layout.boxes[link.target]
        width, height = sizes[link.source]
        assert line[0] == pytest.approx((x0 + width / 2, y0 + height))
        assert line[-1] == pytest.approx((x1 + sizes[link.target][0] / 2, y1))
        assert layout.layers[link.source] < layout.layers[link.target]
    for (x, y), (width, height) in zip(layout.boxes, sizes, strict=True):
        assert -1e-6 <= x <= layout.width - width + 1e-6
        assert -1e-6 <= y <= layout.height - height + 1e-6


@given(graphs())
def test_lines_pass_beside_boxes(graph: tuple[Sizes, list[Link]]) -> None:
    """Where a line goes through a layer of boxes it is straight and between them."""
    sizes, links = graph
    layout = layered(sizes, links)
    for line in layout.lines:
        for (x, top), (below_x, bottom) in zip(line[1:-1:2], line[2:-1:2], strict=True):
            assert x == below_x
            for (left, y), (width, height) in zip(layout.boxes, sizes, strict=True):
                if top <= y and y + height <= bottom:
                    assert not left < x < left + width


def test_a_chain_is_straight_beside_its_skip_connection() -> None:
    links = [Link(i, i + 1, i) for i in range(9)] + [Link(2, 6, 2)]
    layout = layered([(100.0, 40.0)] * 10, links)
    assert max(x for x, _ in layout.boxes) - min(x for x, _ in layout.boxes) < 1.0
    assert [y for _, y in layout.boxes] == [i * (40.0 + GAP_Y) for i in range(10)]
    assert layout.width > 100.0  # the skip connection goes round the boxes


def test_branches_stand_side_by_side() -> None:
    links = [Link(0, i, 0) for i in (1, 2, 3)] + [Link(i, 4, i) for i in (1, 2, 3)]
    layout = layered([(100.0, 40.0)] * 5, links)
    assert layout.layers == (0, 1, 1, 1, 2)
    assert len({layout.boxes[i][1] for i in (1, 2, 3)}) == 1


def test_two_ladders_are_untangled() -> None:
    """Two chains whose nodes come in turns, the second in the other order, cross nowhere."""
    links = [Link(0, 3, 0), Link(1, 2, 1), Link(2, 5, 2), Link(3, 4, 3)]
    layout = layered([(50.0, 20.0)] * 6, links)
    sides = [(layout.boxes[a][0] < layout.boxes[b][0]) for a, b in ((0, 1), (3, 2), (4, 5))]
    assert len(set(sides)) == 1


def test_what_has_no_predecessor_stands_above_its_reader() -> None:
    layout = layered([(10.0, 10.0)] * 5, [Link(0, 1, 0), Link(1, 2, 1), Link(2, 4, 2), Link(3, 4, 3)])
    assert layout.layers == (0, 1, 2, 2, 3)


def test_a_link_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="later"):
        layered([(1.0, 1.0)] * 2, [Link(1, 0, 0)])


def test_nothing_is_laid_out() -> None:
    assert layered([], []) == Layout((), (), (), 0.0, 0.0)
