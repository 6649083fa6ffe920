"""Changes of light: matching two images, and tracks that survive them."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.tracking.light import brightness_ratio, match_light
from superpoint_rknn.tracking.tracker import Tracker

STEADY = np.repeat(np.linspace(40, 200, 64), 400).reshape(64, 400).astype(np.uint8)


@pytest.fixture(scope='module')
def grey(photograph):
    image = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    return cv2.resize(image, (900, 900), interpolation=cv2.INTER_AREA)


def view(grey, dx, gain=1.0, noise=2.0, seed=0):
    """View of 400x640, moved by dx to the left, in other light, with the noise of a sensor."""
    matrix = np.float64([[1, 0, 100 + dx], [0, 1, 300]])
    image = cv2.warpAffine(grey, matrix, (640, 400), flags=cv2.WARP_INVERSE_MAP)
    image = gain * image + np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def corners(image):
    found = cv2.goodFeaturesToTrack(image, 150, 0.01, 12)[:, 0]
    return Keypoints(*found.T.copy(), np.linspace(1, 0.1, len(found), dtype=np.float32))


@pytest.mark.parametrize('gain', [0.1, 0.5, 0.97, 1.0, 1.2])
def test_brightness_ratio(gain):
    assert brightness_ratio(STEADY, np.rint(gain * STEADY).astype(np.uint8)) == pytest.approx(
        gain, abs=0.01
    )


def test_a_bright_object_that_comes_into_view_is_not_a_change_of_light():
    with_object = STEADY.copy()
    with_object[:, :120] = 230
    assert with_object.mean() > 1.2 * STEADY.mean()
    assert brightness_ratio(STEADY, with_object) == 1


def test_black_and_saturated_blocks_have_no_ratio():
    black, white = np.zeros_like(STEADY), np.full_like(STEADY, 255)
    assert brightness_ratio(black, STEADY) == brightness_ratio(STEADY, white) == 1
    half_white = np.where(np.arange(400) < 160, 255, STEADY).astype(np.uint8)
    assert brightness_ratio(half_white, half_white // 2) == pytest.approx(0.5, abs=0.01)


def test_images_in_steady_light_are_returned_as_they_are():
    now = np.roll(STEADY, 3, axis=1)
    before, matched = match_light(STEADY, now)
    assert before is STEADY
    assert matched is now


def test_the_image_before_gets_the_brightness_of_the_new_one():
    now = np.rint(0.7 * STEADY).astype(np.uint8)
    before, matched = match_light(STEADY, now)
    assert matched is now
    assert np.abs(before.astype(int) - now).max() <= 1


def test_dark_images_get_more_contrast():
    dark = np.where(np.arange(400) % 100 < 50, 4, 14).astype(np.uint8) * np.ones((64, 1), np.uint8)
    before, now = match_light(dark, dark)
    # mean 9 and standard deviation 5 become 128 and 45
    assert np.unique(now).tolist() == [83, 173]
    np.testing.assert_array_equal(before, now)
    plain = np.full((64, 400), 100, np.uint8)
    assert np.unique(match_light(plain, plain)).tolist() == [128]


@pytest.mark.parametrize(
    'gains',
    [
        pytest.param((1, 0.4, 0.4, 1.0, 1.0), id='steps of exposure'),
        pytest.param((1, 0.1, 0.1, 0.1, 1.0), id='light off and on'),
        pytest.param((1, 0.25, 1, 0.25, 1, 0.25, 1), id='flicker'),
        pytest.param((0.3, 0.36, 0.43, 0.52, 0.62, 0.75, 0.9), id='steadily brighter'),
    ],
)
def test_tracks_survive_a_change_of_light(grey, gains):
    tracker = Tracker()
    for number, gain in enumerate(gains):
        image = view(grey, 3 * number, gain, seed=number)
        tracks = tracker.track(image, number, corners(image) if number == 0 else None)
        if number == 0:
            first = tracks
    assert len(first) > 80
    seen = first.x > 3 * number + 10
    assert np.isin(first.id[seen], tracks.id).mean() > 0.8
    moves = tracks.x - first.x[tracks.id]  # ids are 0, 1, 2, ... here
    assert np.median(np.abs(moves + 3 * number)) < 0.3


@pytest.mark.parametrize('gain', [0.1, 0.3])
def test_as_many_tracks_begin_in_the_dark(grey, gain):
    bright = view(grey, 0, noise=0)
    keypoints = corners(bright)
    tracks = Tracker().track(view(grey, 0, gain, noise=0), 0, keypoints)
    assert len(tracks) > 0.9 * len(Tracker().track(bright, 0, keypoints)) > 80
