"""Rows of one image of a stereo pair on which the points of the other one lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_SEEDS = 16  # matches of a fit
ITERATIONS = 6  # of the robust fit
RECTIFIED = 0.3  # [px] spread of the differences of rows of Lucas-Kanade in rectified images
MIN_SPREAD = 0.1  # [px] of residuals, of Lucas-Kanade
PLACE_TERMS = 6
PRIOR = 0.0001  # weight of small coefficients, per match
MAX_TOLERANCE = 3  # [px]


@dataclass(frozen=True)
class RowAlignment:
    """
    Model of the difference of rows, to - from, of the points of two images of a stereo pair.

    It is 0 in rectified images. Else a quadratic function of the place describes rotation and lens
    distortion, and a linear one of the difference of columns the inclination of the epipolar line,
    which depends on the place, too.
    """

    size: float  # [px] of the image; scales coordinates
    coefficients: np.ndarray  # (10,) [px]: of the place, of the inclination
    tolerance: int  # [px] of rows around the model in which matches are

    @classmethod
    def fit(cls, points: np.ndarray, matches: np.ndarray, size: float) -> RowAlignment:
        """
        Fit the model to matches, of which some may be wrong.

        points, matches: (N, 2) (x, y) in the two images [px]. If there are fewer than MIN_SEEDS,
        the rows are equal, within 1 px.
        """
        if len(points) < MIN_SEEDS:
            return cls(size, np.zeros(PLACE_TERMS + 4), 1)
        columns, difference = (matches - points).T.astype(np.float64)
        if _spread(difference) <= RECTIFIED:
            return cls(size, np.zeros(PLACE_TERMS + 4), 0)
        terms = _terms(points, columns, size)
        prior = np.diag([0, *[PRIOR * len(points)] * (PLACE_TERMS + 3)])
        coefficients = np.zeros(PLACE_TERMS + 4)
        coefficients[0] = np.median(difference)
        for _ in range(ITERATIONS):
            residuals = difference - terms @ coefficients
            spread = max(_spread(residuals), MIN_SPREAD)
            weighted = terms.T / (1 + np.square(residuals / (2 * spread)))  # Cauchy
            coefficients = np.linalg.solve(weighted @ terms + prior, weighted @ difference)
        spread = _spread(difference - terms @ coefficients)
        return cls(size, coefficients, min(round(3 * spread), MAX_TOLERANCE))

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """Return the rows per column along the epipolar lines of points, (N,)."""
        per_step = _terms(points, np.ones(len(points)), self.size)[:, PLACE_TERMS:]
        return per_step @ self.coefficients[PLACE_TERMS:]

    def rows(self, points: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the difference of rows of points at differences of columns, (N,) each [px]."""
        return _terms(points, columns, self.size) @ self.coefficients


def _terms(points: np.ndarray, columns: np.ndarray, size: float) -> np.ndarray:
    x, y = 2 * points.T.astype(np.float64) / size - 1
    place = [np.ones(len(points)), x, y, x * x, x * y, y * y]
    step = columns / (0.1 * size)
    return np.stack([*place, step, step * x, step * y, step * x * y], axis=1)


def _spread(residuals: np.ndarray) -> float:
    """Return the standard deviation of most values around 0."""
    return 1.48 * float(np.median(np.abs(residuals)))
