"""Images of two cameras, joined by stamp."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar('T')


class StereoPairs(Generic[T]):
    """
    Joins what two cameras, 0 and 1, see at a time; each one's images come in order.

    An image finds its partner, or is given up: when its partner's camera is past it, when `depth`
    newer ones of its own camera wait, or when its own camera's stamps run back. For one thread.
    tolerance: most difference between the stamps of a pair [ns].
    """

    def __init__(self, tolerance: int, depth: int = 1):
        self._tolerance = tolerance
        self._depth = depth
        # of one camera only at a time: of two that wait, one would be a partner or past
        self._waiting: tuple[deque[tuple[int, T]], ...] = (deque(), deque())

    def add(self, camera: int, stamp: int, item: T) -> tuple[tuple[T, T] | None, list[T], list[T]]:
        """
        Add the next image of a camera, 0 or 1; stamp: [ns].

        Returns the pair that it makes, if any, and what is given up of each camera.
        """
        own, other = self._waiting[camera], self._waiting[1 - camera]
        given_up: tuple[list[T], list[T]] = ([], [])
        while own and own[-1][0] > stamp:
            given_up[camera].append(own.popleft()[1])
        while other and other[0][0] < stamp - self._tolerance:
            given_up[1 - camera].append(other.popleft()[1])
        if other and other[0][0] <= stamp + self._tolerance:
            _, partner = other.popleft()
            return ((partner, item) if camera else (item, partner)), *given_up
        if other:
            given_up[camera].append(item)
            return None, *given_up
        own.append((stamp, item))
        if len(own) > self._depth:
            given_up[camera].append(own.popleft()[1])
        return None, *given_up

    def clear(self) -> tuple[list[T], list[T]]:
        """Give up all that waits, of each camera."""
        given_up = tuple([item for _, item in waiting] for waiting in self._waiting)
        for waiting in self._waiting:
            waiting.clear()
        return given_up
