import cv2
import numpy as np
import pytest

from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.optical_flow import epipolar_inliers, lucas_kanade, min_eigenvalues
from superpoint_rknn.tracking.tracker import Tracker, TrackSettings

SIZE = 640, 400


@pytest.fixture(scope='module')
def grey(photograph):
    image = cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)
    return cv2.resize(image, (900, 900), interpolation=cv2.INTER_AREA)


def shifted(grey, dx, dy=0.0):
    """View of 400x640; what is at (x, y) in the view at rest is at (x - dx, y - dy)."""
    view = np.float64([[1, 0, 100 + dx], [0, 1, 300 + dy]])
    return cv2.warpAffine(grey, view, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def corners(image, most=150):
    found = cv2.goodFeaturesToTrack(image, most, 0.01, 12)[:, 0]
    return Keypoints(found[:, 0], found[:, 1], np.linspace(1, 0.1, len(found), dtype=np.float32))


def moved(keypoints, dx, dy=0.0):
    x, y = keypoints.x - np.float32(dx), keypoints.y - np.float32(dy)
    seen = (x >= 0) & (x <= SIZE[0] - 1) & (y >= 0) & (y <= SIZE[1] - 1)
    return Keypoints(x[seen], y[seen], keypoints.score[seen])


def row_of(tracks, track_id):
    return np.flatnonzero(tracks.id == track_id)[0]


def test_tracks_move_with_the_image(grey):
    tracker = Tracker(TrackSettings(min_distance=0))
    start = shifted(grey, 0)
    first = tracker.track(start, 0, corners(start))
    assert len(first) > 100
    assert first.id.tolist() == list(range(len(first)))
    assert set(first.age.tolist()) == {1}
    assert (np.diff(first.score) <= 0).all()
    for image in range(1, 6):
        tracks = tracker.track(shifted(grey, 3.3 * image, -2 * image), image)
    assert len(tracks) > 0.75 * len(first)
    assert set(tracks.age.tolist()) == {6}
    was = first.x[tracks.id], first.y[tracks.id]  # ids are 0, 1, 2, ... here
    assert np.median(np.abs(tracks.x - (was[0] - 16.5))) < 0.1
    assert np.median(np.abs(tracks.y - (was[1] + 10))) < 0.1
    assert np.array_equal(tracks.score, first.score[tracks.id])


def test_ages_order_and_unique_ids(grey):
    tracker, seen = Tracker(), {}
    base = corners(shifted(grey, 0), 400)
    for image in range(30):
        dx = 20 * np.sin(image / 4)
        tracks = tracker.track(shifted(grey, dx), image, moved(base, dx))
        assert (np.diff(tracks.age.astype(int)) <= 0).all()
        assert len(set(tracks.id.tolist())) == len(tracks)
        for track_id, age in zip(tracks.id.tolist(), tracks.age.tolist(), strict=True):
            assert seen.get(track_id, 0) + 1 == age  # present in every image since its first
            seen[track_id] = age
    assert tracker.counts['born'] == len(seen)
    assert max(seen.values()) == 30


def test_new_tracks_fill_empty_grid_cells_first(grey):
    settings = TrackSettings(max_tracks=8, min_distance=20, grid=(2, 4))
    y, x = np.mgrid[10:400:20, 10:640:20].reshape(2, -1).astype(np.float32)
    strong = np.where(x < 160, 0.9, 0.1).astype(np.float32)
    order = np.argsort(-strong, kind='stable')
    tracks = Tracker(settings).track(
        shifted(grey, 0), 0, Keypoints(x[order], y[order], strong[order])
    )
    cells = set(zip((tracks.x // 160).tolist(), (tracks.y // 200).tolist(), strict=True))
    assert len(tracks) == 8 == len(cells)


def test_snap_to_keypoints(grey):
    image = shifted(grey, 0)
    keypoints = corners(image, 60)
    beside = Keypoints(keypoints.x + np.float32(1), keypoints.y, keypoints.score)
    for gain, x in ((0.25, 0.25), (1.0, 1.0), (0.0, 0.0)):
        tracker = Tracker(TrackSettings(snap_radius=2, snap_gain=gain, epipolar=0))
        first = tracker.track(image, 0, keypoints)
        second = tracker.track(image, 1, beside)
        index = [row_of(first, i) for i in second.id if i < len(first)]
        change = second.x[: len(index)] - first.x[index]
        assert np.median(np.abs(change - x)) < 0.02
    far = Keypoints(keypoints.x + np.float32(3), keypoints.y, keypoints.score)
    tracker = Tracker(TrackSettings(snap_radius=2, snap_gain=1))
    first = tracker.track(image, 0, keypoints)
    second = tracker.track(image, 1, far)
    assert np.abs(second.x[: len(first)] - first.x).max() < 0.1


def test_forward_backward_test(grey):
    before = shifted(grey, 0)
    after = before.copy()
    after[:, 320:] = np.random.default_rng(0).integers(0, 255, (400, 320))
    points = corners(before)
    start = np.stack([points.x, points.y], axis=1)
    _, is_good = lucas_kanade(before, after, start, 1.0)
    assert is_good[start[:, 0] < 290].mean() > 0.95
    assert is_good[start[:, 0] > 350].mean() < 0.2
    _, is_good = lucas_kanade(before, after, start, 100.0)
    assert is_good[start[:, 0] > 350].mean() > 0.3


def scene(seed=0):
    """Projections of the points of a rigid scene in two images of a moving camera, f = 500 px."""
    rng = np.random.default_rng(seed)
    world = rng.uniform((-3, -2, 4), (3, 2, 9), (120, 3))
    rotation, _ = cv2.Rodrigues(np.array([0.01, -0.02, 0.015]))
    turned = world @ rotation.T + (0.2, 0.05, -0.1)
    project = [500 * p[:, :2] / p[:, 2:] + (320, 200) for p in (world, turned)]
    return (p.astype(np.float32) for p in project)


@pytest.mark.parametrize(
    'camera_model', [None, CameraModel([500, 0, 320, 0, 500, 200, 0, 0, 1], '', [])]
)
def test_moving_points_are_outliers(camera_model):
    before, now = scene()
    assert epipolar_inliers(before, now, 1.0, camera_model).mean() > 0.97
    now[:20, 1] += 12  # across the epipolar lines, which are nearly level
    is_inlier = epipolar_inliers(before, now, 1.0, camera_model)
    assert is_inlier[:20].mean() < 0.2
    assert is_inlier[20:].mean() > 0.97
    assert epipolar_inliers(before, now, 0, camera_model).all()
    assert epipolar_inliers(before[:15], now[:15], 1.0, camera_model).all()


@pytest.mark.parametrize(('offset', 'is_near'), [(1.2, True), (1.6, False)])
@pytest.mark.parametrize(
    'camera_model', [None, CameraModel([500, 0, 320, 0, 500, 200, 0, 0, 1], '', [])]
)
def test_the_tolerance_is_a_sampson_distance(camera_model, offset, is_near):
    # Across level epipolar lines an offset has a Sampson distance of offset / sqrt(2): 0.85, 1.13.
    rng = np.random.default_rng(0)
    before = rng.uniform((300, 20), (620, 380), (150, 2)).astype(np.float32)
    now = before - np.stack([rng.uniform(14, 40, 150), np.zeros(150)], axis=1).astype('f4')
    now[:2, 1] += (offset, -offset)
    is_inlier = epipolar_inliers(before, now, 1.0, camera_model)
    assert is_inlier[:2].tolist() == [is_near, is_near]
    assert is_inlier[2:].all()


@pytest.mark.parametrize(
    'camera_model', [None, CameraModel([500, 0, 320, 0, 500, 200, 0, 0, 1], '', [])]
)
def test_no_outliers_for_a_camera_at_rest(camera_model):
    before, _ = scene()
    assert epipolar_inliers(before, before.copy(), 1.0, camera_model).all()


def test_camera_almost_at_rest_and_moving_points():
    rng = np.random.default_rng(0)
    for _ in range(70):  # at the 63rd OpenCV 4.14 raises
        points = rng.integers(16, 200)
        before = rng.uniform(0, 600, (points, 2)).astype(np.float32)
        now = before + rng.normal(0, 0.02, (points, 2)).astype(np.float32)
        moves = rng.random(points) < 0.3
        now[moves] += rng.uniform(-8, 8, (moves.sum(), 2)).astype(np.float32)
        assert epipolar_inliers(before, now, 1.0)[~moves].mean() > 0.9


def descriptors_of(tracks):
    """Unit descriptors of scene points, by their numbers."""
    rows = np.random.default_rng(7).normal(size=(500, 64)).astype(np.float32)
    rows = rows[tracks]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_re_associated_track_keeps_id_and_age(grey):
    tracker = Tracker(TrackSettings(min_distance=5))
    image, dark = shifted(grey, 0), np.zeros((400, 640), np.uint8)
    keypoints = corners(image, 80)
    first = tracker.track(image, 10, keypoints)
    number = np.arange(len(keypoints))
    assert tracker.add_descriptors(10, keypoints.x, keypoints.y, descriptors_of(number), 'a') == 0
    assert len(tracker.track(dark, 11)) == 0
    moved_on = shifted(grey, 6)
    later = moved(keypoints, 6)
    number = number[keypoints.x - 6 >= 0]
    new = tracker.track(moved_on, 12, later)
    assert not set(new.id.tolist()) & set(first.id.tolist())
    # two images pass before the descriptors arrive
    tracker.track(shifted(grey, 8), 13)
    tracker.track(shifted(grey, 10), 14)
    recognised = tracker.add_descriptors(12, later.x, later.y, descriptors_of(number), 'a')
    assert recognised > 0.9 * len(later)
    assert tracker.counts['recognised'] == recognised
    tracks = tracker.track(shifted(grey, 12), 15)
    known = np.isin(tracks.id, first.id)
    assert known.sum() > 0.8 * recognised
    assert set(tracks.age[known].tolist()) == {6}
    assert set(tracks.age[~known].tolist()) <= {4}
    assert (np.diff(tracks.age.astype(int)) <= 0).all()
    rows = [row_of(first, i) for i in tracks.id[known]]
    assert np.median(np.abs(tracks.x[known] - (first.x[rows] - 12))) < 0.2
    assert len(set(tracks.id.tolist())) == len(tracks)
    assert set(tracks.key.tolist()) <= set(new.id.tolist())  # new since the gap


def test_ambiguous_or_foreign_descriptors_are_not_matched(grey):
    image, dark = shifted(grey, 0), np.zeros((400, 640), np.uint8)
    keypoints = corners(image, 60)
    number = np.arange(len(keypoints))
    alike = np.ones((len(keypoints), 64), np.float32) / 8

    def recognised(before, after, stamp=2, model='a'):
        tracker = Tracker()
        tracker.track(image, 0, keypoints)
        tracker.add_descriptors(0, keypoints.x, keypoints.y, before, 'a')
        tracker.track(dark, 1)
        tracker.track(image, 2, keypoints)
        return tracker.add_descriptors(stamp, keypoints.x, keypoints.y, after, model)

    good = descriptors_of(number)
    assert recognised(good, good) > 30
    assert recognised(alike, alike) == 0  # the ratio test fails
    assert recognised(good, descriptors_of(number + 100)) == 0
    assert recognised(good, good, model='b') == 0
    assert recognised(good, good, stamp=77) == 0


def test_track_does_not_continue_a_simultaneous_one(grey):
    tracker = Tracker(TrackSettings(min_distance=5))
    image = shifted(grey, 0)
    keypoints = corners(image, 60)
    number = np.arange(len(keypoints))
    tracker.track(image, 0, keypoints)
    # half of the points share their descriptor with one of the other half
    tracker.add_descriptors(0, keypoints.x, keypoints.y, descriptors_of(number % 30), 'a')
    assert tracker.counts['recognised'] == 0


def test_restart_by_call_and_by_another_image_size(grey):
    tracker = Tracker()
    image = shifted(grey, 0)
    first = tracker.track(image, 0, corners(image))
    small = image[:300].copy()
    second = tracker.track(small, 1, corners(small))
    assert second.id.min() > first.id.max()
    tracker.restart()
    third = tracker.track(small, 2, corners(small))
    assert third.id.min() > second.id.max()
    assert set(third.age.tolist()) == {1}


def test_images_without_texture_or_keypoints(grey):
    tracker = Tracker()
    dark = np.zeros((400, 640), np.uint8)
    nothing = Keypoints(*np.empty((3, 0), np.float32))
    assert len(tracker.track(dark, 0)) == 0
    assert len(tracker.track(dark, 1, nothing)) == 0
    tracker.add_descriptors(1, *np.empty((2, 0), np.float32), np.empty((0, 256), np.float32), 'a')
    image = shifted(grey, 0)
    assert len(tracker.track(image, 2, corners(image))) > 50


def test_max_tracks_can_be_lowered(grey):
    tracker = Tracker(TrackSettings(max_tracks=60))
    image = shifted(grey, 0)
    assert len(tracker.track(image, 0, corners(image))) == 60
    tracker.settings = TrackSettings(max_tracks=9)
    tracks = tracker.track(image, 1, corners(image))
    assert len(tracks) == 9
    assert set(tracks.age.tolist()) == {2}


@pytest.mark.parametrize(
    'bad', [{'max_tracks': 0}, {'grid': (0, 3)}, {'snap_gain': 1.5}, {'min_distance': np.nan}]
)
def test_setting_out_of_range_raises(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TrackSettings(**bad)


def test_no_track_begins_on_a_plain_area_or_an_edge():
    image = np.full((400, 640), 60, np.uint8)
    cv2.rectangle(image, (200, 100), (400, 300), 200, cv2.FILLED)
    x, y = np.float32([(100, 200), (300, 100), (400, 300)]).T  # plain, an edge, a corner
    points = np.stack([x, y], axis=1)
    plain, edge, corner = min_eigenvalues(image, points)
    assert plain == 0
    assert edge < 1e-6 < 0.1 < corner
    keypoints = Keypoints(x, y, np.float32([0.9, 0.8, 0.7]))
    tracks = Tracker().track(image, 0, keypoints)
    assert (tracks.x.tolist(), tracks.y.tolist()) == ([400], [300])
    assert len(Tracker(TrackSettings(min_texture=0)).track(image, 0, keypoints)) == 3


def test_min_eigenvalue_scales_with_the_contrast_squared(grey):
    points = np.float32([(100, 100), (320, 200), (500, 300)])
    image = shifted(grey, 0) // 2 * 2
    half = min_eigenvalues(image // 2, points) / min_eigenvalues(image, points)
    assert half == pytest.approx([0.25] * 3, rel=0.02)
