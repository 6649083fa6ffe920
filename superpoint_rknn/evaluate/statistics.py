"""Means over pairs and their 95 % confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

METRICS = (
    *('rep3', 'mma3', 'h1', 'h3', 'h5', 'auc1', 'auc3', 'auc5'),
    *('localization_error', 'points', 'matches'),
)
DIFFERENCE_METRICS = ('rep3', 'mma3', 'h3', 'h5')  # 8 bits against float
RESAMPLES = 10_000
INTERVAL = (2.5, 97.5)  # [%]

# metric -> its values, (scenes, seeds); NaN where a pair has none
Measured = dict[str, np.ndarray]


def mean_and_interval(values: np.ndarray) -> tuple[float | None, list[float] | None]:
    """
    Mean over pairs and its 95 % interval, by bootstrap over scenes.

    Pairs of one scene are correlated, so whole scenes are resampled; percentile interval
    (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 13.3). NaN is a missing value.
    values: (scenes, seeds). The mean is None without values, the interval also for one scene.
    """
    valid = ~np.isnan(values)
    total, count = np.where(valid, values, 0).sum(1), valid.sum(1)
    if not count.any():
        return None, None
    mean = float(total.sum()) / int(count.sum())
    if len(values) < 2:
        return mean, None
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    totals, counts = total[drawn].sum(1), count[drawn].sum(1)
    means = totals[counts > 0] / counts[counts > 0]
    return mean, [float(end) for end in np.percentile(means, INTERVAL)]


def summary(measured: Measured) -> dict:
    """Mean of each metric and, as `intervals`, the 95 % intervals."""
    found = {metric: mean_and_interval(measured[metric]) for metric in METRICS}
    return {
        **{metric: mean for metric, (mean, _) in found.items()},
        'intervals': {metric: interval for metric, (_, interval) in found.items()},
    }


def difference(measured: Measured, reference: Measured) -> dict:
    """Mean and interval of the pairwise difference to another row, by metric."""
    differences = {}
    for metric in DIFFERENCE_METRICS:
        mean, interval = mean_and_interval(measured[metric] - reference[metric])
        differences[metric] = {'difference': mean, 'interval': interval}
    return differences


def by_scene(measured: Measured, names: list[str]) -> list[dict]:
    """Mean of each metric for each scene."""
    rows = []
    for index, name in enumerate(names):
        means = {m: mean_and_interval(measured[m][index : index + 1])[0] for m in METRICS}
        rows.append({'name': name, **means})
    return rows


def without_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values as JSON has them: None for NaN and infinity."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
