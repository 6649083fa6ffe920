"""Medians and intervals over runs."""

import numpy as np
import pytest

from superpoint_rknn.vio.statistics import median_and_interval


def test_median_of_all_runs():
    median, (low, high) = median_and_interval(np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]))

    assert median == 5
    assert (low, high) == (2, 8)  # all three starts drawn are the first or the last


def test_interval_is_narrower_than_the_runs():
    median, (low, high) = median_and_interval(np.repeat(np.arange(11.0)[:, None], 3, axis=1))

    assert median == 5
    assert 1 <= low <= 3
    assert 7 <= high <= 9


def test_equal_runs_have_no_interval():
    assert median_and_interval(np.full((10, 3), 0.25)) == (0.25, [0.25, 0.25])


def test_one_start_has_no_interval():
    assert median_and_interval(np.array([[1.0, 3.0]])) == (2.0, None)


def test_some_failed_runs_only_widen_the_interval():
    median, (low, high) = median_and_interval(np.array([[1.0], [1], [1], [np.inf]]))

    assert (median, low) == (1, 1)
    assert high is None


def test_no_median_if_most_runs_have_failed():
    median, interval = median_and_interval(np.array([[1.0], [np.inf], [np.inf]]))

    assert median is None
    assert interval[0] == pytest.approx(1)
