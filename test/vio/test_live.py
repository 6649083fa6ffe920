"""The live graph of `./dev vio`, and its summary."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('superpoint_rknn.msg', reason='the messages are not built')
vio_summary = pytest.importorskip('vio_summary', reason='needs evo')

from superpoint_rknn.evaluate.rooms.camera import BODY_FROM_CAMERA  # noqa: E402
from superpoint_rknn.vio.inputs import read_extrinsics  # noqa: E402

PROGRAM = [sys.executable, str(Path(vio_summary.__file__).with_name('vio.py'))]
GOOD = {
    'images_published': 100,
    'images_received': 100,
    'images_dropped': 0,
    'images_failed': 0,
    'images_tracked': 100,
    'feature_messages': 50,
    'odometry_messages': 40,
    'ate_m': 0.01,
}


@pytest.mark.slow
def test_a_short_run_drops_nothing_and_follows_the_truth(tmp_path):
    command = [*PROGRAM, '--seconds', '5', '--model', 'superpoint_small', '--out', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / 'summary.json').read_text())
    assert figures['images_published'] == figures['images_tracked'] == 100
    assert figures['images_dropped'] == figures['images_failed'] == 0
    assert figures['feature_messages'] == 50  # 10 Hz
    assert figures['model'].startswith('superpoint_small')
    assert figures['init_s'] <= 2
    assert figures['ate_m'] < 0.05
    estimate, truth = (np.loadtxt(tmp_path / f'{n}.tum') for n in ('trajectory', 'truth'))
    assert len(estimate) == figures['odometry_messages'] >= 30
    assert set(np.round(estimate[:, 0], 6)) <= set(np.round(truth[:, 0], 6))
    pose = read_extrinsics(tmp_path / 'camchain.yaml')
    np.testing.assert_allclose(pose, BODY_FROM_CAMERA, atol=1e-9)
    assert (tmp_path / 'trajectory.png').stat().st_size > 10_000


def test_a_model_that_does_not_exist_ends_the_run_with_its_name(tmp_path):
    command = [*PROGRAM, '--seconds', '0.2', '--model', '/no/model.onnx', '--out', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert '/no/model.onnx' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'images_received': 99}, '100 images published, 99 received, 100 tracked'),
        ({'images_tracked': 99}, '100 images published, 100 received, 99 tracked'),
        ({'images_dropped': 2}, '2 images dropped'),
        ({'images_failed': 1}, '1 images failed'),
        ({'feature_messages': 0}, 'no features arrived'),
        ({'ate_m': None, 'odometry_messages': 3}, '3 odometry messages: .* too late or never'),
    ],
)
def test_failed_checks_are_reported(wrong, message):
    assert vio_summary.problems(GOOD) == []
    (problem,) = vio_summary.problems(GOOD | wrong)
    assert re.search(message, problem)
