"""A clock that stands still while this process does: stopped (SIGSTOP), or without CPU time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MAX_STEP = 1.5  # [s] between two readings that counts as running; timers read it once a second


class RunningClock:
    """
    Steady clock [s] for what should happen while this process runs. Thread-safe.

    Something has to read it at least once a second: a longer interval between two readings counts
    as MAX_STEP, since the process, or the thread that reads the clock, did not run meanwhile.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._read = clock()
        self._time = 0.0
        self._gap = 0.0

    def __call__(self) -> float:
        """Return the time [s]."""
        with self._lock:
            before, self._read = self._read, self._clock()
            self._time += min(self._read - before, MAX_STEP)
            self._gap = max(self._gap, self._read - before)
            return self._time

    def take_gap(self) -> float:
        """Return the longest interval between two readings since the last call [s]."""
        self()
        with self._lock:
            gap, self._gap = self._gap, 0.0
            return gap
