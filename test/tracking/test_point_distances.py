import numpy as np
import pytest

from superpoint_rknn.tracking.point_distances import (
    greedy_min_distance,
    is_far_from,
    mutual_nearest,
    near_pairs,
    select_new_tracks,
    sort_by_occupancy,
)


def points(*pairs):
    return np.array(pairs, np.float32).reshape(-1, 2)


def test_mutual_nearest_within_the_radius():
    tracks = points((10, 10), (12, 10), (50, 50))
    found = points((11.5, 10), (50, 53.5))
    assert mutual_nearest(tracks, found, 3).tolist() == [-1, 0, -1]
    assert mutual_nearest(tracks, found, 4).tolist() == [-1, 0, 1]
    assert mutual_nearest(tracks, points(), 3).tolist() == [-1, -1, -1]
    assert mutual_nearest(points(), found, 3).tolist() == []


def test_greedy_min_distance_of_a_chain():
    chain = points((0, 0), (8, 0), (16, 0), (24, 0))
    assert greedy_min_distance(chain, 10).tolist() == [True, False, True, False]
    assert greedy_min_distance(chain, 8).all()  # exactly this distance is enough
    assert greedy_min_distance(chain, 0).all()
    assert greedy_min_distance(points(), 10).tolist() == []


@pytest.mark.parametrize('seed', range(5))
def test_greedy_min_distance_equals_the_definition(seed):
    crowd = np.random.default_rng(seed).uniform(0, 100, (150, 2)).astype(np.float32)
    kept = []
    for i, point in enumerate(crowd):
        if all(((point - crowd[j]) ** 2).sum() >= np.float32(81) for j in kept):
            kept.append(i)
    assert np.flatnonzero(greedy_min_distance(crowd, 9)).tolist() == kept


def test_least_occupied_cells_come_first():
    taken = points((10, 10), (20, 10))  # two in the left half
    candidates = points((30, 10), (60, 10), (70, 10), (80, 10), (90, 10))
    order = sort_by_occupancy(taken, candidates, (1, 2), (100, 100))
    # right half: occupancy 0, 1, 2, 3; left half: 2, which comes before the later 2
    assert order.tolist() == [1, 2, 0, 3, 4]


def test_is_far_from():
    others = points((10, 10), (80, 80))
    candidates = points((12, 10), (15, 10), (80, 74), (50, 50))
    assert is_far_from(candidates, others, 5).tolist() == [False, True, True, True]
    assert is_far_from(candidates, points(), 5).all()
    assert is_far_from(points(), others, 5).tolist() == []


def test_select_new_tracks():
    taken = points((10, 10))
    candidates = points((80, 10), (83, 10), (10, 80), (80, 80), (12, 20))
    sizes = ((2, 2), (100, 100))
    assert select_new_tracks(taken, candidates, 9, 5, *sizes).tolist() == [0, 2, 3, 4]
    assert select_new_tracks(taken, candidates, 2, 5, *sizes).tolist() == [0, 2]
    assert select_new_tracks(taken, candidates, 0, 5, *sizes).tolist() == []
    assert select_new_tracks(points(), candidates, 9, 1, *sizes).tolist() == [0, 2, 3, 4, 1]
    assert select_new_tracks(taken, points(), 9, 5, *sizes).tolist() == []


def test_near_pairs_are_those_within_the_distance():
    a, b = points((0, 0), (10, 0), (50, 50)), points((13, 4), (0, 5.5), (10, 9), (0, 3), (15, 0))
    i, j, squared = near_pairs(a, b, 5)
    assert sorted(zip(i.tolist(), j.tolist(), squared.tolist(), strict=True)) == [
        (0, 3, 9),
        (1, 0, 25),  # exactly this distance is near
        (1, 4, 25),
    ]
    assert [len(part) for part in near_pairs(a, points(), 5)] == [0, 0, 0]


@pytest.mark.parametrize('seed', range(5))
def test_near_pairs_equal_the_definition(seed):
    a, b = np.random.default_rng(seed).integers(0, 40, (2, 60, 2)).astype(np.float32)
    i, j, squared = near_pairs(a, b, 7)
    table = ((a[:, None] - b) ** 2).sum(axis=2)
    assert sorted(zip(i, j, strict=True)) == list(zip(*np.nonzero(table <= 49), strict=True))
    assert (squared == table[i, j]).all()


def test_of_two_equal_neighbours_the_first_is_the_nearest():
    assert mutual_nearest(points((10, 10)), points((12, 10), (8, 10)), 3).tolist() == [0]
    assert mutual_nearest(points((12, 10), (8, 10)), points((10, 10)), 3).tolist() == [0, -1]
