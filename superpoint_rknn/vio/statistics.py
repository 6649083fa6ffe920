"""Medians over runs and their 95 % intervals."""

from __future__ import annotations

import numpy as np

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)  # [%]


def median_and_interval(values: np.ndarray) -> tuple[float | None, list[float | None] | None]:
    """
    Median over all runs and its 95 % interval, by bootstrap over starts.

    Runs from the same start have the same images, so whole starts are resampled; percentile
    interval (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 13.3).

    values: (starts, seeds); infinite for a failed run. The median, or an end of the interval, is
    None if it is infinite: too many runs have failed. The interval is None for one start.
    """
    median = _finite(np.median(values))
    if len(values) < 2:
        return median, None
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    medians = np.sort(np.median(values[drawn].reshape(RESAMPLES, -1), axis=1))
    # Without interpolation, which would make no number of an infinite value
    ends = (medians[round(share / 100 * (RESAMPLES - 1))] for share in INTERVAL)
    return median, [_finite(end) for end in ends]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
