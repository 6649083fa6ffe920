"""Join the images of two cameras by their stamps."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar('T')


class StereoPairs(Generic[T]):
    """
    Joins the items of camera 0 and camera 1 whose stamps differ by at most a tolerance.

    Each camera's stamps are expected in ascending order. An item is discarded without a partner
    when the other camera is past its stamp, when `depth` newer items of its own camera wait, or
    when its own camera's stamps run back. For one thread.
    tolerance: largest difference between the stamps of a pair [ns], inclusive.
    depth: items of one camera that may wait.
    """

    def __init__(self, tolerance: int, depth: int = 1):
        self._tolerance = tolerance
        self._depth = depth
        # Items of one camera at most: of two that wait, one would be a partner or discarded.
        self._waiting: tuple[deque[tuple[int, T]], ...] = (deque(), deque())

    def add(self, camera: int, stamp: int, item: T) -> tuple[tuple[T, T] | None, list[T], list[T]]:
        """
        Add the next item of a camera, 0 or 1; stamp: [ns].

        Returns the pair that it completes, if any, and the discarded items of each camera.
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
        """Discard all items that wait; returns those of each camera."""
        first, second = ([item for _, item in waiting] for waiting in self._waiting)
        for waiting in self._waiting:
            waiting.clear()
        return first, second
