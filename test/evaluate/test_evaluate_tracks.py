"""`superpoint_rknn evaluate --tracks`: sequences, rows of the report, and the command."""

import json

import cv2
import numpy as np
import pytest

from superpoint_rknn import cli
from superpoint_rknn.evaluate.scenes import SKIMAGE, scene_files
from superpoint_rknn.evaluate.tracks import sequences, visp_images
from superpoint_rknn.evaluate.tracks.command import metrics_of, report_on, table, track_sequence
from superpoint_rknn.evaluate.tracks.features import OrbMatching, corners
from superpoint_rknn.evaluate.tracks.metrics import TrackedPoints
from superpoint_rknn.evaluate.tracks.room import HALF_SIZE, MATRIX, SIZE, pose, render
from superpoint_rknn.evaluate.tracks.sequences import ImageSequence, read_pose
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.tracking.tracker import Tracker

needs_skimage = pytest.mark.skipif(
    any(file.locate() is None for file in scene_files() if file.package == SKIMAGE),
    reason='needs the pictures of requirements/images.txt',
)
VISP = visp_images.find()


@pytest.fixture(scope='module')
def room():
    made = sequences.room()
    return ImageSequence(made.name, made.images[:14], made.matrix, made.poses[:14])


def test_the_room_is_rendered_at_the_projected_position():
    black = [np.zeros((100, 100), np.uint8) for _ in range(6)]
    black[4][10:12, 90:92] = 255  # a spot on the far wall
    spot = np.array(
        [(91 / 100 * 2 - 1) * HALF_SIZE[0], (11 / 100 * 2 - 1) * HALF_SIZE[1], HALF_SIZE[2]]
    )
    for number in (0, 7, 30):
        there = pose(number)
        x, y, z = MATRIX @ (there[:3, :3] @ spot + there[:3, 3])
        moments = cv2.moments(render(black, there))
        place = moments['m10'] / moments['m00'], moments['m01'] / moments['m00']
        assert place == pytest.approx((x / z, y / z), abs=0.3)


def test_the_free_standing_photograph_occludes_the_wall():
    photographs = [np.full((50, 50), value, np.uint8) for value in (10, 20, 30, 40, 50, 200)]
    shown = render(photographs, np.eye(4))
    assert shown[:, 0].max() <= 40  # the side walls
    assert set(np.unique(shown).astype(int)) == {10, 20, 30, 40, 50, 200}
    assert shown[SIZE[0] // 2, 400] == 200
    assert shown[SIZE[0] // 2, 250] == 50


@needs_skimage
def test_the_room_is_reproducible_and_has_a_pose_for_each_image(room):
    again = sequences.room()
    assert len(again.images) == len(again.poses) == 60
    np.testing.assert_array_equal(again.images[13], room.images[13])


@needs_skimage
def test_tracks_of_corners_agree_with_the_true_poses(room):
    history = track_sequence(room, Tracker(), lambda number: corners(room.images[number]))
    found = metrics_of(room, history)
    assert found['tracks'] > 100
    assert found['mean_length'] > 4
    assert found['epipolar_1px'] > 0.95
    assert found['off_3px'] < 0.03
    assert found['rotation_error_deg'] < 0.3
    backwards = ImageSequence(
        room.name, room.images, room.matrix, [np.linalg.inv(p) for p in room.poses]
    )
    assert metrics_of(backwards, history)['epipolar_1px'] < 0.8
    assert metrics_of(backwards, history)['off_3px'] > 0.1


def test_figures_computed_by_hand():
    poses = [np.eye(4) for _ in range(3)]
    for number, there in enumerate(poses):
        there[0, 3] = -number  # sideways, by 1 m per image
    matrix = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]])
    x = np.linspace(50, 600, 10)
    ids, rows = np.arange(10), np.linspace(20, 450, 10)
    steps = np.zeros((3, 10))
    steps[1, 9], steps[2, 9] = 3, 3  # the last one is off its epipolar line in one step
    history = [
        TrackedPoints(ids, np.stack([x - 20 * number - ids * number, rows + steps[number]], 1))
        for number in range(3)
    ]
    history[2] = TrackedPoints(ids[1:], history[2].points[1:])
    black = [np.zeros((480, 640), np.uint8)] * 3
    found = metrics_of(ImageSequence('line', black, matrix, poses), history)
    assert found['tracks'] == pytest.approx(29 / 3)
    assert found['mean_length'] == pytest.approx(2.9)
    assert found['median_length'] == 3
    assert found['epipolar_1px'] == pytest.approx(18 / 19)
    assert found['epipolar_1px_10'] is None
    assert found['off_3px'] is None  # three views are too few
    unknown = metrics_of(ImageSequence('line', black), history)
    assert unknown['mean_length'] == pytest.approx(2.9)
    assert unknown['epipolar_1px'] is unknown['rotation_error_deg'] is unknown['off_3px'] is None


@needs_skimage
def test_orb_matches_points_by_their_descriptors(room):
    before = room.images[0]
    now = np.roll(before, (4, -7), (0, 1))
    matching = OrbMatching()
    found = matching.keypoints(before)
    points = np.stack([found.x, found.y], axis=1)
    there, sound = matching.follow(before, now, points, 1.0)
    assert sound.mean() > 0.8
    moves = there[sound] - points[sound]
    # a pixel of the coarsest of ORB's eight pyramid levels is 3.6 px wide
    assert np.mean(np.abs(moves - (-7, 4)).max(axis=1) < 3.7) > 0.9
    _, sound = matching.follow(before, np.zeros_like(now), points, 1.0)
    assert not sound.any()


@needs_skimage
def test_report_on_a_few_images(room):
    runtime = OnnxRuntime(default_model(None))
    few = ImageSequence(room.name, room.images[:4], room.matrix, room.poses[:4])
    report = report_on([few], runtime)
    (entry,) = report['sequences']
    assert (entry['name'], entry['images']) == ('room', 4)
    assert [row['name'] for row in entry['rows']][:3] == ['ours', 'lk', 'orb']
    for row in entry['rows']:
        assert 1 <= row['mean_length'] <= 4
        assert row['epipolar_1px'] > 0.8
        assert row['epipolar_1px_10'] is None
    assert 'room, 4 images' in table(report)
    assert report['settings']['max_tracks'] == 200


@needs_skimage
def test_command_with_own_pictures(room, tmp_path, capsys):
    pictures = tmp_path / 'mine'
    pictures.mkdir()
    for number in range(2):
        cv2.imwrite(str(pictures / f'{number}.png'), room.images[number])
    path = tmp_path / 'tracks.json'
    arguments = ['evaluate', '--tracks', '--images', str(pictures), '--json', str(path)]
    assert cli.main(arguments) == 0
    (entry,) = json.loads(path.read_text())['sequences']
    assert (entry['name'], entry['images']) == ('mine', 2)
    assert entry['rows'][0]['epipolar_1px'] is None
    assert 'mine, 2 images' in capsys.readouterr().out


def test_missing_sequences_are_an_error_that_names_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(visp_images, 'INSTALLED', tmp_path / 'installed')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cli.main(['evaluate', '--tracks']) == 1
    assert '`superpoint_rknn evaluate --tracks --fetch`' in capsys.readouterr().err


def test_options_without_effect_on_tracks_are_errors(tmp_path, capsys):
    assert cli.main(['evaluate', '--tracks', '--plot', str(tmp_path / 'a.png')]) == 1
    assert '--plot: not an option with --tracks' in capsys.readouterr().err
    assert cli.main(['evaluate', '--tracks', '--allow-missing']) == 1
    assert '--allow-missing: not an option' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['1 0 0', '2 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1', 'x' * 16])
def test_an_invalid_pose_file_raises(tmp_path, text):
    path = tmp_path / 'Camera_001.txt'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'Camera_001\.txt'):
        read_pose(path)


@pytest.mark.skipif(VISP is None, reason='needs `superpoint_rknn evaluate --tracks --fetch`')
def test_poses_of_the_castle_map_the_scene_to_the_camera():
    castle = sequences.castle(VISP)
    history = track_sequence(castle, Tracker(), lambda number: corners(castle.images[number]))
    assert metrics_of(castle, history)['epipolar_1px'] > 0.95
    backwards = ImageSequence(
        castle.name, castle.images, castle.matrix, [np.linalg.inv(p) for p in castle.poses]
    )
    assert metrics_of(backwards, history)['epipolar_1px'] < 0.8
