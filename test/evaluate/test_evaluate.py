"""The command `superpoint_rknn evaluate`: report, plot and error messages."""

import json
import shutil
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest

from superpoint_rknn import cli
from superpoint_rknn.evaluate.chart import SHARES, chart
from superpoint_rknn.evaluate.features import SETTINGS, NetworkFeatures, orb, sift
from superpoint_rknn.evaluate.kinds import KINDS
from superpoint_rknn.evaluate.metrics import Features
from superpoint_rknn.evaluate.pairs import VIEW_SIZE
from superpoint_rknn.evaluate.protocol import evaluate
from superpoint_rknn.evaluate.report import table
from superpoint_rknn.evaluate.scenes import SKIMAGE, own_material, scene_files
from superpoint_rknn.network.network import float_graph
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.open import open_runtime

WANTED = ('astronaut.png', 'camera.png')
PATHS = {file.path: file.locate() for file in scene_files() if file.package == SKIMAGE}
pytestmark = pytest.mark.skipif(
    any(PATHS[name] is None for name in WANTED),
    reason='needs the pictures of requirements/images.txt',
)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for name in WANTED:
        shutil.copy(PATHS[name], folder)
    return folder


@pytest.fixture(scope='module')
def evaluated(pictures):
    """Report of the command on two pictures, and the files that it wrote."""
    folder = pictures.parent
    plot, report = folder / 'plot.png', folder / 'report.json'
    images = ['--images', str(pictures)]
    arguments = ['evaluate', '--quick', '--unrefined', '--json', str(report), '--plot', str(plot)]
    assert cli.main([*arguments, *images]) == 0
    return json.loads(report.read_text()), plot


def test_report(evaluated):
    report, _ = evaluated
    assert report['pairs'] == 2
    assert report['scenes'] == list(WANTED)
    names = ['float', 'float_unrefined', 'u8', 'u8_unrefined', 'orb', 'sift']
    assert [row['name'] for row in report['rows']] == names
    for row in report['rows']:
        assert {'rep3', 'mma3', 'h1', 'h3', 'h5', 'points'} <= row.keys()
        assert 0.3 < row['rep3'] < 1
        assert 0.3 < row['mma3'] <= 1
        assert 300 < row['points'] <= 510
        low, high = row['intervals']['rep3']
        assert low <= row['rep3'] <= high
    rows = {row['name']: row for row in report['rows']}
    assert rows['u8']['model'].startswith('superpoint_400x640_u8@')
    assert rows['float']['model'].startswith('superpoint_float@')
    assert rows['float']['mma3'] == pytest.approx(rows['u8']['mma3'], abs=0.05)
    assert {entry['name'] for entry in report['differences']} == {'u8', 'u8_unrefined'}
    assert report['settings']['threshold'] == 0.015
    assert report['stereo'] == []  # only with the pictures of the protocol


def test_refinement_keeps_the_number_of_points_and_reduces_the_error(evaluated):
    rows = {row['name']: row for row in evaluated[0]['rows']}
    for name in ('float', 'u8'):
        assert rows[name]['points'] == rows[f'{name}_unrefined']['points']
        assert rows[name]['localization_error'] < rows[f'{name}_unrefined']['localization_error']


def test_the_plot_shows_a_bar_for_each_share(evaluated):
    report, plot = deepcopy(evaluated)
    image = cv2.imread(str(plot))
    assert plot.read_bytes() == chart(report)
    for row in report['rows']:
        row.update(dict.fromkeys(SHARES, 0.0), intervals=dict.fromkeys(SHARES))
    assert np.mean(image == 255) < 0.7
    empty = cv2.imdecode(np.frombuffer(chart(report), np.uint8), cv2.IMREAD_COLOR)
    assert np.mean(empty == 255) > 0.9


@pytest.mark.parametrize('version', [None, (3, 5, 1)])
def test_a_plot_without_matplotlib_is_an_error_before_the_run(
    version, monkeypatch, tmp_path, capsys
):
    found = version and SimpleNamespace(__version_info__=version)
    monkeypatch.setitem(sys.modules, 'matplotlib', found)
    assert cli.main(['evaluate', '--plot', str(tmp_path / 'plot.png')]) == 1
    message = "charts need matplotlib 3.7 or newer: pip install 'matplotlib>=3.7'"
    assert message in capsys.readouterr().err


def test_a_plot_of_kinds_is_an_error(tmp_path, capsys):
    assert cli.main(['evaluate', '--kinds', '--plot', str(tmp_path / 'plot.png')]) == 1
    assert '--plot: not an option with --kinds' in capsys.readouterr().err


def test_kinds_of_own_pictures(pictures, tmp_path, capsys):
    report = tmp_path / 'kinds.json'
    arguments = ['--kinds', '--quick', '--images', str(pictures), '--json', str(report)]
    assert cli.main(['evaluate', *arguments]) == 0
    kinds = {kind['name']: kind for kind in json.loads(report.read_text())['kinds']}
    assert list(kinds) == list(KINDS)
    assert 'low_texture, 1 pairs' in capsys.readouterr().out
    for kind in kinds.values():
        assert [row['name'] for row in kind['rows']] == ['float', 'u8', 'orb', 'sift']
    mma3 = {name: kind['rows'][1]['mma3'] for name, kind in kinds.items()}
    assert mma3['zoom2'] < mma3['zoom1.5'] < 0.95
    assert mma3['dark'] > 0.5


def test_table(evaluated):
    report, _ = evaluated
    lines = table(report).splitlines()
    assert lines[0].startswith('2 pairs of 2 scenes')
    for row, line in zip(report['rows'], lines[2::2], strict=False):
        assert line.split()[:2] == [row['name'], f'{row["rep3"]:.3f}']
    assert lines[-2].startswith('u8 - float: rep@3 ')


def test_equal_inputs_give_equal_figures(pictures):
    scenes = own_material([pictures]).scenes
    once, again = (evaluate(scenes, [orb, sift], 2) for _ in range(2))
    assert list(once) == ['orb', 'sift']
    for name, measured in once.items():
        for metric, values in measured.items():
            assert values.shape == (2, 2)
            np.testing.assert_array_equal(values, again[name][metric])


def test_points_fixed_in_the_view_match_but_at_wrong_positions(pictures):
    """The same grid of points in every view, each with a unique descriptor."""
    scenes = own_material([pictures]).scenes
    x, y = np.meshgrid(np.arange(100, 540, 20), np.arange(100, 300, 20))
    grid = Features(
        np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32),
        np.eye(x.size, dtype=np.float32),
    )
    views = {}

    def fixed_grid(image):
        views[image.tobytes()] = image
        return {'fixed': grid}

    measured = evaluate(scenes[:1], [fixed_grid], 3)['fixed']
    assert len(views) == 1 + 3  # the first view is processed once
    assert (measured['points'] == x.size).all()
    assert (measured['matches'] == x.size).all()
    assert (measured['mma3'] < 0.5).all()  # the views differ, the points do not


@pytest.mark.parametrize('method', [orb, sift])
def test_features_of_an_empty_image(method):
    (features,) = method(np.zeros(VIEW_SIZE, np.uint8)).values()
    assert features.points.shape == (0, 2)
    assert len(features.descriptors) == 0


def test_settings_equal_the_protocol():
    assert (SETTINGS.threshold, SETTINGS.nms_radius) == (0.015, 4)
    assert (SETTINGS.max_keypoints, SETTINGS.border) == (500, 4)


def test_a_network_of_another_input_size_is_an_error(pictures, weights, tmp_path, capsys):
    path = tmp_path / 'small.onnx'
    onnx.save(float_graph(weights, (64, 96)), path)
    assert cli.main(['evaluate', '--model', str(path), '--images', str(pictures)]) == 1
    assert 'images of 64x96, the evaluation needs 400x640' in capsys.readouterr().err


def test_unreadable_inputs_and_unwritable_outputs_are_errors_before_the_run(
    pictures, tmp_path, capsys
):
    def error_message(*arguments):
        assert cli.main(['evaluate', *map(str, arguments)]) == 1
        return capsys.readouterr().err

    empty = tmp_path / 'empty'
    empty.mkdir()
    assert 'no pictures' in error_message('--images', empty)
    assert 'no such file' in error_message('--images', tmp_path / 'nowhere')
    (empty / 'broken.png').write_bytes(b'no picture')
    assert 'broken.png: not a readable picture' in error_message('--images', empty)
    assert 'no such file' in error_message('--images', pictures, '--model', tmp_path / 'no.onnx')
    assert 'no.npz' in error_message('--images', pictures, '--weights', tmp_path / 'no.npz')
    nowhere = tmp_path / 'nowhere' / 'report.json'
    assert 'no such folder' in error_message('--images', pictures, '--json', nowhere)
    assert 'ends in .png' in error_message('--images', pictures, '--plot', tmp_path / 'plot.jpg')
    assert list(tmp_path.iterdir()) == [empty]


def test_an_interrupted_run_leaves_no_file(pictures, tmp_path):
    command = [sys.executable, '-m', 'superpoint_rknn.cli', 'evaluate', '--images', pictures]
    process = subprocess.Popen(
        [*command, '--json', tmp_path / 'report.json', '--plot', tmp_path / 'plot.png'],
        stderr=subprocess.PIPE,
    )
    with process:
        seen = b''
        while b' 1/26 ' not in seen:  # the progress bar
            byte = process.stderr.read(1)
            assert byte, seen.decode()
            seen += byte
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.decode().strip().endswith('superpoint_rknn: interrupted')
    assert not list(tmp_path.iterdir())


def test_points_of_a_higher_threshold_are_a_subset(pictures):
    image = np.ascontiguousarray(own_material([pictures]).scenes[0].image[:400, :640])
    runtime = open_runtime(default_model(None))
    usual, confident = (
        NetworkFeatures('u8', runtime, settings=settings)(image)['u8'].points
        for settings in (SETTINGS, replace(SETTINGS, threshold=0.3))
    )
    runtime.close()
    assert 0 < len(confident) < len(usual)
    assert {tuple(p) for p in confident} <= {tuple(p) for p in usual}
