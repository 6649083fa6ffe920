"""Thread ownership of the NPU, and safe destruction of a context that is in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ThreadOwnership:
    """
    Restrict calls to the first thread that calls, while it is alive.

    Two threads in one context, or the destruction of a context in use, can crash the kernel. A
    blocked call can't be interrupted: its context is destroyed when the call returns, or never.

    name: of the owned resource, for error messages. destroy: releases it; called once.
    """

    def __init__(self, name: str, destroy: Callable[[], None]):
        self._name = name
        self._destroy: Callable[[], None] | None = destroy  # None once called
        self._lock = threading.Lock()
        self._owner: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Guard a call. Raises RuntimeError in threads other than the owner, and after `close`."""
        thread = threading.current_thread()
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f'thread {thread.name!r} called the NPU during a call of another thread; all '
                'calls must come from one thread'
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
        """Destroy the resource now, or when the current call returns. Thread-safe."""
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
