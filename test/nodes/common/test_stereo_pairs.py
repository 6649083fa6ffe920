"""Images of two cameras by letter and stamp: l3 is the left one at 3 ms."""

import pytest

from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs

MS = 1_000_000


def run(*images, depth=1, tolerance=5):
    """Pairs, and what was given up, in the order of events."""
    pairs = StereoPairs(tolerance * MS, depth)
    events = []
    for image in images:
        pair, left, right = pairs.add('lr'.index(image[0]), int(image[1:]) * MS, image)
        events += [f'-{gone}' for gone in left + right]
        if pair is not None:
            events.append('+'.join(pair))
    return events


@pytest.mark.parametrize(('first', 'second'), [('l0', 'r0'), ('r0', 'l0')])
def test_two_images_of_one_stamp_are_a_pair_left_first(first, second):
    assert run(first, second) == ['l0+r0']


@pytest.mark.parametrize(
    ('first', 'second'), [('l0', 'r5'), ('r5', 'l0'), ('r0', 'l5'), ('l5', 'r0')]
)
def test_images_that_differ_by_the_tolerance_are_a_pair_whichever_comes_first(first, second):
    left, right = sorted((first, second))
    assert run(first, second) == [f'{left}+{right}']


def test_the_tolerance_is_the_most_difference():
    assert run('l0', 'r6') == ['-l0']
    assert run('r0', 'l6') == ['-r0']
    assert run('r6', 'l0') == ['-l0']


def test_an_image_without_a_partner_gives_way_to_a_newer_one_of_its_camera():
    assert run('l0', 'l33', 'r33') == ['-l0', 'l33+r33']


def test_an_image_is_given_up_once_its_partners_camera_is_past_it():
    assert run('l0', 'r33', 'l33') == ['-l0', 'l33+r33']
    assert run('r33', 'l0', 'l33') == ['-l0', 'l33+r33']


def test_cameras_that_lag_find_their_partners_where_more_may_wait():
    lagging = ('l0', 'l33', 'l66', 'r0', 'r33', 'r66')
    assert run(*lagging, depth=3) == ['l0+r0', 'l33+r33', 'l66+r66']
    assert run(*lagging, depth=2) == ['-l0', '-r0', 'l33+r33', 'l66+r66']
    assert run('l0', 'l33', 'l66', 'r66', depth=3) == ['-l0', '-l33', 'l66+r66']


def test_stamps_that_run_back_are_joined_again():
    assert run('l99', 'l0', 'r0', depth=4) == ['-l99', 'l0+r0']
    assert run('r99', 'l0', 'r0', 'l33', 'r33', depth=4) == [
        *('-l0', '-r99'),
        *('-r0', 'l33+r33'),
    ]


def test_all_that_waits_is_given_up_at_once():
    pairs = StereoPairs(0, 2)
    pairs.add(1, 1, 'a')
    pairs.add(1, 2, 'b')
    assert pairs.clear() == ([], ['a', 'b'])
    assert pairs.add(0, 1, 'c') == (None, [], [])
