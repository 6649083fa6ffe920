"""What became of every image, how fast, and how it is told to the world."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

OUTCOMES = ('published', 'dropped', 'failed')


@dataclass(frozen=True)
class Report:
    """Counts at one moment."""

    counts: Counter[str]  # since the start
    recent: Counter[str]  # since the last report
    period: float  # [s] since the last report
    stages_ms: dict[str, float]  # smoothed duration of each stage [ms]


class ImageCounters:
    """
    Counts of what happened to the images of one camera; any thread may count.

    An image that arrived is open until its fate is settled. Those that are still open, waiting or
    being worked on, are pending and don't count as received yet, so that at any moment
    received = published + dropped + failed, unless an image got lost within.
    """

    def __init__(self):
        self.lost_is_known = False  # whether the middleware tells what never arrived
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._open = 0
        self._stages_ms: dict[str, float] = {}
        self._before: Counter[str] = Counter()
        self._since = time.monotonic()

    def arrive(self) -> None:
        """An image arrived."""
        with self._lock:
            self._counts['arrived'] += 1
            self._open += 1

    def finish(self, outcome: str) -> None:
        """An open image met one of FATES."""
        with self._lock:
            self._counts[outcome] += 1
            self._open -= 1

    def count(self, what: str, number: int = 1) -> int:
        """Add to another count, 'lost', 'descriptors', 'stamps_back', ...; returns it."""
        with self._lock:
            self._counts[what] += number
            return self._counts[what]

    def __getitem__(self, what: str) -> int:
        with self._lock:
            return self._counts[what]

    def stages(self, stages_ms: dict[str, float]) -> None:
        """Stage times of an image, smoothed over about the last ten [ms]."""
        with self._lock:
            for stage, duration in stages_ms.items():
                smooth = self._stages_ms.setdefault(stage, duration)
                self._stages_ms[stage] = smooth + 0.1 * (duration - smooth)

    def report(self) -> Report:
        """Counts until now, and since the last report."""
        with self._lock:
            now = time.monotonic()
            counts = self._counts.copy()
            counts['received'] = counts.pop('arrived', 0) - self._open
            counts['pending'] = self._open
            recent = counts.copy()
            recent.subtract(self._before)
            period, self._since, self._before = now - self._since, now, counts
            return Report(counts, recent, period, dict(self._stages_ms))


def images_status(
    name: str,
    counters: ImageCounters,
    outputs: dict[str, str],
    details: dict[str, object],
    error_message: str | None = None,
) -> DiagnosticStatus:
    """
    Status of whatever processes images, for /diagnostics.

    outputs: topics whose rate is told, and the count that each is the rate of.
    details: more to tell; `runtime`, if there, is the hardware's name.
    trouble: what keeps it from working now, if anything.
    """
    report = counters.report()
    counts, recent = report.counts, report.recent
    level, message = DiagnosticStatus.OK, 'ok'
    if error_message:
        level, message = DiagnosticStatus.ERROR, error_message
    elif recent['failed'] > 0:
        level, message = DiagnosticStatus.WARN, f'{recent["failed"]} images failed lately'
    elif recent['unpaired'] > 0 and recent['published'] <= 0:
        level = DiagnosticStatus.WARN
        message = f'no pair: {recent["unpaired"]} images lately had no partner'
    elif recent['received'] <= 0:
        level, message = DiagnosticStatus.WARN, 'no images'
    first = ('received', *OUTCOMES, 'pending', 'lost')
    values = {
        **{key: counts[key] for key in first},
        **{
            key: counts[key]
            for key in sorted(set(counts) | set(outputs.values()))
            if key not in first
        },
        'lost': counts['lost'] if counters.lost_is_known else 'unknown',
        **{f'{t}_hz': f'{recent[key] / report.period:.2f}' for t, key in outputs.items()},
        **{f'{stage}_ms': f'{duration:.3f}' for stage, duration in report.stages_ms.items()},
        **details,
    }
    return DiagnosticStatus(
        level=level,
        name=name,
        message=message,
        hardware_id=str(details.get('runtime', '')),
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
