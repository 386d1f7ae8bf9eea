"""Heaps as C++'s standard library keeps them, for operators whose order among equals is what they give.

``push``, ``pop`` and ``partial_sort`` are ``std::push_heap``, ``std::pop_heap`` and ``std::partial_sort``
of libstdc++, which TFLite's wheels are built with: which of two equals comes first depends on every swap.
A heap is a list whose first element is the last in order; ``less(a, b)`` says whether ``a`` comes before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

Less = Callable[[_T, _T], bool]


def push(heap: list[_T], item: _T, less: Less[_T]) -> None:
    """Add an item."""
    heap.append(item)
    _rise(heap, len(heap) - 1, 0, item, less)


def pop(heap: list[_T], less: Less[_T]) -> _T:
    """Take the first item off."""
    first, last = heap[0], heap.pop()
    if heap:
        _sink(heap, 0, len(heap), last, less)
    return first


def partial_sort(items: list[_T], count: int, less: Less[_T]) -> list[_T]:
    """The first ``count`` items in order."""
    heap = items[:count]
    for parent in range((count - 2) // 2, -1, -1):
        _sink(heap, parent, count, heap[parent], less)
    for item in items[count:]:
        if less(item, heap[0]):
            _sink(heap, 0, count, item, less)
    for end in range(count - 1, 0, -1):
        last, heap[end] = heap[end], heap[0]
        _sink(heap, 0, end, last, less)
    return heap


def _rise(heap: list[_T], hole: int, top: int, item: _T, less: Less[_T]) -> None:
    """Put the item where the hole is, or as far above as it belongs."""
    while hole > top and less(heap[(hole - 1) // 2], item):
        heap[hole] = heap[(hole - 1) // 2]
        hole = (hole - 1) // 2
    heap[hole] = item


def _sink(heap: list[_T], hole: int, size: int, item: _T, less: Less[_T]) -> None:
    """Move the hole down to a leaf, past the larger child each time, and let the item rise from there."""
    top = hole
    while 2 * hole + 2 < size:
        child = 2 * hole + 2
        child -= less(heap[child], heap[child - 1])
        heap[hole] = heap[child]
        hole = child
    if 2 * hole + 1 < size:
        heap[hole] = heap[2 * hole + 1]
        hole = 2 * hole + 1
    _rise(heap, hole, top, item, less)
