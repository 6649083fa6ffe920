"""What became of every image, how fast, and how it is told to the world."""

from __future__ import annotations

import threading
import time
from collections import Counter

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

FATES = ('published', 'dropped', 'failed')


class Accounting:
    """
    Counts of what happened to the images of one camera; any thread may count.

    An image counts as received once its fate is known, so that at any moment
    received = published + dropped + failed.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._stages_ms: dict[str, float] = {}
        self._before: Counter[str] = Counter()
        self._since = time.monotonic()

    def count(self, what: str, number: int = 1) -> None:
        """Add to a count: one of FATES, 'lost', 'descriptors', 'stamps_back', ..."""
        with self._lock:
            self._counts[what] += number

    def __getitem__(self, what: str) -> int:
        with self._lock:
            return self._counts[what]

    def stages(self, stages_ms: dict[str, float]) -> None:
        """Stage times of an image, smoothed over about the last ten [ms]."""
        with self._lock:
            for stage, duration in stages_ms.items():
                smooth = self._stages_ms.setdefault(stage, duration)
                self._stages_ms[stage] = smooth + 0.1 * (duration - smooth)

    def report(self) -> tuple[Counter[str], Counter[str], float, dict[str, float]]:
        """Counts since the start, and since the last report how long ago [s]; stage times [ms]."""
        with self._lock:
            now = time.monotonic()
            counts = self._counts.copy()
            counts['received'] = sum(counts[fate] for fate in FATES)
            recent = counts.copy()
            recent.subtract(self._before)
            period, self._since, self._before = now - self._since, now, counts
            return counts, recent, period, dict(self._stages_ms)


def status_of(
    name: str, accounting: Accounting, runtime: str, model: str, trouble: str | None = None
) -> DiagnosticStatus:
    """
    Status of one camera for /diagnostics.

    trouble: what keeps the engine from working now, if anything.
    """
    counts, recent, period, stages_ms = accounting.report()
    level, message = DiagnosticStatus.OK, 'ok'
    if trouble:
        level, message = DiagnosticStatus.ERROR, trouble
    elif recent['failed'] > 0:
        level, message = DiagnosticStatus.WARN, f'{recent["failed"]} images failed lately'
    elif recent['received'] <= 0:
        level, message = DiagnosticStatus.WARN, 'no images'
    values = {
        **{key: counts[key] for key in ('received', *FATES, 'lost', 'descriptors')},
        **{key: counts[key] for key in sorted(counts) if key not in ('received', *FATES)},
        'keypoints_hz': f'{recent["published"] / period:.2f}',
        'descriptors_hz': f'{recent["descriptors"] / period:.2f}',
        **{f'{stage}_ms': f'{duration:.3f}' for stage, duration in stages_ms.items()},
        'runtime': runtime,
        'model': model,
    }
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id=runtime,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
