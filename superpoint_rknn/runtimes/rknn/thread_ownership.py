"""Who may call the NPU, and when it may be let go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ownership:
    """
    Admits one thread, the first that asks, for as long as that thread lives.

    Two threads in one context can crash the kernel, and so can destroying a context that is in
    use. A call can't be interrupted, so a context whose call hangs is destroyed when that call
    returns, or never.

    name: of what is owned, for messages. destroy: lets it go; called once.
    """

    def __init__(self, name: str, destroy: Callable[[], None]):
        self._name = name
        self._destroy: Callable[[], None] | None = destroy
        self._lock = threading.Lock()
        self._owner: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Admit the owner's call; RuntimeError for another thread, or after `close`."""
        thread = threading.current_thread()
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f'thread {thread.name!r} called the NPU during a call of another thread'
            )
        try:
            if self._closed:
                raise RuntimeError(f'{self._name} is closed')
            if self._owner is None or not self._owner.is_alive():
                self._owner = thread
            if self._owner is not thread:
                raise RuntimeError(
                    f'thread {thread.name!r} called the NPU, which thread {self._owner.name!r} '
                    'owns; all calls must come from one thread'
                )
            yield
        finally:
            self._lock.release()
            if self._closed:
                self._destroy_if_idle()

    def close(self) -> None:
        """Let it go now, or when the call that is under way returns. Any thread may call this."""
        self._closed = True
        self._destroy_if_idle()

    def _destroy_if_idle(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            destroy, self._destroy = self._destroy, None
            if destroy is not None:
                destroy()
        finally:
            self._lock.release()
