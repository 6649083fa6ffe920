"""Stereo matches of a rectified pair with known disparity."""

import cv2
import numpy as np
import pytest

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.stereo import SEARCH_PERIOD, StereoMemory, match_stereo
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


@pytest.fixture(scope='module')
def photo(photographs):
    """Two photographs beside each other, (512, 1024) uint8."""
    names = ('camera.png', 'astronaut.png')
    return np.hstack([cv2.imread(str(photographs / name), cv2.IMREAD_GRAYSCALE) for name in names])


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


def visible(disparity):
    """True where a place is known and seen in the right image, too: none nearer is in front."""
    y, x = np.nonzero(np.isfinite(disparity))
    nearness = disparity[y, x]
    column = np.rint(x - nearness).astype(int)
    nearest = np.zeros((disparity.shape[0], disparity.shape[1] + 2))
    inside = column >= 0
    np.maximum.at(nearest, (y[inside], column[inside] + 1), nearness[inside])
    result = np.zeros(disparity.shape, bool)
    around = [nearest[y[inside], column[inside] + step] for step in (0, 1, 2)]
    result[y[inside], x[inside]] = np.max(around, axis=0) <= nearness[inside] + 1
    return result


def errors_of(tracks, found, disparity):
    """Distances to the true places, (N,) [px]: NaN if not found or unknown."""
    errors = np.full(len(tracks), np.nan)
    rows = rows_of(tracks, found)
    true = disparity[np.rint(tracks.y).astype(int), np.rint(tracks.x).astype(int)]
    errors[rows] = np.hypot(tracks.x[rows] - found.x - true[rows], tracks.y[rows] - found.y)
    return errors


def test_points_of_the_truth_are_found_and_occluded_ones_are_not(pair):
    left, right, disparity = pair
    disparity = np.where(np.isfinite(disparity), disparity, np.nan)
    kernel = np.ones((5, 5), np.uint8)
    known = np.nan_to_num(disparity, nan=1e6)
    spread = cv2.dilate(known, kernel) - cv2.erode(known, kernel)
    tracks = tracks_at(corners(left, 1000))
    place = np.rint(tracks.y).astype(int), np.rint(tracks.x).astype(int)
    # At depth edges it is not known to which of the surfaces a point belongs.
    is_clear = spread[place] <= 1.5
    is_visible = visible(disparity)[place]
    is_hidden = (
        cv2.dilate(visible(disparity).astype(np.uint8), kernel)[place] == 0
    ) & np.isfinite(disparity[place])
    assert (is_clear & is_visible).sum() > 200
    assert is_hidden.sum() > 5
    errors = errors_of(tracks, match_stereo(left, right, tracks, SETTINGS), disparity)
    assert np.mean(errors[is_clear & is_visible] < 1) > 0.93
    found = np.isfinite(errors)
    assert np.mean(errors[found & is_clear] < 1.5) > 0.98
    assert np.mean(found[is_hidden]) < 0.25


def scene(photo, near, far, shape=(400, 640)):
    """Left and right image: a square of 160 px with disparity `near` before a plane with `far`."""
    height, width = shape
    views = []
    for side in (0, 1):
        view = photo[:height, 100 + far * side : 100 + far * side + width].copy()
        x = 300 - near * side
        view[120:280, x : x + 160] = photo[300:460, 600:760]
        views.append(view)
    return views


def test_large_disparities_and_a_square_that_hides_points(photo):
    left, right = scene(photo, near=150, far=60)
    tracks = tracks_at([p for p in corners(left, 400) if p[0] > 75])
    rows = rows_of(tracks, found := match_stereo(left, right, tracks, SETTINGS))
    x, y = tracks.x, tracks.y
    # The square covers 150 to 310 in the right image, which the plane shows at 210 to 370.
    margin = 12
    inside = (np.abs(x - 380) < 80 - margin) & (np.abs(y - 200) < 80 - margin)
    beside = (np.abs(x - 380) > 80 + margin) | (np.abs(y - 200) > 80 + margin)
    hidden = beside & (np.abs(x - 290) < 80 - margin) & (np.abs(y - 200) < 80 - margin)
    seen = beside & ((np.abs(x - 290) > 80 + margin) | (np.abs(y - 200) > 80 + margin))
    assert min(inside.sum(), hidden.sum()) >= 5
    assert seen.sum() > 100
    disparity = np.full(len(tracks), np.nan)
    disparity[rows] = x[rows] - found.x
    assert np.mean(np.abs(disparity - 150)[inside] < 0.1) > 0.9
    assert np.mean(np.abs(disparity - 60)[seen] < 0.1) > 0.97
    assert not np.isfinite(disparity[hidden]).any()
    assert np.mean(np.abs(tracks.y[rows] - found.y) < 0.1) > 0.97


def test_cameras_in_the_opposite_order_and_above_each_other(photo):
    left, right = scene(photo, near=40, far=15)
    tracks = tracks_at([p for p in corners(left) if 60 < p[0] < 560])
    expected = match_stereo(left, right, tracks, SETTINGS)
    assert len(expected) > 0.8 * len(tracks)

    opposite = match_stereo(right, left, expected, SETTINGS)
    rows = rows_of(tracks, opposite)
    assert len(rows) > 0.95 * len(expected)
    np.testing.assert_allclose(opposite.x, tracks.x[rows], atol=1)

    turned = tracks_at(np.stack([tracks.y, tracks.x], axis=1))
    images = (np.ascontiguousarray(image.T) for image in (left, right))
    above = match_stereo(*images, turned, SETTINGS)
    assert len(above) > 0.95 * len(expected)
    _, a, b = np.intersect1d(above.id, expected.id, return_indices=True)
    np.testing.assert_allclose(above.y[a], expected.x[b], atol=0.1)


def test_images_that_are_not_rectified(pair):
    left, right, _ = pair
    height, width = left.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2.0, 1.01)  # [degrees], scale
    turn[:, 2] += 3, -9
    turned = cv2.warpAffine(right, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    tracks = tracks_at(corners(left))
    plain = match_stereo(left, right, tracks, SETTINGS)
    found = match_stereo(left, turned, tracks, SETTINGS)
    assert len(found) > 0.85 * len(plain)
    _, a, b = np.intersect1d(found.id, plain.id, return_indices=True)
    expected = cv2.transform(np.stack([plain.x, plain.y], axis=1)[None], turn)[0][b]
    errors = np.hypot(*(np.stack([found.x, found.y], axis=1)[a] - expected).T)
    assert np.mean(errors < 1) > 0.9


def test_rows_of_other_content_do_not_match(pair):
    left, right, _ = pair
    tracks = tracks_at(corners(left))
    found = match_stereo(left, right, tracks, SETTINGS)
    chosen = np.argmin(np.hypot(found.x - 370, found.y - 250))
    x, y = int(found.x[chosen]), int(found.y[chosen])
    moved = right.copy()  # around one point the scene is 5 px lower than it should be
    moved[y - 25 : y + 35, x - 30 : x + 30] = right[y - 30 : y + 30, x - 30 : x + 30]
    strict = match_stereo(left, moved, tracks, SETTINGS)
    assert len(strict) > 100
    assert found.id[chosen] not in strict.id


def test_matches_follow_and_lost_ones_return(photo):
    left, right = scene(photo, near=150, far=60)
    tracks = tracks_at([p for p in corners(left, 400) if p[0] > 75])
    memory = StereoMemory()
    first = match_stereo(left, right, tracks, SETTINGS, memory=memory)
    for far, share in ((61, 0.97), (62, 0.97), (70, 0.9)):  # the last is too far to follow
        left, right = scene(photo, near=150, far=far)
        found = match_stereo(left, right, tracks, SETTINGS, memory=memory)
        rows = rows_of(tracks, found)
        assert len(found) > 0.95 * len(first)
        disparity = tracks.x[rows] - found.x
        error = np.minimum(np.abs(disparity - 150), np.abs(disparity - far))
        assert np.mean(error < 0.1) > share
    assert len(match_stereo(left, np.zeros_like(right), tracks, SETTINGS, memory=memory)) == 0
    counts = [
        len(match_stereo(left, right, tracks, SETTINGS, memory=memory))
        for _ in range(SEARCH_PERIOD)
    ]
    assert counts == sorted(counts)  # each pair, the search of other tracks
    assert counts[0] < 0.3 * len(first)
    assert counts[-1] > 0.95 * len(first)
    new = tracks_at([p for p in corners(left, 400) if p[0] > 75])
    new.key[:] += 10_000
    assert len(match_stereo(left, right, new, SETTINGS, memory=memory)) > 0.95 * len(first)


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
