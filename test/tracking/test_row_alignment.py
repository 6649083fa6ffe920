"""Differences of rows of two images, fitted to matches with outliers."""

import numpy as np
import pytest

from superpoint_rknn.tracking.row_alignment import MIN_SEEDS, RowAlignment

SIZE = 640


def matches(count=100, outliers=0):
    """Points, matches whose rows are 5 + 0.02 x + 0.0001 x * dx lower, and the latter's truth."""
    rng = np.random.default_rng(0)
    points = rng.uniform((100, 0), (640, 400), (count, 2))
    columns = rng.uniform(-60, -10, count)
    rows = 5 + 0.02 * points[:, 0] + 0.0001 * points[:, 0] * columns
    found = points + np.stack([columns, rows], axis=1)
    found[:outliers, 1] += rng.uniform(-30, 30, outliers)
    return points, found, rows


@pytest.mark.parametrize('outliers', [0, 25])
def test_inclined_rows(outliers):
    points, found, rows = matches(outliers=outliers)
    alignment = RowAlignment.fit(points, found, SIZE)
    columns = (found - points)[:, 0]
    np.testing.assert_allclose(alignment.rows(points, columns), rows, atol=0.2)
    np.testing.assert_allclose(alignment.slopes(points), 0.0001 * points[:, 0], atol=0.01)
    assert alignment.tolerance <= 1
    # twice as near as all matches
    far = alignment.rows(np.array([[320.0, 200]]), np.array([-120.0]))
    assert far == pytest.approx(5 + 6.4 - 3.84, abs=0.5)


def test_rectified_rows():
    points, found, _ = matches()
    found[:, 1] = points[:, 1] + np.random.default_rng(1).normal(0, 0.15, len(points))
    alignment = RowAlignment.fit(points, found, SIZE)
    assert not alignment.coefficients.any()
    assert alignment.tolerance == 0


def test_scattered_rows_widen_the_search():
    points, found, _ = matches()
    found[:, 1] += np.random.default_rng(1).normal(0, 0.7, len(points))
    assert RowAlignment.fit(points, found, SIZE).tolerance == 2


def test_too_few_matches():
    points, found, _ = matches(MIN_SEEDS - 1)
    alignment = RowAlignment.fit(points, found, SIZE)
    assert not alignment.coefficients.any()
    assert alignment.tolerance == 1
