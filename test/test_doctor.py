import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from superpoint_rknn.runtimes.runtime import default_model, open_runtime


def doctor(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'superpoint_rknn.cli', 'doctor', *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_on_a_pc_it_says_so_and_checks_the_cpu_runtime(tmp_path):
    result = doctor('--json', tmp_path / 'report.json')
    assert result.returncode == 0, result.stderr
    assert 'this is no Rockchip board' in result.stdout
    assert 'input table  identity' in result.stdout
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['board']['soc'] is None
    assert report['runtime']['model'].startswith('superpoint_400x640_u8@')
    desc = report['runtime']['tensors'][2]
    assert desc['shape'] == [1, 256, 50, 80]
    assert desc['scale'] > 0
    assert 0 < desc['zero_point'] < 255
    assert set(report['inference']['stages_ms']) >= {'inputs_set', 'run', 'decode', 'describe'}
    assert report['inference']['keypoints'] > 0
    assert report['inference']['rss_mb'] > 10


def test_recorded_outputs_are_those_of_the_network(tmp_path):
    rng = np.random.default_rng(5)
    image = cv2.resize(rng.integers(0, 256, (20, 32), np.uint8), (640, 400))
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    result = doctor('--image', tmp_path / 'image.png', '--record', tmp_path / 'out')
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / 'out' / 'outputs.npz', allow_pickle=False) as recorded:
        runtime = open_runtime(default_model(None))
        raw = np.empty((256, 50, 80), np.uint8)
        logits = runtime.infer(image, raw)
        assert np.array_equal(recorded['image'], image)
        assert np.array_equal(recorded['descriptors'], raw)
        np.testing.assert_allclose(recorded['logits'], logits, atol=1e-4)
        runtime.close()


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['--model', 'missing.onnx'], 'missing.onnx: no such file'),
        (['--runtime', 'librknn'], 'librknn expects a model file with the suffix'),
    ],
)
def test_what_is_wrong_is_said_with_a_failing_exit_code(arguments, reason):
    result = doctor(*arguments)
    assert result.returncode == 1
    assert reason in result.stdout
    assert 'Traceback' not in result.stderr


def test_an_unreadable_image_is_one_line_on_stderr(tmp_path):
    (tmp_path / 'image.png').write_bytes(b'no image')
    result = doctor('--image', tmp_path / 'image.png')
    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'is not an image' in result.stderr
