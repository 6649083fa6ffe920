"""Read files in a thread, so that a dead mount or a slow disk does not block the executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from superpoint_rknn.errors import NotReadyError

READ_TIMEOUT = 5.0  # [s] after which files are given up
MAX_BLOCKED = 4  # reads of this process that were given up and have not returned

T = TypeVar('T')

_threads: list[threading.Thread] = []  # of all reads that may be blocked
_lock = threading.Lock()


class ReadTimeoutError(ValueError, NotReadyError):
    """Files could not be read in time."""


class BackgroundRead(Generic[T]):
    """
    A function that reads files, running in a thread of its own.

    A read that does not return can't be interrupted: it is given up after READ_TIMEOUT, and its
    daemon thread abandoned.

    read: the function. what: the files, for error messages.
    """

    def __init__(self, read: Callable[[], T], what: str):
        self._read = read
        self._what = what
        self._ended = threading.Event()
        self._deadline = time.monotonic() + READ_TIMEOUT
        self._value: list[T] = []
        self._error: Exception | None = None
        thread = threading.Thread(target=self._run, name='superpoint_read', daemon=True)
        with _lock:
            _threads[:] = [each for each in _threads if each.is_alive()]
            if len(_threads) > MAX_BLOCKED:
                self._error = ReadTimeoutError(
                    f'{what}: not read: {len(_threads)} earlier reads of files have not returned'
                )
                self._ended.set()
                return
            thread.start()
            _threads.append(thread)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` [s]; return True if `result` is known."""
        seconds = min(timeout, self._deadline - time.monotonic())
        return self._ended.wait(max(seconds, 0)) or time.monotonic() >= self._deadline

    def result(self) -> T:
        """Return what the function returned, or raise what it raised, once `wait` is True."""
        if not self._ended.is_set():
            raise ReadTimeoutError(
                f'{self._what}: not read within {READ_TIMEOUT:g} s: is the disk or mount dead?'
            )
        if self._error is not None:
            raise self._error
        return self._value[0]

    def _run(self) -> None:
        try:
            self._value.append(self._read())
        except Exception as error:  # of any kind: raised by `result`
            self._error = error
        self._ended.set()
