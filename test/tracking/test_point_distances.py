import numpy as np
import pytest

from superpoint_rknn.tracking.point_distances import (
    apart,
    away,
    emptiest_first,
    nearest,
    newcomers,
)


def points(*pairs):
    return np.array(pairs, np.float32).reshape(-1, 2)


def test_nearest_takes_each_other_point_once_and_only_within_reach():
    tracks = points((10, 10), (12, 10), (50, 50))
    found = points((11.5, 10), (50, 53.5))
    assert nearest(tracks, found, 3).tolist() == [-1, 0, -1]
    assert nearest(tracks, found, 4).tolist() == [-1, 0, 1]
    assert nearest(tracks, points(), 3).tolist() == [-1, -1, -1]
    assert nearest(points(), found, 3).tolist() == []


def test_apart_keeps_the_earlier_of_two_and_what_only_a_dropped_one_was_near_to():
    chain = points((0, 0), (8, 0), (16, 0), (24, 0))
    assert apart(chain, 10).tolist() == [True, False, True, False]
    assert apart(chain, 8).all()  # exactly so far apart is far enough
    assert apart(chain, 0).all()
    assert apart(points(), 10).tolist() == []


@pytest.mark.parametrize('seed', range(5))
def test_apart_is_the_greedy_choice(seed):
    crowd = np.random.default_rng(seed).uniform(0, 100, (150, 2)).astype(np.float32)
    kept = []
    for i, point in enumerate(crowd):
        if all(((point - crowd[j]) ** 2).sum() >= np.float32(81) for j in kept):
            kept.append(i)
    assert np.flatnonzero(apart(crowd, 9)).tolist() == kept


def test_the_emptiest_cells_come_first():
    taken = points((10, 10), (20, 10))  # two in the left half
    candidates = points((30, 10), (60, 10), (70, 10), (80, 10), (90, 10))
    order = emptiest_first(taken, candidates, (1, 2), (100, 100))
    # right half: ranks 0, 1, 2, 3; left half: 2, which comes before its equal further on
    assert order.tolist() == [1, 2, 0, 3, 4]


def test_away_is_at_least_that_far_from_all_others():
    others = points((10, 10), (80, 80))
    candidates = points((12, 10), (15, 10), (80, 74), (50, 50))
    assert away(candidates, others, 5).tolist() == [False, True, True, True]
    assert away(candidates, points(), 5).all()
    assert away(points(), others, 5).tolist() == []


def test_newcomers_keep_their_distance_and_are_no_more_than_asked_for():
    taken = points((10, 10))
    candidates = points((80, 10), (83, 10), (10, 80), (80, 80), (12, 20))
    sizes = ((2, 2), (100, 100))
    assert newcomers(taken, candidates, 9, 5, *sizes).tolist() == [0, 2, 3, 4]
    assert newcomers(taken, candidates, 2, 5, *sizes).tolist() == [0, 2]
    assert newcomers(taken, candidates, 0, 5, *sizes).tolist() == []
    assert newcomers(points(), candidates, 9, 1, *sizes).tolist() == [0, 2, 3, 4, 1]
    assert newcomers(taken, points(), 9, 5, *sizes).tolist() == []
