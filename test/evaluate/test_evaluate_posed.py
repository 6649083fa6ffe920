"""Pairs of images with known camera matrices and relative poses."""

import json

import cv2
import numpy as np
import pytest

from superpoint_rknn import cli
from superpoint_rknn.evaluate.metrics import Features
from superpoint_rknn.evaluate.pose_metrics import (
    epipolar_errors,
    estimate_pose,
    measure_posed,
    pose_error,
    summary,
)
from superpoint_rknn.evaluate.posed import read_pairs

K = np.array([[500.0, 0, 320], [0, 500, 200], [0, 0, 1]])
DOUBLE = np.array([[1000.0, 0, 320], [0, 1000, 200], [0, 0, 1]])


def pose_of(rotation_vector, translation):
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.array(rotation_vector, float))[0]
    pose[:3, 3] = translation
    return pose


SIDEWAYS = pose_of((0, 0, 0), (-1, 0, 0))
DEGREE = np.pi / 180


def project(points, matrix, pose):
    camera = points @ pose[:3, :3].T + pose[:3, 3]
    image = camera @ matrix.T
    return image[:, :2] / image[:, 2:]


@pytest.fixture(scope='module')
def points():
    """Points in front of the camera, (80, 3)."""
    return np.random.default_rng(0).uniform([-2, -1, 4], [2, 1, 8], (80, 3))


def features(points):
    return Features(np.float32(points), np.eye(len(points), dtype=np.float32))


def test_epipolar_lines_of_a_sideways_motion_are_rows():
    first = np.array([[100.0, 50], [200, 60], [300, 70]])
    second = np.array([[80.0, 50], [150, 61], [20, 67]])
    np.testing.assert_allclose(epipolar_errors(first, second, [K, K], SIDEWAYS), [0, 1, 3])
    # In the second image everything is twice as large: 2 px there and 1 px in the first.
    first, second = np.array([[320.0, 200]]), np.array([[300.0, 202]])
    np.testing.assert_allclose(epipolar_errors(first, second, [K, DOUBLE], SIDEWAYS), 1.5)


@pytest.mark.parametrize('pose', [SIDEWAYS, pose_of((0.02, 0.2, -0.05), (0.3, 0.1, 0.8))])
def test_exact_matches_give_the_pose(pose, points):
    first, second = project(points, K, np.eye(4)), project(points, DOUBLE, pose)
    np.testing.assert_allclose(epipolar_errors(first, second, [K, DOUBLE], pose), 0, atol=1e-9)
    estimated, inliers = estimate_pose(first, second, [K, DOUBLE])
    assert pose_error(estimated, pose) < 0.01
    assert inliers == len(points)
    np.testing.assert_allclose(
        estimated[:, 3], pose[:3, 3] / np.linalg.norm(pose[:3, 3]), atol=1e-4
    )


def test_metrics_with_wrong_matches(points):
    first, second = project(points, K, np.eye(4)), project(points, K, SIDEWAYS)
    second[:20, 1] += 40
    second[20:40, 1] += 0.5
    measured = measure_posed(features(first), features(second), [K, K], SIDEWAYS)
    assert measured['precision'] == 0.75
    assert measured['epipolar_error'] == pytest.approx(0, abs=1e-3)  # 40 of 60 are exact
    assert measured['pose_error'] < 2
    assert 40 <= measured['inliers'] <= 60
    assert measured['matches'] == measured['points'] == 80


def test_too_few_matches_have_no_pose():
    few = features([[10, 10], [20, 30], [30, 20], [50, 70]])
    measured = measure_posed(few, few, [K, K], SIDEWAYS)
    assert (measured['pose_error'], measured['inliers']) == (np.inf, 0)
    none = features(np.empty((0, 2)))
    measured = measure_posed(none, none, [K, K], SIDEWAYS)
    assert (measured['precision'], measured['matches']) == (0, 0)
    assert np.isnan(measured['epipolar_error'])


@pytest.mark.parametrize(
    ('rotation', 'translation', 'error'),
    [
        ((0, 5 * DEGREE, 0), (-1, 0, 0), 5),
        ((0, 0, 0), (0, 2, 0), 90),
        ((0, 0, 0), (-1, 1, 0), 45),
        ((0, 0, 0), (3, 0, 0), 0),  # the sign does not count
        ((0, 0, 170 * DEGREE), (-1, 0.1, 0), 170),
    ],
)
def test_pose_error_is_the_larger_angle(rotation, translation, error):
    estimated = pose_of(rotation, translation)[:3]
    assert pose_error(estimated, SIDEWAYS) == pytest.approx(error)


def test_summary():
    nan = float('nan')
    row = summary(
        [
            {'pose_error': 1, 'precision': 0.9, 'epipolar_error': 0.25},
            {'pose_error': 10, 'precision': 0.5, 'epipolar_error': 0.75},
            {'pose_error': np.inf, 'precision': 0.1, 'epipolar_error': nan},
        ]
    )
    assert row == pytest.approx(
        {
            'auc5': 0.8 / 3,
            'auc10': 0.9 / 3,
            'auc20': (0.95 + 0.5) / 3,
            'pose_error': 10,
            'precision': 0.5,
            'epipolar_error': 0.5,
        }
    )
    nothing = summary([{'pose_error': np.inf, 'epipolar_error': nan}])
    assert nothing['pose_error'] is nothing['epipolar_error'] is None


@pytest.fixture
def entry(tmp_path):
    """A valid pair of a file in tmp_path."""
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(tmp_path / name), np.full((800, 1280), 9, np.uint8))
    return {
        'images': ['a.png', 'b.png'],
        'K0': K.tolist(),
        'K1': DOUBLE.tolist(),
        'T_0to1': SIDEWAYS.tolist(),
    }


def write(folder, content):
    path = folder / 'pairs.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_camera_matrix_of_a_view_follows_the_resize(entry, tmp_path):
    (pair,) = read_pairs(write(tmp_path, [entry]))
    images, matrices = pair.views()
    assert [image.shape for image in images] == [(400, 640)] * 2
    # Half the size: the centre (320, 200) of 1280x800 moves to (320 + 0.5) / 2 - 0.5.
    expected = [[250, 0, 159.75], [0, 250, 99.75], [0, 0, 1]]
    np.testing.assert_allclose(matrices[0], expected)
    np.testing.assert_allclose(matrices[1][0], [500, 0, 159.75])
    np.testing.assert_array_equal(pair.pose, SIDEWAYS)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'K1': None}, 'pair 1: K1: expected 3 lists of 3 numbers'),
        ({'K0': [[1, 2], [3]]}, 'pair 1: K0: expected 3 lists'),
        ({'K0': np.zeros((3, 3)).tolist()}, r'K0: expected \[\[fx, 0, cx\]'),
        ({'T_0to1': np.eye(4).tolist()}, 'T_0to1: without translation'),
        ({'T_0to1': (2 * SIDEWAYS).tolist()}, 'T_0to1: expected .* with a rotation R'),
        ({'T_0to1': np.diag([1, 1, -1, 1]).tolist()}, 'with a rotation R'),
        ({'T_0to1': [[float('nan')] * 4] * 4}, 'T_0to1: expected 4 lists of 4 numbers'),
        ({'images': ['a.png']}, 'images: expected the paths of two images'),
        ({'images': ['a.png', 'c.png']}, r'images: .*c\.png: no such file'),
        ({'images': ['a.png', 'pairs.json']}, r'pairs\.json: expected .*\.png'),
    ],
)
def test_bad_pairs_are_errors_that_name_pair_and_key(entry, tmp_path, change, message):
    path = write(tmp_path, [entry, {**entry, **change}])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_pairs(path)


@pytest.mark.parametrize('content', ['{', '[]', '{}', '[3]', '[{"images": ["a.png", "b.png"]}]'])
def test_other_files_are_errors(content, tmp_path):
    with pytest.raises(ValueError, match=r'pairs\.json: (not a JSON|expected a list|pair 0: )'):
        read_pairs(write(tmp_path, content))


def test_a_missing_file_is_an_error(tmp_path, capsys):
    path = tmp_path / 'pairs.json'
    assert cli.main(['evaluate', '--pairs', str(path)]) == 1
    assert f'{path}: no such file' in capsys.readouterr().err


def test_command_on_a_real_pair(photographs, tmp_path, capsys):
    # Camera of Middlebury's Motorcycle-perfect, of which scikit-image has a quarter of the size
    left, right = ([[994.978, 0, cx], [0, 994.978, 254.877], [0, 0, 1]] for cx in (311.2, 342.3))
    images = [str(photographs / f'motorcycle_{side}.png') for side in ('left', 'right')]
    content = [{'images': images, 'K0': left, 'K1': right, 'T_0to1': SIDEWAYS.tolist()}]
    report = tmp_path / 'report.json'
    pairs = str(write(tmp_path, content))
    assert cli.main(['evaluate', '--pairs', pairs, '--json', str(report)]) == 0
    written = json.loads(report.read_text())
    assert written['pairs'] == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '1 pairs with known poses'
    for row, line in zip(written['rows'], lines[2:], strict=True):
        assert line.split()[:2] == [row['name'], f'{row["auc5"]:.3f}']
    rows = {row['name']: row for row in written['rows']}
    assert list(rows) == ['float', 'u8', 'orb', 'sift']
    assert rows['u8']['model'].startswith('superpoint_400x640_u8@')
    for name, row in rows.items():
        assert row['auc5'] == pytest.approx(max(0, 1 - row['pose_error'] / 5))
        assert written['by_pair'][name][0]['images'] == images
    assert rows['u8']['precision'] > 0.8
    assert rows['u8']['epipolar_error'] < 0.5
    assert rows['u8']['pose_error'] < 3


def test_options_that_need_scenes_are_errors(entry, tmp_path, capsys):
    pairs = str(write(tmp_path, [entry]))
    for option in (['--quick'], ['--images', str(tmp_path)], ['--fetch']):
        assert cli.main(['evaluate', '--pairs', pairs, *option]) == 1
        assert f'{option[0]}: not an option with --pairs' in capsys.readouterr().err
