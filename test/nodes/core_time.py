"""Time that does not depend on what else a machine does."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path


def waits(process):
    """Time [ns] in which threads of a process have waited for a core, by the thread's id."""
    tasks, found = Path(f'/proc/{process}/task'), {}
    if process == os.getpid():
        threads = [str(thread.native_id) for thread in threading.enumerate()]
    else:
        threads = [file.name for file in tasks.glob('*')]  # none if it has ended
    for thread in threads:
        with suppress(OSError):  # the thread has ended
            found[thread] = int((tasks / thread / 'schedstat').read_text().split()[1])
    return found


class Stopwatch:
    """
    Measure time without that in which a process waited for a core.

    All threads of another process count. Of this process those of Python, since the one that waits
    may hold the GIL. process: its id.
    """

    def __init__(self, process):
        self._process = process
        self._waits, self._start = waits(process), time.monotonic()

    def lap(self):
        """Time [s] since the last lap; less if several threads waited at once."""
        before, start = self._waits, self._start
        self._waits, self._start = waits(self._process), time.monotonic()
        waited = sum(ns - before.get(thread, 0) for thread, ns in self._waits.items())
        return self._start - start - waited / 1e9
