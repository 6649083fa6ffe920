"""One silent camera of a stereo pair; images arrive at times that a hand can check."""

import pytest

from superpoint_rknn.nodes.common.pair_watch import PairWatch


class Node:
    """A node's topics and log."""

    def __init__(self):
        self.lines = []

    def resolve_topic_name(self, name):
        return f'/{name}'

    def get_logger(self):
        return self

    def info(self, text):
        self.lines.append(text)

    warning = info


class Pair:
    def __init__(self, fallback=False):
        self.node = Node()
        self.now = 100.0
        self.watch = PairWatch(self.node, ['left', 'right'], fallback, lambda: self.now)

    def images(self, seconds, *cameras):
        """Let images of some cameras arrive every half second."""
        for _ in range(round(2 * seconds)):
            self.now += 0.5
            for camera in cameras:
                self.watch.arrive(camera)


@pytest.mark.parametrize(
    ('fallback', 'rest'),
    [
        (False, 'those of /left/image wait for them; with mono_fallback they are processed alone'),
        (True, 'those of /left/image are processed alone'),
    ],
)
def test_the_silent_camera_is_named_and_logged_once(fallback, rest):
    pair = Pair(fallback)
    pair.images(2, 0)
    assert pair.watch.check() is None  # not yet
    pair.images(1, 0)
    assert pair.watch.check() == f'no images of /right/image for 3 s: {rest}'
    pair.images(4, 0)
    assert pair.watch.check() == f'no images of /right/image for 7 s: {rest}'
    pair.images(0.5, 0, 1)
    assert pair.watch.check() is None
    assert pair.node.lines == [
        f'no images of /right/image for 3 s: {rest}',
        'images of both /left/image and /right/image again',
    ]


def test_only_the_camera_that_sends_is_alone_and_only_on_request():
    for fallback in (False, True):
        pair = Pair(fallback)
        pair.images(3, 1)
        assert (pair.watch.is_alone(0), pair.watch.is_alone(1)) == (False, fallback)
        pair.watch.arrive(0)
        assert not pair.watch.is_alone(1)


def test_none_is_alone_while_both_are_silent_or_begin():
    pair = Pair(True)
    pair.images(5)
    assert pair.watch.check() is None
    pair.watch.arrive(0)
    assert not pair.watch.is_alone(0)  # the other one has two seconds, too
    pair.images(3, 0)
    assert pair.watch.is_alone(0)
    pair.watch.start()
    assert not pair.watch.is_alone(0)


def test_cameras_that_end_one_after_the_other_are_not_reported():
    pair = Pair()
    pair.images(1, 0, 1)
    pair.images(1, 0)
    pair.images(1.5)
    assert pair.watch.check() is None  # camera 1 for 2.5 s, camera 0 for 1.5 s
    pair.images(5)
    assert pair.watch.check() is None
    assert pair.node.lines == []


def test_no_camera_is_back_when_the_other_one_ends_too():
    pair = Pair()
    pair.images(3, 0)
    assert 'no images of /right/image' in pair.watch.check()
    pair.images(5)
    assert pair.watch.check() is None
    assert len(pair.node.lines) == 1


def test_a_slow_pair_is_complete():
    pair = Pair(True)
    for _ in range(4):
        pair.images(2.5)
        for camera in (0, 1):
            pair.watch.arrive(camera)
            assert not pair.watch.is_alone(camera)
            assert pair.watch.check() is None
