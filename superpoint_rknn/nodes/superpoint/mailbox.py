"""Hand-over from the executor to the inference thread: bounded, never blocking the executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar('S', bound=Hashable)
T = TypeVar('T')


class Mailbox(Generic[S, T]):
    """
    One slot per camera or stereo pair, which holds the newest item; one thread takes them.

    The slot whose last turn is longest ago is next, so that a fast camera does not starve a slow
    one.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: dict[S, T] = {}
        self._turns: dict[S, int] = {}  # number of each slot's last turn
        self._turn = 0
        self._busy_since: float | None = None
        self._closed = False

    def put(self, slot: S, item: T) -> T | None:
        """Leave an item; returns the older one that it replaces, or itself once closed."""
        with self._changed:
            if self._closed:
                return item
            replaced = self._items.get(slot)
            self._items[slot] = item
            self._changed.notify_all()
            return replaced

    def take(self) -> tuple[S, T] | None:
        """Wait for an item, with its slot; None once closed. The item taken before is done."""
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
        """Take back all items that wait, with their slots."""
        with self._changed:
            items = list(self._items.items())
            self._items.clear()
            return items

    def wait_done(self, timeout: float) -> bool:
        """Wait until the item taken last is done; False if it is not after `timeout` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy_since is None, timeout)

    def busy_for(self) -> float:
        """How long the item taken last is being worked on [s]; 0 if it is done."""
        with self._changed:
            return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def close(self) -> None:
        """End `take` for good; items that still wait are left to `clear`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
