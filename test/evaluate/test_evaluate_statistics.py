import numpy as np
import pytest

from superpoint_rknn.evaluate.statistics import (
    METRICS,
    by_scene,
    difference,
    mean_and_interval,
    summary,
)

NAN = float('nan')


def test_the_interval_of_equal_scenes_is_empty():
    assert mean_and_interval(np.full((4, 3), 0.25)) == (0.25, [0.25, 0.25])


def test_the_bootstrap_resamples_scenes_and_not_pairs():
    # Of two scenes, a quarter of the resamples has only the first, a quarter only the second.
    assert mean_and_interval(np.array([[0.0] * 100, [1.0] * 100])) == (0.5, [0, 1])
    spread_within = np.tile([0.0, 1.0], (2, 50))
    assert mean_and_interval(spread_within) == (0.5, [0.5, 0.5])


def test_the_interval_equals_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(3)
    values = rng.uniform(size=(24, 13)) * rng.uniform(size=(24, 1))
    drawn = [values[rng.integers(0, 24, 24)].mean() for _ in range(5000)]
    mean, interval = mean_and_interval(values)
    assert mean == pytest.approx(values.mean())
    assert interval == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.006)
    assert mean_and_interval(values) == (mean, interval)


def test_pairs_without_a_value_are_ignored():
    mean, interval = mean_and_interval(np.array([[1.0, NAN], [NAN, NAN], [3.0, 5.0]]))
    assert mean == pytest.approx(3)
    assert interval == [1, 4]
    assert mean_and_interval(np.full((2, 2), NAN)) == (None, None)


def test_one_scene_has_no_interval():
    assert mean_and_interval(np.array([[1.0, 2.0]])) == (1.5, None)


def test_differences_are_computed_pair_by_pair():
    rng = np.random.default_rng(0)
    reference = {metric: rng.uniform(size=(24, 13)) for metric in METRICS}
    measured = {metric: values + 0.01 for metric, values in reference.items()}
    for entry in difference(measured, reference).values():
        assert entry['difference'] == pytest.approx(0.01)
        assert entry['interval'] == pytest.approx([0.01, 0.01])  # though each varies by far more


def test_summaries():
    measured = {metric: np.array([[0.0, 0.5], [1.0, 0.5]]) for metric in METRICS}
    row = summary(measured)
    assert row['rep3'] == 0.5
    assert set(row['intervals']) == set(METRICS)
    assert [scene['mma3'] for scene in by_scene(measured, ['a', 'b'])] == [0.25, 0.75]
