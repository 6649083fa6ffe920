"""Selection of images by their timestamps: rate limits, late images and jumps."""

from __future__ import annotations

from collections import deque
from statistics import median

SECOND = 1_000_000_000  # [ns]
MAX_GAP = SECOND  # [ns] between two images of one sequence
STEPS = 15  # between images; their median is the period of the camera
HYSTERESIS = 0.6  # of the quotient of two rates, above 0.5, where rounding would flicker
MAX_LATE = 5  # late images in a row; more mean that the clock was set back


def jumps(last_ns: int | None, stamp_ns: int) -> bool:
    """
    Return True if timestamps run backwards or have a gap of more than MAX_GAP.

    All tracks end there, and estimators restart.
    last_ns: timestamp of the previous image; None if there is none.
    """
    return last_ns is not None and not last_ns <= stamp_ns <= last_ns + MAX_GAP


class StampOrder:
    """Find images that arrive late: after an image of the same camera with a later timestamp."""

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self._late = 0  # late images since the last one in order

    def late_by(self, stamp_ns: int) -> int:
        """
        Return by how much the next timestamp is before the newest one [ns]; 0: it is in order.

        Also 0 beyond MAX_GAP (a recording starts again) and after MAX_LATE late ones in a row (the
        clock was set back): from there on, later timestamps are in order.
        """
        late = 0 if self._newest_ns is None else self._newest_ns - stamp_ns
        if 0 < late <= MAX_GAP and self._late < MAX_LATE:
            self._late += 1
            return late
        self._newest_ns, self._late = stamp_ns, 0
        return 0


class RateLimiter:
    """Rate limiter: select timestamps at an average rate; restarts if they run backwards."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._slot_ns = 0  # ideal time of the last selected timestamp

    def is_due(self, stamp_ns: int, rate: float) -> bool:
        """
        Return True if a period has passed since the last selected timestamp.

        rate: [Hz], above 0.
        """
        if self._last_ns is None or stamp_ns < self._last_ns:
            return True
        return stamp_ns >= self._slot_ns + round(SECOND / rate)

    def select(self, stamp_ns: int, rate: float) -> None:
        """
        Record a timestamp as selected.

        If it is late by less than a period, the next one is due earlier by as much, which keeps
        the average rate.
        """
        period = round(SECOND / rate)
        if self._last_ns is None or not self._last_ns <= stamp_ns < self._slot_ns + 2 * period:
            self._slot_ns = stamp_ns
        else:
            self._slot_ns = max(self._slot_ns + period, stamp_ns - period // 2)
        self._last_ns = stamp_ns

    def select_if_due(self, stamp_ns: int, rate: float) -> bool:
        """Select a timestamp if it is due; return True if it was."""
        due = self.is_due(stamp_ns, rate)
        if due:
            self.select(stamp_ns, rate)
        return due


class EveryNth:
    """
    Select every n-th image of a camera, n = camera rate / wanted rate, rounded, at least 1.

    So the selected images are evenly spaced. Lost images count, as their timestamps show; if one
    would have been selected, the next image is, in its place.
    """

    def __init__(self) -> None:
        self.n = 1
        self._rate = 0.0  # [Hz] that `n` is for
        self._steps: deque[int] = deque(maxlen=STEPS)  # between images [ns]
        self._last: int | None = None  # timestamp of the last image [ns]
        self._count = 0  # of images since the last selected one

    @property
    def camera_rate(self) -> float | None:
        """Rate of the camera [Hz]; None until STEPS steps between images are known."""
        return SECOND / median(self._steps) if len(self._steps) == STEPS else None

    def select(self, stamp_ns: int, rate: float) -> bool:
        """
        Return True if the next image is selected; the first one is.

        stamp_ns: timestamp, later than that of the image before. rate: wanted [Hz]; 0: all images.
        """
        last, self._last = self._last, stamp_ns
        if last is None:
            return True
        self._steps.append(stamp_ns - last)
        period = median(self._steps)
        self._count += max(1, round((stamp_ns - last) / period))
        self.n = _every(SECOND / period, rate, self.n if rate == self._rate else None)
        self._rate = rate
        is_selected = self._count >= self.n
        if is_selected:
            self._count = 0
        return is_selected


def _every(camera_rate: float, rate: float, before: int | None) -> int:
    """Return n of EveryNth; it stays as `before` unless another is clearly nearer."""
    if rate <= 0:
        return 1
    quotient = camera_rate / rate
    if before is not None and abs(quotient - before) < HYSTERESIS:
        return before
    return max(1, round(quotient))
