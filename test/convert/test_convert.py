"""Conversion by rknn-toolkit2, and its error messages."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from superpoint_rknn import cli
from superpoint_rknn.analyze.integer_trace import IntegerTrace
from superpoint_rknn.analyze.simulator import Simulator
from superpoint_rknn.convert.command import TARGETS, convert, default_output
from superpoint_rknn.convert.toolkit2 import Toolkit, find_toolkit
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.network import LAYERS
from superpoint_rknn.quantize.calibration import calibration_image, ramp_image
from superpoint_rknn.quantize.command import quantize
from superpoint_rknn.runtimes.model_files import read_card, resolve_input_table

SIZE = (64, 96)
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope='session')
def toolkit():
    try:
        return find_toolkit()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def calibration(frames):
    return [*(calibration_image(frame, SIZE) for frame in frames), ramp_image(SIZE)]


@pytest.fixture(scope='module')
def simulator(toolkit, weights, calibration):
    with Simulator(weights, calibration, size=SIZE, layers=True) as opened:
        yield opened


@pytest.fixture(scope='module')
def converted(toolkit, weights_file, frames, tmp_path_factory):
    path = tmp_path_factory.mktemp('converted') / 'small.rknn'
    progress = []
    card = convert(weights_file, frames, path, 'rk3588', SIZE, on_progress=progress.append)
    return path, card, progress


def test_model_card(converted, weights_file, calibration):
    path, card, _ = converted
    assert path.read_bytes()[:4] == b'RKNN'
    assert read_card(path) == card
    assert card['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card['target'] == 'rk3588'
    assert card['input'] == {
        'name': 'image',
        'shape': [1, 1, 64, 96],
        'dtype': 'int8',
        'scale': 1,
        'zero_point': -128,
        'size': [64, 96],
        'mean': 0,
        'std': 1,
    }
    assert card['logits'] == {'name': 'semi', 'shape': [1, 65, 8, 12], 'dtype': 'float16'}
    descriptors = card['descriptors']
    assert (descriptors['shape'], descriptors['dtype']) == ([1, 256, 8, 12], 'int8')
    assert card['quantization']['float16_layers'] == ['convPa', 'convPb']
    assert card['calibration'] == [{'name': i.name, 'sha256': i.sha256} for i in calibration]
    assert card['weights']['sha256'] == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert card['versions']['rknn-toolkit2']
    assert [p.name for p in sorted(path.parent.iterdir())] == ['small.json', 'small.rknn']


def test_input_table_only_flips_the_top_bit(converted):
    """A runtime computes the input table from the model card."""
    path, card, _ = converted
    quantization = Quantization(card['input']['scale'], card['input']['zero_point'], np.int8)
    table = resolve_input_table(path, quantization, None, None)
    np.testing.assert_array_equal(table.view(np.uint8), np.arange(256) ^ 0x80)


def test_calibration_reports_progress(converted):
    progress = converted[2]
    assert progress == sorted(progress)
    assert progress[-1] == 1


def test_simulator_agrees_with_the_cpu(simulator, weights_file, frames, tmp_path):
    """The first layer of the detector is in 8 bits on the CPU, in float16 on the NPU."""
    quantize(weights_file, frames, tmp_path / 'small.onnx', SIZE)
    cpu = IntegerTrace(tmp_path / 'small.onnx')
    for name, quantization in simulator.quantizations.items():
        ours = cpu.quantizations[name]
        assert quantization.scale == pytest.approx(ours.scale, rel=1e-4)
        assert quantization.zero_point + 128 == ours.zero_point
    assert set(cpu.quantizations) - set(simulator.quantizations) == {'convPa'}
    for frame in frames:
        grey = calibration_image(frame, SIZE).grey
        ours, theirs = cpu.run(grey), simulator.trace(grey)
        assert set(theirs) == {layer.name for layer in LAYERS}
        for name, values in theirs.items():
            assert values.dtype == np.float32
            cosine = np.vdot(values, ours[name]) / (
                np.linalg.norm(values) * np.linalg.norm(ours[name])
            )
            assert cosine > 0.998, name


def test_simulator_returns_integers(simulator, frames):
    grey = calibration_image(frames[0], SIZE).grey
    logits, raw = simulator.run(grey)
    values = simulator.trace(grey)
    assert (logits.dtype, logits.shape) == (np.float32, (65, 8, 12))
    assert (raw.dtype, raw.shape) == (np.int8, (256, 8, 12))
    np.testing.assert_array_equal(logits, values['convPb'])
    meant = simulator.quantizations['convDb'].dequantize(raw)
    np.testing.assert_allclose(meant, values['convDb'], rtol=1e-5, atol=1e-6)


def test_layer_outputs_do_not_change_the_results(simulator, toolkit, weights, calibration, frames):
    grey = calibration_image(frames[1], SIZE).grey
    with Simulator(weights, calibration, size=SIZE) as plain:
        assert set(plain.trace(grey)) == {'convPb', 'convDb'}
        for mine, other in zip(plain.run(grey), simulator.run(grey), strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize('image', [np.zeros((64, 104), np.uint8), np.zeros(SIZE, np.int16)])
def test_simulator_refuses_other_images(simulator, image):
    with pytest.raises(ValueError, match='expected'):
        simulator.run(image)


def test_errors_of_the_toolkit_are_reported(toolkit):
    with Toolkit(toolkit) as running:
        folder = running.folder
        with pytest.raises(RuntimeError, match=r'build: .*network\.onnx'):
            running.request('build', target='rk3588', method='layer', float_tensors=[])
        with pytest.raises(RuntimeError, match='infer: '):
            running.request('infer', image='none.npy', outputs='outputs.npz')
    assert not folder.exists()


def test_ctrl_c_leaves_no_file(toolkit, tmp_path, frames):
    cv2.imwrite(str(tmp_path / 'a.png'), frames[0].image)
    (tmp_path / 'temporary').mkdir()
    arguments = ['--target', 'rv1126b', '--images', 'a.png', '-o', 'out.rknn']
    process = subprocess.Popen(
        [sys.executable, '-m', 'superpoint_rknn.cli', 'convert', *arguments],
        cwd=tmp_path,
        env=os.environ | {'TMPDIR': str(tmp_path / 'temporary'), 'PYTHONPATH': str(CHECKOUT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / 'temporary').glob('*/dataset.txt')):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert error.splitlines()[-1] == 'superpoint_rknn: interrupted'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.png', 'temporary']
    assert list((tmp_path / 'temporary').iterdir()) == []


def test_interpreter_without_the_toolkit_is_refused(weights_file, frames, tmp_path):
    options = {'toolkit': Path(sys.executable)}
    with pytest.raises(RuntimeError, match=r"exit code 1: .*No module named '(rknn|ruamel)'"):
        convert(weights_file, frames, tmp_path / 'a.rknn', 'rk3588', SIZE, **options)
    assert list(tmp_path.iterdir()) == []


def test_error_for_a_missing_toolkit_names_the_command(weights_file, frames, tmp_path):
    options = {'toolkit': tmp_path / 'python'}
    with pytest.raises(FileNotFoundError, match=r'run \./dev rknn-toolkit .* --toolkit PYTHON'):
        convert(weights_file, frames, tmp_path / 'a.rknn', 'rk3588', SIZE, **options)


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'target': 'rk3399'}, "target 'rk3399' is none of rv1126, rv1109, rv1126b, rk3588"),
        ({'size': (64, 90)}, '64x90 is not divisible by 8'),
        ({'images': []}, 'no calibration images'),
        ({'output': 'model.onnx'}, 'needs the suffix .rknn'),
        ({'target': 'rv1126', 'per_channel': True}, 'does not support per-channel scales'),
        ({'input_std': 0.0}, 'input std 0.0 is not positive'),
    ],
)
def test_invalid_arguments_are_refused(weights_file, frames, tmp_path, options, reason):
    # Any file is accepted as the interpreter: it is never run.
    arguments = {
        **{'images': frames, 'output': 'out.rknn', 'size': SIZE, 'target': 'rk3588'},
        **{'toolkit': weights_file},
        **options,
    }
    output = tmp_path / arguments.pop('output')
    with pytest.raises(ValueError, match=reason):
        convert(weights_file, output=output, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'--images': 'empty'}, 'no pictures'),
        ({'--images': 'missing'}, 'no such file or folder'),
        ({'--images': 'broken.png'}, 'not a readable picture'),
        ({'-o': 'missing/out.rknn'}, 'no such folder'),
        ({'--max-images': '0'}, 'at least one is needed'),
        ({'--weights': 'missing.npz'}, 'No such file'),
        ({'--toolkit': 'missing'}, 'no such interpreter'),
    ],
)
def test_command_reports_errors(tmp_path, frames, capsys, monkeypatch, change, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    cv2.imwrite('good.png', frames[0].image)
    options = {
        **{'--target': 'rk3588', '--images': 'good.png', '--toolkit': sys.executable},
        **change,
    }
    arguments = [word for option in options.items() for word in option]
    assert cli.main(['convert', *arguments]) != 0
    error = capsys.readouterr().err.replace('\r', '\n')
    last = error.strip().split('\n')[-1]
    assert reason in last
    assert not list(tmp_path.glob('*.rknn'))


def test_command(toolkit, tmp_path, frames, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('a.png', frames[0].image)
    arguments = ['--target', 'rk3568', '--images', 'a.png', '--size', '64x96', '--per-channel']
    assert cli.main(['convert', *arguments]) == 0
    assert 'input scale 1 zero point -128' in capsys.readouterr().out
    card = json.loads((tmp_path / 'superpoint_64x96_rk3568.json').read_text())
    assert card['quantization']['weights'] == 'per channel'


def test_default_output_has_the_name_of_shipped_models():
    weights = Path('somewhere/superpoint.npz')
    assert default_output(weights, (400, 640), 'rk3588') == Path('superpoint_400x640_rk3588.rknn')
    assert default_output(weights, (8, 16), 'rv1126') == Path('superpoint_8x16_rv1126')


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(['convert', '--help'])
    text = capsys.readouterr().out
    assert 'Example: superpoint_rknn convert --target' in text
    assert all(target in text for target in TARGETS)
