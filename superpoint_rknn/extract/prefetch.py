"""Work that is done while what came before is still being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar('T')


def prefetch(items: Generator[T, None, None], depth: int = 2) -> Generator[T, None, None]:
    """
    Items of a generator that a thread goes through, up to `depth` of them ahead, in their order.

    The thread alone runs the generator, and closes it. An error arrives after the items before
    it. Closing waits for the item that is being made.
    """
    end = object()
    made: deque[Future] = deque()
    thread = ThreadPoolExecutor(1)
    try:
        made.extend(thread.submit(next, items, end) for _ in range(depth))
        while (item := made.popleft().result()) is not end:
            made.append(thread.submit(next, items, end))
            yield item
    finally:
        for unwanted in made:
            unwanted.cancel()
        thread.submit(items.close)
        thread.shutdown()
