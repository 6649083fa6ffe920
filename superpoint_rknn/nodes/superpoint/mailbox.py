"""Hand-over between the executor and the worker thread: bounded, never blocking the executor."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

T = TypeVar('T')


class Order(Protocol[T]):
    """What waits, and what of it comes next."""

    def put(self, slot: Hashable, item: T) -> T | None:
        """Add an item of a slot; returns the one that gives way, if any."""
        ...

    def pop(self) -> T | None:
        """Take the next item; None if there is none."""
        ...

    def clear(self) -> list[T]:
        """Take all items."""
        ...


class NewestInTurn(Generic[T]):
    """One item of each slot, the newest; next is that of the slot whose turn is longest ago."""

    def __init__(self):
        self._items: dict[Hashable, T] = {}
        self._turns: dict[Hashable, int] = {}  # number of each slot's last turn
        self._turn = 0

    def put(self, slot: Hashable, item: T) -> T | None:
        replaced = self._items.get(slot)
        self._items[slot] = item
        return replaced

    def pop(self) -> T | None:
        if not self._items:
            return None
        slot = min(self._items, key=lambda slot: self._turns.get(slot, 0))
        self._turn += 1
        self._turns[slot] = self._turn
        return self._items.pop(slot)

    def clear(self) -> list[T]:
        items = list(self._items.values())
        self._items.clear()
        return items


class AllInOrder(Generic[T]):
    """
    Every item, in the order in which they came; where too many wait, the newest gives way.

    depth: most that wait.
    """

    def __init__(self, depth: int):
        self.depth = depth
        self._items: deque[T] = deque()

    def put(self, slot: Hashable, item: T) -> T | None:
        if len(self._items) >= self.depth:
            return item
        self._items.append(item)
        return None

    def pop(self) -> T | None:
        return self._items.popleft() if self._items else None

    def clear(self) -> list[T]:
        items = list(self._items)
        self._items.clear()
        return items


class Mailbox(Generic[T]):
    """
    Items wait here until one thread takes them, one by one.

    order: of what waits.
    """

    def __init__(self, order: Order[T] | None = None):
        self._order: Order[T] = NewestInTurn() if order is None else order
        self._changed = threading.Condition()
        self._busy_since: float | None = None
        self._closed = False

    def put(self, slot: Hashable, item: T) -> T | None:
        """Leave an item of a slot; returns the one that gives way, or itself once closed."""
        with self._changed:
            if self._closed:
                return item
            given_up = self._order.put(slot, item)
            self._changed.notify_all()
            return given_up

    def take(self) -> T | None:
        """Wait for an item; None once closed. The item taken before counts as done."""
        with self._changed:
            self._busy_since = None
            self._changed.notify_all()
            while not self._closed:
                item = self._order.pop()
                if item is not None:
                    self._busy_since = time.monotonic()
                    return item
                self._changed.wait()
            return None

    def clear(self) -> list[T]:
        """Take back all that waits."""
        with self._changed:
            return self._order.clear()

    def wait_done(self, timeout: float) -> bool:
        """Wait until the item taken last is done; False if it isn't after `timeout` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy_since is None, timeout)

    def busy_for(self) -> float:
        """How long the item taken last is being worked on [s]; 0 if it is done."""
        with self._changed:
            return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def close(self) -> list[T]:
        """End `take` for good; returns what still waited."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._order.clear()
