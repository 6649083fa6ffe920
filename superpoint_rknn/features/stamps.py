"""Stamps of images [ns]."""

from __future__ import annotations

LONGEST_STEP = 1_000_000_000  # [ns] between two images of one sequence


def jumps(last: int | None, stamp: int) -> bool:
    """Whether stamps [ns] run back or leave a gap: tracks end and estimators start anew there."""
    return last is not None and not last <= stamp <= last + LONGEST_STEP
