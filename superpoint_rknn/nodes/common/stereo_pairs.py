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
        self._differences: list[int] = []  # [ns] of stamps that were too far apart
        self._pairs = 0  # since the last call of `take_difference`

    def take_difference(self) -> int | None:
        """
        Return by how much the stamps of most items miss the tolerance, since the last call [ns].

        It is the smallest difference of items that were no pair, positive if camera 1 is later;
        None if there were more pairs, or if it was only one: its partner may be lost.
        """
        differences, pairs = self._differences, self._pairs
        self._differences, self._pairs = [], 0
        return min(differences, key=abs) if len(differences) > max(pairs, 1) else None

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
            before, partner = other.popleft()
            discarded[1 - camera].append(partner)
            self._differences.append(_right_minus_left(camera, stamp - before))
        if other and other[0][0] <= stamp + self._tolerance:
            _, partner = other.popleft()
            self._pairs += 1
            return ((partner, item) if camera else (item, partner)), *discarded
        if other:
            discarded[camera].append(item)
            self._differences.append(_right_minus_left(camera, stamp - other[0][0]))
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


def _right_minus_left(camera: int, difference: int) -> int:
    """Difference of stamps, right - left; difference: that of `camera` minus the other one's."""
    return difference if camera else -difference
