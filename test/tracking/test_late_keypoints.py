"""Keypoints that arrive some images later: followed to the newest image, where tracks begin."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.tracking.late_keypoints import (
    MAX_BYTES,
    MAX_IMAGES,
    MAX_STEPS,
    RecentImages,
    follow,
)
from superpoint_rknn.tracking.optical_flow import lucas_kanade
from superpoint_rknn.tracking.tracker import Tracker, TrackSettings


@pytest.fixture(scope='module')
def view(photograph):
    """Function of dx; what is at (x, y) in the view of dx = 0 is at (x - dx, y). 240x320."""
    grey = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    return lambda dx: np.ascontiguousarray(grey[100:340, 80 + dx : 400 + dx])


def corners(image):
    x, y = cv2.goodFeaturesToTrack(image, 80, 0.01, 16)[:, 0].T
    return Keypoints(x, y, np.linspace(1, 0.1, len(x), dtype=np.float32))


def recent(count, size=1):
    images = RecentImages()
    for number in range(count):
        images.add(10 * number, np.full((1, size), number, np.uint8))
    return images


def numbers(images):
    return [int(image[0, 0]) for image in images]


def test_the_images_from_a_stamp_to_the_newest():
    images = recent(6)
    assert numbers(images.since(20)) == [2, 3, 4, 5]
    assert numbers(images.since(50)) == [5]
    assert images.since(25) == images.since(60) == RecentImages().since(0) == []


def test_many_images_are_passed_in_few_evenly_spaced_steps():
    assert MAX_STEPS == 8
    assert numbers(recent(17).since(0)) == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert len(recent(32).since(0)) == 9


def test_kept_images_are_bounded_in_number_and_memory():
    images = recent(MAX_IMAGES + 3)
    assert images.since(20) == []
    assert numbers(images.since(30))[0] == 3
    images = recent(6, size=MAX_BYTES // 4)
    assert images.since(10) == []
    assert numbers(images.since(20)) == [2, 3, 4, 5]
    images = recent(2, size=MAX_BYTES + 1)
    assert numbers(images.since(10)) == [1]
    assert images.since(0) == []


def test_follow_moves_points_and_leaves_out_lost_ones():
    def one_to_the_right(before, now, points, forward_backward):
        assert (int(now), forward_backward) == (int(before) + 1, 0.5)
        return points + np.float32([1, 0]), points[:, 0] < 7

    points = np.float32([[2, 0], [5, 0], [6, 0], [9, 0]])
    moved, index = follow([0, 1, 2, 3], points, one_to_the_right, 0.5)
    assert index.tolist() == [0]  # 9 is lost at once, 6 from 7 on, 5 likewise
    assert moved.tolist() == [[5, 0]]
    moved, index = follow([0], points, one_to_the_right, 0.5)
    assert moved.tolist() == points.tolist()
    assert index.tolist() == [0, 1, 2, 3]


def test_tracks_begin_in_the_image_after_late_keypoints(view):
    tracker = Tracker(TrackSettings(min_distance=4))
    for number in range(5):
        assert len(tracker.track(view(4 * number), number)) == 0
    keypoints = corners(view(0))
    begun = tracker.add_keypoints(0, keypoints)
    assert begun > 40
    assert tracker.counts == {'born': begun, 'born_late': begun, 'lost': 0, 'recognised': 0}
    tracks = tracker.track(view(20), 5)
    assert len(tracks) > 0.9 * begun
    assert set(tracks.age.tolist()) == {1}
    assert set(tracker.track(view(24), 6).age.tolist()) == {2}
    start = np.stack([tracks.x + 20, tracks.y], axis=1)
    found = np.stack([keypoints.x, keypoints.y], axis=1)
    errors = np.linalg.norm(start[:, None] - found, axis=2).min(axis=1)
    assert np.median(errors) < 0.1


def test_late_keypoints_at_live_tracks_begin_no_second_track(view):
    tracker = Tracker()
    keypoints = corners(view(0))
    first = tracker.track(view(0), 0, keypoints)
    tracker.track(view(4), 1)
    tracker.track(view(8), 2)
    assert tracker.add_keypoints(1, corners(view(4))) < 0.1 * len(first)
    tracker.settings = TrackSettings(max_tracks=1)
    assert tracker.add_keypoints(1, corners(view(4))) == 0


def test_only_keypoints_without_a_track_are_followed(view):
    followed = []

    def record(before, now, points, forward_backward):
        followed.append(len(points))
        return lucas_kanade(before, now, points, forward_backward)

    keypoints = corners(view(0))
    half = Keypoints(keypoints.x[::2], keypoints.y[::2], keypoints.score[::2])
    tracker = Tracker(TrackSettings(min_texture=0), record)
    first = tracker.track(view(0), 0, half)
    tracker.track(view(4), 1)
    followed.clear()
    tracker.add_keypoints(0, keypoints)
    assert followed == [len(keypoints.x) - len(first)]
    followed.clear()
    tracker.settings = TrackSettings(max_tracks=1)
    assert tracker.add_keypoints(0, keypoints) == 0
    assert followed == []


def test_keypoints_of_an_image_that_is_not_kept_begin_no_track(view):
    tracker = Tracker()
    tracker.track(view(0), 0)
    assert tracker.add_keypoints(9, corners(view(0))) is None
    tracker.restart()
    assert tracker.add_keypoints(0, corners(view(0))) is None


@pytest.mark.parametrize('late', [False, True])
def test_tracks_of_late_keypoints_are_described_and_found_again(view, late):
    """Descriptors come with the keypoints, of an image that is two images old."""
    tracker = Tracker()
    keypoints = corners(view(0))
    rows = np.eye(len(keypoints.x), dtype=np.float32)
    tracker.track(view(0), 0, None if late else keypoints)
    tracker.track(view(0), 1)
    if late:
        assert tracker.add_keypoints(0, keypoints) > 40
    tracker.add_descriptors(0, keypoints.x, keypoints.y, rows, 'model')
    before = tracker.track(view(0), 2)
    tracker.track(np.zeros((240, 320), np.uint8), 3)
    tracker.track(view(0), 4, keypoints)
    assert tracker.add_descriptors(4, keypoints.x, keypoints.y, rows, 'model') > 40
    after = tracker.track(view(0), 5)
    assert len(set(before.id) & set(after.id)) > 40
