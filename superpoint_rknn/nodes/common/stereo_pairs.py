"""Pair the images of two cameras by their stamps."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar('T')


class StereoPairs(Generic[T]):
    """
    Pair the items of camera 0 and camera 1 whose stamps differ by at most a tolerance.

    The stamps of each camera should ascend. An item is discarded without a partner when an item
    of the other camera has a later stamp (beyond the tolerance), when `depth` newer items of its
    own camera wait, or when the stamps of its own camera run backwards. Not thread-safe.
    tolerance: maximum difference between the stamps of a pair [ns], inclusive.
    depth: maximum number of waiting items.
    """

    def __init__(self, tolerance: int, depth: int = 1):
        self._tolerance = tolerance
        self._depth = depth
        # Only one of the two is non-empty: an item joins or discards waiting items of the other.
        self._waiting: tuple[deque[tuple[int, T]], ...] = (deque(), deque())

    def add(self, camera: int, stamp: int, item: T) -> tuple[tuple[T, T] | None, list[T], list[T]]:
        """
        Add the next item of a camera, 0 or 1; stamp: [ns].

        Returns the pair that it completes or None, and the discarded items of each camera.
        """
        own, other = self._waiting[camera], self._waiting[1 - camera]
        discarded: tuple[list[T], list[T]] = ([], [])
        while own and own[-1][0] > stamp:
            discarded[camera].append(own.popleft()[1])
        while other and other[0][0] < stamp - self._tolerance:
            discarded[1 - camera].append(other.popleft()[1])
        if other and other[0][0] <= stamp + self._tolerance:
            _, partner = other.popleft()
            return ((partner, item) if camera else (item, partner)), *discarded
        if other:
            discarded[camera].append(item)
            return None, *discarded
        own.append((stamp, item))
        if len(own) > self._depth:
            discarded[camera].append(own.popleft()[1])
        return None, *discarded

    def clear(self) -> tuple[list[T], list[T]]:
        """Discard all waiting items; return those of each camera."""
        first, second = ([item for _, item in waiting] for waiting in self._waiting)
        for waiting in self._waiting:
            waiting.clear()
        return first, second
