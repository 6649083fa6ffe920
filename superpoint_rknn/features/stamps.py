"""Stamps of images [ns], and choices among them."""

from __future__ import annotations

SECOND = 1_000_000_000  # [ns]
LONGEST_STEP = SECOND  # [ns] between two images of one sequence


def jumps(last: int | None, stamp: int) -> bool:
    """Whether stamps [ns] run back or leave a gap: tracks end and estimators start anew there."""
    return last is not None and not last <= stamp <= last + LONGEST_STEP


class Cadence:
    """Which moments [ns] come at least a period after the last chosen one; or before it."""

    def __init__(self):
        self._last: int | None = None

    def is_due(self, moment: int, rate: float) -> bool:
        """Whether to choose a moment, for a rate [Hz] above 0."""
        last = self._last
        return last is None or moment < last or moment - last >= round(SECOND / rate)

    def choose(self, moment: int) -> None:
        """Count the next period from here."""
        self._last = moment
