"""Stereo matches of a rectified pair with known disparity."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.stereo import match_stereo
from superpoint_rknn.tracking.tracker import TrackSettings
from superpoint_rknn.tracking.tracks import Tracks

SETTINGS = TrackSettings()


@pytest.fixture(scope='module')
def pair(photographs):
    """Left and right image of a rectified pair, and the left one's disparity [px]."""
    left, right = (
        cv2.imread(str(photographs / f'motorcycle_{side}.png'), cv2.IMREAD_GRAYSCALE)
        for side in ('left', 'right')
    )
    return left, right, np.load(photographs / 'motorcycle_disp.npz')['arr_0']


def tracks_at(points):
    """Tracks 100, 101, ... at points, (N, 2)."""
    count = len(points)
    return Tracks(
        np.arange(100, 100 + count, dtype=np.uint32),
        np.arange(1, 1 + count, dtype=np.uint32),
        *np.float32(points).T,
        np.linspace(1, 0, count, dtype=np.float32),
        np.arange(500, 500 + count),
    )


def corners(image, count=200):
    return cv2.goodFeaturesToTrack(image, count, 0.01, 12)[:, 0]


def rows_of(tracks, found):
    """Indices of the matched tracks."""
    _, rows, _ = np.intersect1d(tracks.id, found.id, return_indices=True)
    return rows


def test_matches_have_the_true_disparity(pair):
    left, right, disparity = pair
    tracks = tracks_at(corners(left))
    found = match_stereo(left, right, tracks, SETTINGS)
    rows = rows_of(tracks, found)
    assert len(rows) > 100
    for name in ('id', 'age', 'score', 'key'):
        assert np.array_equal(getattr(found, name), getattr(tracks, name)[rows])
    true = disparity[np.rint(tracks.y[rows]).astype(int), np.rint(tracks.x[rows]).astype(int)]
    known = np.isfinite(true)
    errors = np.hypot(tracks.x[rows] - found.x - true, tracks.y[rows] - found.y)[known]
    assert np.median(errors) < 0.5
    assert np.mean(errors < 2) > 0.9


def test_shifted_image_moves_all_points_equally(pair):
    left, _, _ = pair
    shifted = np.roll(left, (-2, -9), axis=(0, 1))
    tracks = tracks_at([p for p in corners(left) if min(p) > 30])
    found = match_stereo(left, shifted, tracks, SETTINGS)
    rows = rows_of(tracks, found)
    assert len(rows) > 0.9 * len(tracks)
    np.testing.assert_allclose(found.x, tracks.x[rows] - 9, atol=0.05)
    np.testing.assert_allclose(found.y, tracks.y[rows] - 2, atol=0.05)


def test_outliers_of_the_epipolar_test_are_removed(pair):
    left, right, _ = pair
    tracks = tracks_at(corners(left))
    anything = TrackSettings(epipolar=0)
    found = match_stereo(left, right, tracks, anything)
    chosen = np.argmin(np.hypot(found.x - 370, found.y - 250))
    x, y = int(found.x[chosen]), int(found.y[chosen])
    moved = right.copy()  # around one point the scene is 5 px lower than it should be
    moved[y - 25 : y + 35, x - 30 : x + 30] = right[y - 30 : y + 30, x - 30 : x + 30]
    loose = match_stereo(left, moved, tracks, anything)
    row = list(loose.id).index(found.id[chosen])
    assert loose.y[row] - found.y[chosen] == pytest.approx(5, abs=0.1)
    strict = match_stereo(left, moved, tracks, SETTINGS)
    assert len(strict) > 100
    assert found.id[chosen] not in strict.id


def test_epipolar_test_with_lens_distortion(pair):
    left, right, _ = pair
    height, width = left.shape
    matrix = np.array([[500.0, 0, width / 2], [0, 500, height / 2], [0, 0, 1]])
    coefficients = np.array([[-0.3, 0.1, 0, 0], [-0.1, 0, 0, 0]])
    views = []
    for image, d in zip((left, right), coefficients, strict=True):
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
        source = cv2.undistortPoints(
            grid.reshape(-1, 1, 2).astype(np.float64), matrix, d, None, matrix
        )
        source = source.reshape(height, width, 2).astype(np.float32)
        views.append(cv2.remap(image, source, None, cv2.INTER_LINEAR))
    camera_models = tuple(CameraModel(matrix, 'plumb_bob', d) for d in coefficients)
    tracks = tracks_at(corners(views[0]))
    everything = match_stereo(*views, tracks, TrackSettings(epipolar=0))
    known = match_stereo(*views, tracks, SETTINGS, camera_models)
    unknown = match_stereo(*views, tracks, SETTINGS)
    assert len(known) > 0.85 * len(everything)
    assert len(known) > len(unknown)


def test_no_tracks_and_images_of_different_sizes(pair):
    left, right, _ = pair
    assert len(match_stereo(left, right, tracks_at(np.empty((0, 2))), SETTINGS)) == 0
    with pytest.raises(ValueError, match=r'right image: .*\(100, 741\), expected'):
        match_stereo(left, right[:100], tracks_at(corners(left)), SETTINGS)
