"""Time that does not depend on what else a machine does."""

import threading
import time
from contextlib import suppress
from pathlib import Path


class Stopwatch:
    """
    Time that a process takes, without that in which its threads waited for a core.

    The time in which the calling thread waited for one does not count either. The kernel adds a
    wait when it ends, so only the sum over the whole time is right, not that of a part.
    process: its id.
    """

    def __init__(self, process):
        self._tasks = Path(f'/proc/{process}/task')
        self._own = Path(f'/proc/self/task/{threading.get_native_id()}')
        self._waits = {}  # [ns] by thread, also of threads that have ended
        self._update()
        self._waited, self._start = sum(self._waits.values()), time.monotonic()

    def read(self):
        """
        Time [s] since the start; less if several threads waited at once.

        Call it often: what a thread waited between the last call and its end is not known.
        """
        end = time.monotonic()
        self._update()
        waited = sum(self._waits.values()) - self._waited
        return max(0.0, end - self._start - waited / 1e9)

    def _update(self):
        for thread in (self._own, *self._tasks.glob('*')):  # without tasks if it has ended
            with suppress(OSError):  # the thread has ended
                self._waits[thread] = int((thread / 'schedstat').read_text().split()[1])
