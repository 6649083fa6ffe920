"""Rate limiter, and detection of jumps, for image timestamps."""

from __future__ import annotations

SECOND = 1_000_000_000  # [ns]
MAX_GAP = SECOND  # [ns] between two images of one sequence


def jumps(last_ns: int | None, stamp_ns: int) -> bool:
    """
    Return True if timestamps run backwards or have a gap of more than MAX_GAP.

    All tracks end there, and estimators restart.
    last_ns: timestamp of the previous image; None if there is none.
    """
    return last_ns is not None and not last_ns <= stamp_ns <= last_ns + MAX_GAP


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
