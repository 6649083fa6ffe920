"""Per-camera image counters, stage timings (latency) and warnings, for /diagnostics and log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType

from superpoint_rknn.errors import one_line

# Arguments of a logger: 5 s between two equal messages. The default clock is that of the system:
# if it is set back, no message is logged until it has caught up.
THROTTLE: dict[str, Any] = {
    'throttle_duration_sec': 5.0,
    'throttle_time_source_type': Clock(clock_type=ClockType.STEADY_TIME),
}
LEAST_DESCRIPTORS = 0.5  # share of the expected ones, below which it is a warning
OUTCOMES = ('published', 'dropped', 'failed')
IRREGULAR = {  # counters of images, and what is wrong with these
    'restarts': 'header.stamp jumped, so that all tracks ended',
    'stamps_back': 'header.stamp ran backwards',
    'stamps_repeated': 'header.stamp was that of the previous image',
    'size_changes': 'height or width changed',
}


@dataclass(frozen=True)
class Report:
    """A snapshot of the counters."""

    counts: Counter[str]  # since the start
    recent: Counter[str]  # since the last report
    period: float  # [s] since the last report
    stages_ms: dict[str, float]  # smoothed duration of each stage [ms]


class ImageCounters:
    """
    Accounting of the images of one camera by outcome; thread-safe.

    An image is pending from `arrive` to `finish`, which counts its outcome and counts it as
    received: received = published + dropped + failed, always.
    """

    def __init__(self) -> None:
        self.lost_is_known = False  # True where lost images can be counted
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._pending = 0
        self._stages_ms: dict[str, float] = {}
        self._before: Counter[str] = Counter()
        self._since = time.monotonic()

    def arrive(self) -> None:
        """Count an image that arrived as pending."""
        with self._lock:
            self._counts['arrived'] += 1
            self._pending += 1

    def finish(self, outcome: str) -> None:
        """Count the outcome of a pending image, one of OUTCOMES."""
        with self._lock:
            self._counts[outcome] += 1
            self._pending -= 1

    def count(self, what: str, number: int = 1) -> int:
        """Add to another counter ('lost', 'descriptors', 'stamps_back', ...); return its value."""
        with self._lock:
            self._counts[what] += number
            return self._counts[what]

    def __getitem__(self, what: str) -> int:
        with self._lock:
            return self._counts[what]

    def stages(self, stages_ms: dict[str, float]) -> None:
        """Add the stage timings of an image [ms] to averages over about ten images."""
        with self._lock:
            for stage, duration in stages_ms.items():
                smooth = self._stages_ms.setdefault(stage, duration)
                self._stages_ms[stage] = smooth + 0.1 * (duration - smooth)

    def report(self) -> Report:
        """Return the counters since the start and since the last report."""
        with self._lock:
            now = time.monotonic()
            counts = self._counts.copy()
            counts['received'] = counts.pop('arrived', 0) - self._pending
            counts['pending'] = self._pending
            recent = counts.copy()
            recent.subtract(self._before)
            period, self._since, self._before = now - self._since, now, counts
            return Report(counts, recent, period, dict(self._stages_ms))


class PendingImage:
    """An image whose outcome is counted once, by whichever thread finishes it first."""

    def __init__(self, counters: ImageCounters):
        self._counters = [counters]  # empty if finished

    @property
    def finished(self) -> bool:
        """True if the outcome is counted."""
        return not self._counters

    def finish(self, outcome: str) -> None:
        """Count the outcome, unless one is counted."""
        try:
            counters = self._counters.pop()  # atomic
        except IndexError:
            return
        counters.finish(outcome)


class ImageWarnings:
    """
    Throttled warnings about the images of one camera, with the number of occurrences.

    log: logger of the node. topic: full name of the image topic.
    """

    def __init__(self, log: Any, topic: str, counters: ImageCounters):
        self._log = log
        self._topic = topic
        self._counters = counters
        self._last_stamp: int | None = None
        self._last_size: tuple[int, int] | None = None

    def check_stamp(self, stamp: int) -> None:
        """Warn if a stamp [ns] runs backwards or is repeated."""
        last, self._last_stamp = self._last_stamp, stamp
        if last is None or stamp > last:
            return
        before, now = divmod(last, 10**9), divmod(stamp, 10**9)
        if stamp == last:
            times, what = self._counters.count('stamps_repeated'), f'is repeated: {now}'
        else:
            times = self._counters.count('stamps_back')
            what = f'ran backwards from {before} to {now}'
        self._log.warning(
            f'{self._topic}: header.stamp {what} [s, ns] (seen {times} times)',
            **THROTTLE,
        )

    def check_size(self, size: tuple[int, int]) -> None:
        """Warn if the image size (height, width) [px] changed."""
        if self._last_size not in (None, size):
            times = self._counters.count('size_changes')
            self._log.warning(
                f'{self._topic}: height, width changed from {self._last_size} to {size} '
                f'(seen {times} times)',
                **THROTTLE,
            )
        self._last_size = size

    def warn(self, text: str) -> None:
        """Warn of the images; not throttled."""
        self._log.warning(f'{self._topic}: {text}')

    def warn_late(self, late: int) -> None:
        """Count and warn that an image was dropped; late: by how much an image is newer [ns]."""
        times = self._counters.count('late_images')
        self._log.warning(
            f'{self._topic}: image dropped: header.stamp is {late / 1e9:.3f} s before that of an '
            f'image that arrived earlier (seen {times} times)',
            **THROTTLE,
        )

    def warn_refused(self, error: Exception) -> None:
        """Warn that an image was refused; call it before the image is counted as failed."""
        self._log.warning(
            f'{self._topic}: image refused: {one_line(str(error))} '
            f'({self._counters["failed"] + 1} images failed so far)',
            **THROTTLE,
        )


def images_status(
    name: str,
    counters: ImageCounters,
    outputs: dict[str, str],
    details: dict[str, object],
    error_message: str | None = None,
    input_warning: str | None = None,
    descriptors_rate: float = 0.0,
    live_tracks: int | None = None,
    output_warning: str | None = None,
) -> DiagnosticStatus:
    """
    Return the status of one camera for /diagnostics.

    outputs: output topic: name of its counter; the rate of each is reported.
    details: further values; `runtime`, if given, is the hardware id.
    error_message: reason why the camera does not work now; None if it works.
    input_warning: what is wrong with the images that arrive, or why none do; None: nothing.
    descriptors_rate: expected rate of descriptors [Hz]; 0: none are expected.
    live_tracks: number of live tracks; None: the node does not track.
    output_warning: what the messages for an estimator lack; None: nothing.
    """
    report = counters.report()
    counts, recent = report.counts, report.recent
    level, message = DiagnosticStatus.OK, 'ok'
    if error_message:
        level, message = DiagnosticStatus.ERROR, error_message
    elif warning := (
        _warning(report, input_warning, descriptors_rate, live_tracks) or output_warning
    ):
        level, message = DiagnosticStatus.WARN, warning
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


def counts_of(status: DiagnosticStatus) -> dict[str, int]:
    """Return the values of a camera's status that are counts, by their keys."""
    return {entry.key: int(entry.value) for entry in status.values if entry.value.isdigit()}


def _warning(
    report: Report, input_warning: str | None, descriptors_rate: float, live_tracks: int | None
) -> str | None:
    """Return what is wrong with the images since the last report; None if nothing is."""
    recent = report.recent
    if recent['failed'] > 0:
        return f'{recent["failed"]} images failed in the last second'
    if input_warning:
        return input_warning
    if recent['unpaired'] > 0 and recent['published'] <= 0:
        return f'no pair: {recent["unpaired"]} images had no partner in the last second'
    if recent['received'] <= 0:
        return 'no images'
    for counter, what in IRREGULAR.items():
        if recent[counter] > 0:
            return f'irregular images: {recent[counter]} in the last second whose {what}'
    if recent['dropped'] > recent['published']:
        return f'{recent["dropped"]} of {recent["received"]} images dropped in the last second'
    if recent['late_keypoints'] > 0:
        return f'keypoints of {recent["late_keypoints"]} images were late in the last second'
    if live_tracks == 0:
        return 'no tracks'
    expected = min(descriptors_rate * report.period, recent['published'])
    if expected >= 2 and recent['descriptors'] < LEAST_DESCRIPTORS * expected:
        return (
            f'descriptors at {recent["descriptors"] / report.period:.1f} Hz, expected '
            f'{expected / report.period:.1f} Hz'
        )
    return None
