"""Descriptors of tracks by key, of one number each."""

import numpy as np

from superpoint_rknn.tracking.reassociation import CAPACITY, Memory


def unit(*directions):
    return np.eye(4, dtype=np.float32)[list(directions)]


def keys(*values):
    return np.array(values, np.int64)


def test_a_track_is_new_once():
    memory = Memory()
    assert memory.describe(keys(5, 6), unit(0, 1), 'a').tolist() == [True, True]
    assert memory.describe(keys(6, 7), unit(1, 2), 'a').tolist() == [False, True]
    assert memory.describe(keys(6), unit(1), 'b').tolist() == [True]


def test_the_newest_track_keeps_a_place_that_two_share():
    memory = Memory()
    old, new = 5, 5 + CAPACITY
    assert memory.describe(keys(old), unit(0), 'a').tolist() == [True]
    # the older one counts as described, whatever the order
    assert memory.describe(keys(new, old), unit(1, 0), 'a').tolist() == [True, False]
    assert memory.describe(keys(old, new), unit(0, 1), 'a').tolist() == [False, False]
    memory.lose(keys(new), keys(77), keys(3), 10)
    row, identity, born = memory.recognise(unit(1), keys(12), 0)
    assert (row.tolist(), identity.tolist(), born.tolist()) == ([0], [77], [3])
