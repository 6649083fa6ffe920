"""Stereo pairs. Images are written as letter and stamp: l3 is the left one at 3 ms."""

import pytest

from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs

MS = 1_000_000


def run(*images, depth=1, tolerance=5):
    """Pairs ('l0+r0') and discarded images ('-l0'), in the order of events."""
    pairs = StereoPairs(tolerance * MS, depth)
    events = []
    for image in images:
        pair, left, right = pairs.add('lr'.index(image[0]), int(image[1:]) * MS, image)
        events += [f'-{discarded}' for discarded in left + right]
        if pair is not None:
            events.append('+'.join(pair))
    return events


@pytest.mark.parametrize(('first', 'second'), [('l0', 'r0'), ('r0', 'l0')])
def test_images_of_equal_stamp_are_a_pair_left_first(first, second):
    assert run(first, second) == ['l0+r0']


@pytest.mark.parametrize(
    ('first', 'second'), [('l0', 'r5'), ('r5', 'l0'), ('r0', 'l5'), ('l5', 'r0')]
)
def test_images_within_the_tolerance_are_a_pair_in_any_order(first, second):
    left, right = sorted((first, second))
    assert run(first, second) == [f'{left}+{right}']


def test_images_beyond_the_tolerance_are_no_pair():
    assert run('l0', 'r6') == ['-l0']
    assert run('r0', 'l6') == ['-r0']
    assert run('r6', 'l0') == ['-l0']


def test_a_newer_image_of_the_same_camera_replaces_one_without_a_partner():
    assert run('l0', 'l33', 'r33') == ['-l0', 'l33+r33']


def test_an_image_is_discarded_once_the_other_camera_is_past_its_stamp():
    assert run('l0', 'r33', 'l33') == ['-l0', 'l33+r33']
    assert run('r33', 'l0', 'l33') == ['-l0', 'l33+r33']


def test_a_deeper_queue_pairs_images_of_a_lagging_camera():
    lagging = ('l0', 'l33', 'l66', 'r0', 'r33', 'r66')
    assert run(*lagging, depth=3) == ['l0+r0', 'l33+r33', 'l66+r66']
    assert run(*lagging, depth=2) == ['-l0', '-r0', 'l33+r33', 'l66+r66']
    assert run('l0', 'l33', 'l66', 'r66', depth=3) == ['-l0', '-l33', 'l66+r66']


def test_pairing_continues_after_stamps_run_back():
    assert run('l99', 'l0', 'r0', depth=4) == ['-l99', 'l0+r0']
    assert run('r99', 'l0', 'r0', 'l33', 'r33', depth=4) == [
        *('-l0', '-r99'),
        *('-r0', 'l33+r33'),
    ]


def test_clear_returns_all_waiting_images():
    pairs = StereoPairs(0, 2)
    pairs.add(1, 1, 'a')
    pairs.add(1, 2, 'b')
    assert pairs.clear() == ([], ['a', 'b'])
    assert pairs.add(0, 1, 'c') == (None, [], [])


@pytest.mark.parametrize(
    ('images', 'difference'),
    [
        (['l0', 'r8', 'l100', 'r108'], 8),
        (['r0', 'l8', 'r100', 'l108'], -8),
        (['r8', 'l0', 'r108', 'l100'], 8),  # in any order of arrival
        (['l0', 'r33'], None),  # perhaps only lost
        (['l0', 'r0', 'l33', 'r33', 'l66', 'r74', 'l99'], None),  # as many pairs
        (['l0', 'r0', 'l33', 'r41', 'l66', 'r76'], 8),
        (['l0', 'l33', 'l66'], None),  # the other camera sends nothing
    ],
)
def test_the_difference_of_stamps_beyond_the_tolerance(images, difference):
    pairs = StereoPairs(5 * MS, 8)
    for image in images:
        pairs.add('lr'.index(image[0]), int(image[1:]) * MS, image)
    assert pairs.take_difference() == (None if difference is None else difference * MS)
    assert pairs.take_difference() is None
