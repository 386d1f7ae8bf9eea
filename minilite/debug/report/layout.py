"""Where the boxes of a graph stand: layers from top to bottom, lines that go down (Sugiyama's method).

Four steps, after Gansner et al., "A technique for drawing directed graphs" (1993): each node in the layer
behind its last predecessor; invisible nodes where a line passes through a layer; an order within each layer
with few crossings (barycentres, swept down and up); and places along the layer. Those are the weighted
least squares of the lines' slants under the order and the gaps, which pooling adjacent violators solves
exactly, one layer at a time. Time is that of sorting: 900 operators take a fraction of a second.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_X, GAP_Y = 28.0, 40.0
"""Between boxes of a layer, and between layers, in pixels."""

LINE_GAP = 14.0
"""Between two lines, or a line and a box, that pass through a layer."""

# How much a slanted line costs: those of invisible nodes most, so that long lines are straight; then what
# goes from box to box. Where lines leave for the side and come back they cost nearly nothing, so that a
# trunk stays straight beside its skip connections.
_LINE, _TRUNK, _JOINT = 16.0, 8.0, 0.02

_SWEEPS = 12


@dataclass(frozen=True)
class Link:
    """A line to draw from a node to a later one; lines of one ``source`` and ``value`` share their way."""

    source: int
    target: int
    value: int


@dataclass(frozen=True)
class Layout:
    """Boxes and lines in pixels, y downwards.

    Attributes
    ----------
    boxes:
        ``(x, y)`` of each node's top left corner.
    layers:
        Each node's layer, from 0 at the top.
    lines:
        For each link its points, from the bottom of one box to the top of the other.
    """

    boxes: tuple[tuple[float, float], ...]
    layers: tuple[int, ...]
    lines: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float


def layered(sizes: Sequence[tuple[float, float]], links: Sequence[Link]) -> Layout:
    """Place nodes of these widths and heights.

    Parameters
    ----------
    sizes:
        Nodes in an order in which each comes after those it depends on.
    links:
        Every one from a node to a later one.

    Raises
    ------
    ValueError
        A link goes backwards.
    """
    if wrong := [link for link in links if not 0 <= link.source < link.target < len(sizes)]:
        raise ValueError(f"{wrong[0]} does not go from a node to a later one")
    net = _Net(sizes, links)
    _order(net)
    x = _places(net)
    return _drawn(net, x, sizes, links)


class _Net:
    """The nodes and the invisible ones in their layers; edges join neighbouring layers only."""

    def __init__(self, sizes: Sequence[tuple[float, float]], links: Sequence[Link]) -> None:
        self.layer = _layers(len(sizes), links)
        self.nodes = len(sizes)
        self.widths = [width for width, _ in sizes]
        self.up: list[list[int]] = [[] for _ in sizes]
        self.down: list[list[int]] = [[] for _ in sizes]
        self.ways: dict[tuple[int, int], list[int]] = {}
        farthest: dict[tuple[int, int], int] = defaultdict(int)
        for link in links:
            key = (link.source, link.value)
            farthest[key] = max(farthest[key], self.layer[link.target])
        for (source, value), last in farthest.items():
            self.ways[source, value] = self._way(source, last)
        for link in links:
            way = self.ways[link.source, link.value]
            self._join(way[self.layer[link.target] - self.layer[link.source] - 1], link.target)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer, default=-1) + 1)]
        for vertex, layer in enumerate(self.layer):
            self.rows[layer].append(vertex)

    def _way(self, source: int, last: int) -> list[int]:
        """The source and an invisible node in each layer up to the one before ``last``."""
        way = [source]
        for layer in range(self.layer[source] + 1, last):
            self.layer.append(layer)
            self.widths.append(0.0)
            self.up.append([])
            self.down.append([])
            self._join(way[-1], len(self.layer) - 1)
            way.append(len(self.layer) - 1)
        return way

    def _join(self, above: int, below: int) -> None:
        if below not in self.down[above]:
            self.down[above].append(below)
            self.up[below].append(above)

    def gap(self, left: int, right: int) -> float:
        """Between the middles of two neighbours."""
        visible = left < self.nodes and right < self.nodes
        return (self.widths[left] + self.widths[right]) / 2 + (GAP_X if visible else LINE_GAP)

    def weight(self, one: int, other: int) -> float:
        """What the slant of an edge costs."""
        visible = (one < self.nodes) + (other < self.nodes)
        if visible == 2 and (self._is_aside(one) or self._is_aside(other)):
            return _JOINT
        return (_LINE, _JOINT, _TRUNK)[visible]

    def _is_aside(self, vertex: int) -> bool:
        """Whether it only joins in further down, as constants do: no trunk begins there."""
        return not self.up[vertex] and self.layer[vertex] > 0


def _layers(count: int, links: Sequence[Link]) -> list[int]:
    """One below the lowest predecessor; what has none goes right above its first reader."""
    layer = [0] * count
    earliest = [count] * count
    has_above = [False] * count
    for link in sorted(links, key=lambda link: link.source):
        layer[link.target] = max(layer[link.target], layer[link.source] + 1)
        has_above[link.target] = True
    for link in links:
        earliest[link.source] = min(earliest[link.source], layer[link.target])
    for node in range(count):
        if not has_above[node] and earliest[node] < count:
            layer[node] = earliest[node] - 1
    return layer


def _order(net: _Net) -> None:
    """Sort each layer so that few lines cross: the best of some sweeps."""
    place = [0.0] * len(net.layer)

    def number(row: list[int]) -> None:
        for position, vertex in enumerate(row):
            place[vertex] = position

    def sweep(rows: Iterable[list[int]], beside: list[list[int]]) -> None:
        for row in rows:
            mean = {
                v: sum(place[u] for u in beside[v]) / len(beside[v]) if beside[v] else place[v] for v in row
            }
            row.sort(key=mean.__getitem__)
            number(row)

    for row in net.rows:
        number(row)
    sweep(net.rows, net.up)
    best, fewest = [list(row) for row in net.rows], _crossings(net, place)
    for turn in range(_SWEEPS):
        if not fewest:
            break
        if turn % 2 == 0:
            sweep(reversed(net.rows), net.down)
        else:
            sweep(net.rows, net.up)
        found = _crossings(net, place)
        if found < fewest:
            best, fewest = [list(row) for row in net.rows], found
    net.rows = best


def _crossings(net: _Net, place: Sequence[float]) -> int:
    total = 0
    for row in net.rows:
        seen: list[float] = []
        for vertex in row:
            ends = sorted(place[below] for below in net.down[vertex])
            total += sum(len(seen) - bisect_left(seen, end + 0.5) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _places(net: _Net) -> list[float]:
    """The middle of each vertex along its layer."""
    x = [0.0] * len(net.layer)
    for row in net.rows:
        for left, right in pairwise(row):
            x[right] = x[left] + net.gap(left, right)
    both = [above + below for above, below in zip(net.up, net.down, strict=True)]
    for turn in range(_SWEEPS):
        beside = both if turn >= _SWEEPS - 4 else net.down if turn % 2 else net.up
        for row in reversed(net.rows) if turn % 2 else net.rows:
            _settle(net, row, beside, x)
    # Means of what is above and below leave every line of a chain a little aslant. Last, all stand under
    # what they come from: lines slant where they part or meet, and nowhere else.
    for row in net.rows:
        _settle(net, row, [above or below for above, below in zip(net.up, net.down, strict=True)], x)
    return x


def _settle(net: _Net, row: Sequence[int], beside: Sequence[Sequence[int]], x: list[float]) -> None:
    """Move a layer to the weighted mean of its neighbours, as near as order and gaps allow.

    Without the gaps (each vertex's offset taken off) the places have to rise only: least squares under
    that are found by pooling what does not.
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, vertices
    offsets: list[float] = []
    for position, vertex in enumerate(row):
        offsets.append(offsets[-1] + net.gap(row[position - 1], vertex) if position else 0.0)
        weights = [(net.weight(vertex, other), x[other]) for other in beside[vertex]]
        weight = sum(w for w, _ in weights) or 1e-3
        wanted = sum(w * place for w, place in weights) / weight if weights else x[vertex]
        block = (wanted - offsets[-1], weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, mass, count = blocks.pop()
            total = mass + block[1]
            block = ((mean * mass + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    settled = [mean for mean, _, count in blocks for _ in range(count)]
    for vertex, place, offset in zip(row, settled, offsets, strict=True):
        x[vertex] = place + offset


def _drawn(net: _Net, x: list[float], sizes: Sequence[tuple[float, float]], links: Sequence[Link]) -> Layout:
    tops, y = [], 0.0
    heights = [max((sizes[v][1] for v in row if v < net.nodes), default=0.0) for row in net.rows]
    for height in heights:
        tops.append(y)
        y += height + GAP_Y
    left = min((x[v] - net.widths[v] / 2 for v in range(len(x))), default=0.0)
    right = max((x[v] + net.widths[v] / 2 for v in range(len(x))), default=0.0)
    middles = [place - left for place in x]
    boxes = tuple(
        (middles[v] - width / 2, tops[net.layer[v]] + (heights[net.layer[v]] - height) / 2)
        for v, (width, height) in enumerate(sizes)
    )

    def line(link: Link) -> tuple[tuple[float, float], ...]:
        way = net.ways[link.source, link.value][1 : net.layer[link.target] - net.layer[link.source]]
        points = [(middles[link.source], boxes[link.source][1] + sizes[link.source][1])]
        for vertex in way:  # Through a layer a line goes straight down.
            top = tops[net.layer[vertex]]
            points += [(middles[vertex], top), (middles[vertex], top + heights[net.layer[vertex]])]
        return (*points, (middles[link.target], boxes[link.target][1]))

    return Layout(
        boxes, tuple(net.layer[: net.nodes]), tuple(map(line, links)), right - left, max(0.0, y - GAP_Y)
    )
