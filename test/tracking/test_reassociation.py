"""Ring buffer of descriptors by track key."""

import numpy as np

from superpoint_rknn.tracking.reassociation import CAPACITY, DescriptorMemory


def unit(*directions):
    return np.eye(4, dtype=np.float32)[list(directions)]


def keys(*values):
    return np.array(values, np.int64)


def test_track_is_new_once():
    memory = DescriptorMemory()
    assert memory.add_descriptors(keys(5, 6), unit(0, 1), 'a').tolist() == [True, True]
    assert memory.add_descriptors(keys(6, 7), unit(1, 2), 'a').tolist() == [False, True]
    assert memory.add_descriptors(keys(6), unit(1), 'b').tolist() == [True]


def test_newer_track_keeps_a_shared_row():
    memory = DescriptorMemory()
    old, new = 5, 5 + CAPACITY
    assert memory.add_descriptors(keys(old), unit(0), 'a').tolist() == [True]
    # the older one counts as described, in any order
    assert memory.add_descriptors(keys(new, old), unit(1, 0), 'a').tolist() == [True, False]
    assert memory.add_descriptors(keys(old, new), unit(0, 1), 'a').tolist() == [False, False]
    memory.add_lost(keys(new), keys(77), keys(3), 10)
    row, ids, born = memory.match(unit(1), keys(12), 0)
    assert (row.tolist(), ids.tolist(), born.tolist()) == ([0], [77], [3])
