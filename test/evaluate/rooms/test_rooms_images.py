"""Views of the rendered rooms, light, motion blur and the cache of sequences."""

import numpy as np
import pytest

from superpoint_rknn.evaluate.rooms import camera, exposure, sequences
from superpoint_rknn.evaluate.rooms.room import HALF_SIZE, PLANES, Room, cast
from superpoint_rknn.evaluate.rooms.sequences import DESCRIPTIONS, open_sequence
from superpoint_rknn.evaluate.rooms.truth import share_of_far_observations, true_positions
from superpoint_rknn.evaluate.scenes import SKIMAGE, scene_files
from superpoint_rknn.evaluate.tracks.features import corners
from superpoint_rknn.evaluate.tracks.metrics import TrackedPoints
from superpoint_rknn.tracking.tracker import Tracker

SECTIONS = ('scenes', 'other_views', 'posters')
needs_skimage = pytest.mark.skipif(
    any(
        file.locate() is None
        for section in SECTIONS
        for file in scene_files(section)
        if file.package == SKIMAGE
    ),
    reason='needs the pictures of requirements/images.txt',
)


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('rooms')


@pytest.fixture(scope='module')
def easy(cache):
    return open_sequence('easy', 0.5, cache)


def test_rays_meet_the_nearest_surface():
    """From the middle of the room: the walls at 4, 3 and 1.6 m, a panel at x = 2.4 before one."""
    directions = np.array([[-1, 0.1, 0], [0, 1, 0], [0, 0, -1], [2.4, 1.6, -0.4], [1, 0, 0]])
    depths, planes = cast(np.zeros(3), directions)
    np.testing.assert_allclose(depths, [4, 3, 1.6, 1, 4])
    assert planes.tolist() == [0, 3, 4, 6, 1]


def test_every_ray_meets_a_wall():
    rng = np.random.default_rng(0)
    for _ in range(5):
        origin = rng.uniform(-0.8, 0.8, 3) * HALF_SIZE
        rays = rng.normal(0, 1, (2000, 3)).astype(np.float32)
        depths, planes = cast(origin, rays)
        assert (planes >= 0).all()
        points = origin + depths[:, None] * rays
        assert (np.abs(points) < HALF_SIZE + 1e-3).all()


def test_a_mark_on_a_wall_is_rendered_where_its_projection_is():
    """Mark the only bright spot: without posters, on the wall x = 4 m that the camera faces."""
    room = Room([np.zeros((8, 8), np.uint8)], 0, 0.0)
    room._atlas[:] = room._half_atlas[:] = 0
    mark = np.array([4.0, 0.5, 0.3])
    wall = PLANES[1]
    assert wall.middle[0] == 4
    row = int((wall.half[2] - mark[2]) * 160 + room._tops[1])
    column = int((mark[1] + wall.half[1]) * 160 + 4)
    room._atlas[row - 2 : row + 2, column - 2 : column + 2] = 255
    room._half_atlas[row // 2 - 1 : row // 2 + 1, column // 2 - 1 : column // 2 + 1] = 255
    pose = np.eye(4)
    pose[:3, 3] = 0.4, -0.2, 0.1
    pose = pose @ camera.BODY_FROM_CAMERA
    view = room.render(pose)
    y, x = np.mgrid[: camera.SIZE[0], : camera.SIZE[1]]
    place = (x * view).sum() / view.sum(), (y * view).sum() / view.sum()
    expected = camera.project((mark - pose[:3, 3])[None] @ pose[:3, :3])[0]
    np.testing.assert_allclose(place, expected, atol=0.4)


def test_blur_of_a_rotation_about_the_vertical_axis_is_horizontal():
    """1 rad/s for 20 ms at a focal length of 400 px: 8 px, to both sides of a point."""
    view = np.zeros(camera.SIZE, np.float32)
    view[200, 320] = 900
    shown = exposure.blurred(view, np.array([0, 1.0, 0]), 0.02)
    assert shown.sum() == pytest.approx(900, rel=1e-4)
    columns = np.flatnonzero(shown[200] > 10)
    assert columns.tolist() == list(range(316, 325))
    assert not shown[198].any()


def test_noise_is_that_of_a_sensor():
    rng = np.random.default_rng(0)
    for grey, deviation in ((100, (4 + 6) ** 0.5), (200, (4 + 12) ** 0.5)):
        image = exposure.exposed(np.full((200, 200), grey, np.float32), 1.0, rng)
        assert image.mean() == pytest.approx(grey, abs=0.1)
        assert image.std() == pytest.approx(deviation, rel=0.03)


def test_changing_light_is_dark_bright_and_flickers():
    light = [exposure.changing_light(t / 20) for t in range(400)]
    steady = [exposure.steady_light(t / 20) for t in range(400)]
    ratio = np.divide(light, steady)
    assert ratio[125:170] == pytest.approx(0.1)
    assert ratio[222:231] == pytest.approx(1.9)
    assert (np.abs(np.diff(np.log(ratio[305:375]))) > 1).sum() >= 6
    assert 0.8 <= min(steady) <= max(steady) <= 1


@needs_skimage
def test_sequences_are_reproducible_and_shorter_ones_are_their_start(easy, cache, tmp_path):
    again = open_sequence('easy', 0.1, tmp_path)
    np.testing.assert_array_equal(again.images, easy.images[:2])
    stored = (cache / 'easy.npz').stat().st_mtime_ns
    assert len(open_sequence('easy', 0.2, cache).images) == 4
    assert (cache / 'easy.npz').stat().st_mtime_ns == stored  # read, not rendered
    assert easy.images.shape == (10, 400, 640)
    assert easy.stamps_ns[1] - easy.stamps_ns[0] == 50_000_000
    assert [p.name for p in cache.iterdir()] == ['easy.npz']


@needs_skimage
def test_a_cache_of_other_code_or_a_damaged_one_is_replaced(tmp_path, monkeypatch):
    first = open_sequence('easy', 0.1, tmp_path)
    monkeypatch.setattr(sequences, '_key', lambda name, pictures: 'another version')
    path = tmp_path / 'easy.npz'
    before = path.read_bytes()
    open_sequence('easy', 0.1, tmp_path)
    assert path.read_bytes() != before
    path.write_bytes(before[:1000])
    np.testing.assert_array_equal(open_sequence('easy', 0.1, tmp_path).images, first.images)


@needs_skimage
def test_elight_has_the_views_of_easy_in_other_light(easy, tmp_path):
    dark = open_sequence('elight', 0.5, tmp_path)
    np.testing.assert_array_equal(dark.camera_poses, easy.camera_poses)
    patch = np.s_[100:300, 200:440]
    correlation = np.corrcoef(dark.images[3][patch].ravel(), easy.images[3][patch].ravel())
    assert correlation[0, 1] > 0.95
    assert dark.images[0].mean() < 0.7 * easy.images[0].mean()


@pytest.mark.parametrize(('name', 'seconds'), [('slow', 1), ('easy', 0), ('easy', 21)])
def test_unknown_sequences_are_refused(name, seconds, tmp_path):
    with pytest.raises(ValueError, match=r'expected (one of easy|0\.05 to 20)'):
        open_sequence(name, seconds, tmp_path)


def test_tuning_shares_no_path_and_no_room_with_the_reported_sequences():
    tuning = DESCRIPTIONS['tuning']
    others = [d for name, d in DESCRIPTIONS.items() if name != 'tuning']
    assert all(d.room != tuning.room and d.path != tuning.path for d in others)


@needs_skimage
def test_surface_points_project_to_their_pixels(easy):
    pixels = np.array([[10.0, 20.0], [320.5, 200.25], [630.0, 390.0]])
    points = easy.surface_points(4, pixels)
    np.testing.assert_allclose(easy.project(4, points), pixels, atol=0.01)
    behind = 2 * easy.camera_poses[4][:3, 3] - points
    assert np.isnan(easy.project(4, behind)).all()


@needs_skimage
def test_tracks_are_near_the_truth_and_shifted_ones_are_not(easy):
    tracker, history = Tracker(), []
    for number, image in enumerate(easy.images):
        found = tracker.track(image, easy.stamps_ns[number], corners(image), camera.camera_model())
        history.append(TrackedPoints(found.id.copy(), np.stack([found.x, found.y], axis=1)))
    assert share_of_far_observations(easy, history) < 0.02
    truth = true_positions(easy, history)
    errors = np.linalg.norm(truth[9] - history[9].points, axis=1)
    assert np.median(errors) < 0.3
    for shown in history[::3]:  # 4 of 10 images
        shown.points[:] += [4.0, 0]
    assert share_of_far_observations(easy, history) == pytest.approx(0.4, abs=0.1)
