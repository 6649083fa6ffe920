import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from superpoint_rknn.network.network import float_graph
from superpoint_rknn.runtimes.model_files import default_model
from superpoint_rknn.runtimes.open import open_runtime

STANDIN = Path(__file__).parents[1] / 'rknn_standin' / 'run_on_standin.py'


def doctor(*arguments, program=('-m', 'superpoint_rknn.cli', 'doctor'), library=None):
    environment = dict(os.environ)
    if library is not None:  # where the loader finds the stand-in
        folders = [str(library.parent), environment.get('LD_LIBRARY_PATH', '')]
        environment['LD_LIBRARY_PATH'] = os.pathsep.join(folders)
    return subprocess.run(
        [sys.executable, *map(str, program), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def on_standin(standin_libraries, generation, *faults):
    library = standin_libraries[generation]
    return {
        'program': (STANDIN, 'superpoint_rknn.cli', library, generation, *faults, '--', 'doctor'),
        'library': library,
    }


@pytest.mark.parametrize(
    ('generation', 'table'), [(1, 'identity'), (2, 'x ^ 0x80, one look-up per pixel')]
)
def test_report_of_library_tensors_and_stages_on_an_npu(
    standin_libraries, model, generation, table
):
    result = doctor('--model', model, **on_standin(standin_libraries, generation))
    assert result.returncode == 0, result.stdout + result.stderr
    assert f'generation {generation}' in result.stdout
    assert f'input table  {table}' in result.stdout
    for stage in ('inputs_set', 'run', 'outputs_get', 'decode', 'describe'):
        assert stage in result.stdout
    assert 'violations: none' in result.stdout


def test_normalisation_by_the_runtime_is_reported(standin_libraries, model):
    result = doctor(
        '--model', model, '--pass-through', 'false', **on_standin(standin_libraries, 2)
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'input table  none: the runtime normalises and quantizes' in result.stdout


def test_an_npu_error_is_reported_with_cause_and_remedy(standin_libraries, model):
    result = doctor('--model', model, **on_standin(standin_libraries, 1, 'fail:rknn_init:-3:1'))
    assert result.returncode == 1
    assert 'RKNN_ERR_DEVICE_UNAVAILABLE (-3)' in result.stdout
    assert 'load the NPU driver' in result.stdout


def test_a_blocked_npu_is_reported_and_abandoned(standin_libraries, model, tmp_path):
    report = tmp_path / 'report.json'
    result = doctor(
        *('--model', model, '--timeout', 8, '--json', report),
        **on_standin(standin_libraries, 2, 'block:rknn_run'),
    )
    assert result.returncode == 1
    assert 'has not answered for 8 s (inference)' in result.stdout
    assert json.loads(report.read_text())['runtime']['tensors'][2]['dtype'] == 'int8'


def test_report_of_the_cpu_runtime_on_a_pc(tmp_path):
    result = doctor('--json', tmp_path / 'report.json')
    assert result.returncode == 0, result.stderr
    assert 'this is no Rockchip board' in result.stdout
    assert 'input table  identity' in result.stdout
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['board']['soc'] is None
    assert report['decode_and_describe'].startswith('native (')
    assert f'decode       {report["decode_and_describe"]}' in result.stdout
    assert report['runtime']['model'].startswith('superpoint_400x640_u8@')
    desc = report['runtime']['tensors'][2]
    assert desc['shape'] == [1, 256, 50, 80]
    assert desc['scale'] > 0
    assert 0 < desc['zero_point'] < 255
    assert set(report['inference']['stages_ms']) >= {'inputs_set', 'run', 'decode', 'describe'}
    assert report['inference']['keypoints'] > 0
    assert report['inference']['rss_mb'] > 10


def test_what_can_be_done_with_an_rknn_file_on_a_pc(tmp_path):
    model = default_model('rk3588')
    result = doctor('--model', model, '--json', tmp_path / 'report.json')
    assert result.returncode == 1
    assert result.stderr == ''
    advice = json.loads((tmp_path / 'report.json').read_text())['advice']
    assert advice[0].startswith('superpoint_400x640_rk3588.rknn needs the NPU')
    assert all(f'advice       {line}\n' in result.stdout for line in advice)
    assert 'librknnrt.so (' not in result.stdout  # no advice to install a board's library
    commands = re.findall(r'superpoint_rknn (\w+)((?: --\S+(?: [^-\s]\S*)?)*)', '\n'.join(advice))
    assert [name for name, _ in commands] == ['analyze', 'convert', 'doctor', 'doctor', 'analyze']
    for name, options in commands:  # they exist
        parser = argparse.ArgumentParser()
        import_module(f'superpoint_rknn.{name}.command').add_arguments(parser)
        parser.parse_args(options.replace(',', '').split())


def test_recorded_outputs_equal_those_of_the_runtime(tmp_path):
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
def test_an_invalid_model_is_reported_with_exit_code_1(arguments, reason):
    result = doctor(*arguments)
    assert result.returncode == 1
    assert reason in result.stdout
    assert 'Traceback' not in result.stderr


def test_an_unreadable_image_is_one_line_on_stderr(tmp_path):
    (tmp_path / 'image.png').write_bytes(b'no image')
    result = doctor('--image', tmp_path / 'image.png')
    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'not an image' in result.stderr


def test_a_network_that_gets_inputs_of_another_scale_is_reported(tmp_path, weights):
    path = tmp_path / 'own.onnx'
    for gain, std, expected in ((255, 1, True), (255, 255, False)):
        kernels = {**weights.kernels, 'conv1a': weights.kernels['conv1a'] * np.float32(gain)}
        onnx.save(float_graph(replace(weights, kernels=kernels), (240, 320)), path)
        path.with_suffix('.json').write_text(json.dumps({'input': {'std': std}}))
        result = doctor('--model', path)
        assert result.returncode == 0, result.stderr
        assert ('its input is probably too large' in result.stdout) == expected
    path.with_suffix('.json').unlink()
    assert 'input std 255 was chosen by a test' in doctor('--model', path).stderr
