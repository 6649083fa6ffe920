"""Tracks that slide off their point by less than the tolerance in each step."""

from itertools import pairwise

import numpy as np
import pytest

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.tracker import Tracker, TrackSettings

CAMERA = CameraModel([500, 0, 320, 0, 500, 200, 0, 0, 1], '', [])
IMAGE = np.zeros((400, 640), np.uint8)


def tracks_after(images, slide, camera_model=CAMERA, sliding=15, epipolar=1.0):
    """
    Tracks of a camera that moves sideways: 150 points at several depths move along their rows.

    The first `sliding` of them leave their rows, which are epipolar lines, by `slide` px per
    image, every second one upwards.
    Returns the ids of the tracks of the points in the first image and those in the last image.
    """
    rng = np.random.default_rng(0)
    start = rng.uniform((300, 20), (620, 380), (150, 2))
    number = np.arange(150)
    down = np.where(number % 2, -slide, slide) * (number < sliding)
    speed = np.stack([rng.uniform(-6, -2, 150), down], axis=1)
    # Exact positions are a degenerate case, which some builds of OpenCV solve badly.
    noise = rng.normal(0, 0.05, (images, 150, 2))
    places = [(start + i * speed + noise[i]).astype(np.float32) for i in range(images)]
    steps = pairwise(places)

    def track_points(before, now, points, forward_backward):
        old, new = next(steps)
        index = np.abs(points[:, None] - old).sum(axis=2).argmin(axis=1)
        return new[index], np.ones(len(points), bool)

    settings = TrackSettings(min_distance=0, min_texture=0, epipolar=epipolar)
    tracker = Tracker(settings, track_points)
    keypoints = Keypoints(*places[0].T.copy(), np.linspace(1, 0.1, 150, dtype=np.float32))
    first = tracker.track(IMAGE, 0, keypoints, camera_model)
    for number in range(1, images):
        last = tracker.track(IMAGE, number, None, camera_model)
    return first.id, last.id


def test_a_sliding_track_ends_and_no_other():
    # After seven images 4.2 px, a Sampson distance of 4.2 / sqrt(2) = 3.0; the tolerance is 1.5.
    first, last = tracks_after(12, 0.6)
    assert last.tolist() == first[15:].tolist()


def test_a_slower_one_ends_later():
    # After seven images 1.75 px, a Sampson distance of 1.2, where the tolerance is 1.5; after
    # fifteen 3.75 px, a distance of 2.7, where it is 2.
    first, last = tracks_after(14, 0.25)
    assert last.tolist() == first.tolist()
    first, last = tracks_after(20, 0.25)
    assert last.tolist() == first[15:].tolist()


def test_without_camera_model_or_tolerance_none_ends():
    for options in ({'camera_model': None}, {'epipolar': 0.0}):
        first, last = tracks_after(20, 0.6, **options)
        assert last.tolist() == first.tolist()


def test_a_test_without_a_common_motion_ends_no_track():
    first, last = tracks_after(12, 0.6, sliding=60)
    assert last.tolist() == first.tolist()


@pytest.mark.parametrize('images', [3, 30])
def test_tracks_at_their_points_remain(images):
    first, last = tracks_after(images, 0)
    assert last.tolist() == first.tolist()
