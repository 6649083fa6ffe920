"""Stamps of images [ns], and choices among them."""

from __future__ import annotations

SECOND = 1_000_000_000  # [ns]
LONGEST_STEP = SECOND  # [ns] between two images of one sequence


def jumps(last: int | None, stamp: int) -> bool:
    """Whether stamps [ns] run back or leave a gap: tracks end and estimators start anew there."""
    return last is not None and not last <= stamp <= last + LONGEST_STEP


class RateLimiter:
    """Choice of moments [ns], at a rate on average; it begins anew where they run back."""

    def __init__(self):
        self._last: int | None = None
        self._slot = 0  # [ns] when the last one should have been

    def is_due(self, moment: int, rate: float, step: int = 0) -> bool:
        """
        Whether to choose a moment, for a rate [Hz] above 0: the first that is late enough.

        step: from the moment before [ns]; with it, the one nearest to when the next should be.
        """
        if self._last is None or moment < self._last:
            return True
        return moment + step // 2 >= self._slot + round(SECOND / rate)

    def choose(self, moment: int, rate: float) -> None:
        """
        Count a moment as chosen.

        One that comes late doesn't delay those after it, unless by a period and more.
        """
        period = round(SECOND / rate)
        if self._last is None or not self._last <= moment < self._slot + 2 * period:
            self._slot = moment
        else:
            self._slot = max(self._slot + period, moment - period // 2)
        self._last = moment

    def take(self, moment: int, rate: float, step: int = 0) -> bool:
        """Choose a moment if it is due; returns whether it was."""
        due = self.is_due(moment, rate, step)
        if due:
            self.choose(moment, rate)
        return due
