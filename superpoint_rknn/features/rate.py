"""Rate limiter, and detection of late images and of jumps, for image timestamps."""

from __future__ import annotations

SECOND = 1_000_000_000  # [ns]
MAX_GAP = SECOND  # [ns] between two images of one sequence
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

    def is_due(self, stamp_ns: int, rate: float, step_ns: int = 0) -> bool:
        """
        Return True if a period has passed since the last selected timestamp.

        rate: [Hz], above 0.
        step_ns: interval since the previous timestamp. If given, the timestamp nearest to the end
        of the period is due; otherwise the first one after it.
        """
        if self._last_ns is None or stamp_ns < self._last_ns:
            return True
        return stamp_ns + step_ns // 2 >= self._slot_ns + round(SECOND / rate)

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

    def select_if_due(self, stamp_ns: int, rate: float, step_ns: int = 0) -> bool:
        """Select a timestamp if it is due; return True if it was."""
        due = self.is_due(stamp_ns, rate, step_ns)
        if due:
            self.select(stamp_ns, rate)
        return due
