"""One-slot mailbox from the executor to the inference thread: drops old items, never blocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar('S', bound=Hashable)
T = TypeVar('T')


class Mailbox(Generic[S, T]):
    """
    One slot per camera or stereo pair that holds its newest item; one thread takes the items.

    Slots are served round-robin (least recently served first), so that a fast camera does not
    starve a slow one. Thread-safe.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: dict[S, T] = {}
        self._turns: dict[S, int] = {}  # slot: number of its last turn
        self._turn = 0
        self._busy_since: float | None = None
        self._closed = False

    def put(self, slot: S, item: T) -> T | None:
        """Put an item; return the older item that it replaces, or the item itself if closed."""
        with self._changed:
            if self._closed:
                return item
            replaced = self._items.get(slot)
            self._items[slot] = item
            self._changed.notify_all()
            return replaced

    def take(self) -> tuple[S, T] | None:
        """Mark the last taken item as done; wait for the next slot and item, None if closed."""
        with self._changed:
            self._busy_since = None
            self._changed.notify_all()
            while not self._items and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            slot = min(self._items, key=lambda slot: self._turns.get(slot, 0))
            self._turn += 1
            self._turns[slot] = self._turn
            self._busy_since = time.monotonic()
            return slot, self._items.pop(slot)

    def clear(self) -> list[tuple[S, T]]:
        """Remove all waiting items; return them with their slots."""
        with self._changed:
            items = list(self._items.items())
            self._items.clear()
            return items

    def wait_done(self, timeout: float) -> bool:
        """Wait until the last taken item is done; return False after `timeout` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy_since is None, timeout)

    def busy_for(self) -> float:
        """Return the time since the last item was taken [s]; 0 if it is done."""
        with self._changed:
            return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def close(self) -> None:
        """Close the mailbox: `take` returns None; waiting items remain until `clear`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
