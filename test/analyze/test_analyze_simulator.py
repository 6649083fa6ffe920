"""Analysis of networks with unknown integer weights, as in the simulator of rknn-toolkit2."""

import json

import cv2
import numpy as np
import pytest

from superpoint_rknn import cli
from superpoint_rknn.analyze.analysis import analyze, analyze_simulator
from superpoint_rknn.analyze.diagnosis import diagnose, own_error, weights_error, worst_layer
from superpoint_rknn.analyze.float_trace import TRACED, FloatTrace, SingleLayers
from superpoint_rknn.analyze.integer_trace import IntegerTrace
from superpoint_rknn.quantize.calibration import calibration_image

SIZE = (64, 96)


class OwnSimulator:
    """The CPU's 8-bit network with the interface of the simulator."""

    def __init__(self, path):
        network = IntegerTrace(path)
        self.trace = network.run
        self.quantizations = network.quantizations


@pytest.fixture(scope='module')
def images(frames):
    return [calibration_image(frame, SIZE) for frame in frames[:2]]


def test_single_layers_compute_the_float_network(weights, images):
    values, _ = FloatTrace(weights, SIZE).run(images[0].grey)
    outputs = SingleLayers(weights, SIZE).run(values)
    assert list(outputs) == list(TRACED[1:])
    for name, output in outputs.items():
        np.testing.assert_allclose(output, values[name], atol=1e-4)


def test_single_layers_use_the_given_inputs(weights, images):
    values, _ = FloatTrace(weights, SIZE).run(images[0].grey)
    given = {**values, 'conv2a': np.zeros_like(values['conv2a'])}
    outputs = SingleLayers(weights, SIZE).run(given)
    bias = np.maximum(weights.biases['conv2b'], 0)[:, None, None]
    np.testing.assert_allclose(outputs['conv2b'], np.broadcast_to(bias, (64, 32, 48)), atol=1e-6)
    np.testing.assert_allclose(outputs['conv3a'], values['conv3a'], atol=1e-4)


def test_own_errors_agree_with_those_of_known_weights(weights, network_file, images):
    known = analyze(weights, IntegerTrace(network_file), images)
    guessed = analyze_simulator(
        weights, OwnSimulator(network_file), images, size=SIZE, title='own simulator'
    )
    assert guessed.outputs.summary() == known.outputs.summary()
    assert worst_layer(guessed) == worst_layer(known)
    for name in set(TRACED) - {'image', 'convPb'}:
        ours, theirs = guessed.layers[name], known.layers[name]
        assert own_error(ours) == pytest.approx(own_error(theirs), rel=0.15)
        assert weights_error(ours) == pytest.approx(weights_error(theirs), rel=0.3)
    assert own_error(guessed.layers['convPb']) < 1e-5  # in float, with the same input
    assert own_error(guessed.layers['image']) == 0
    assert [f.kind for f in diagnose(guessed)] == ['weights']


def test_command_with_the_toolkit(frames, network_file, tmp_path, capsys):
    toolkit = pytest.importorskip('superpoint_rknn.convert.toolkit2')
    try:
        toolkit.find_toolkit(None)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    picture = tmp_path / frames[0].name
    cv2.imwrite(str(picture), frames[0].image)
    command = ['analyze', '--model', str(network_file), '--images', str(picture), '--simulator']
    figures = tmp_path / 'figures.json'
    html = tmp_path / 'report.html'
    assert cli.main([*command, 'rk3588', '-o', str(html), '--json', str(figures)]) == 0
    _, network = json.loads(figures.read_text())['networks']
    assert 'rk3588, per layer' in network['name']
    assert network['outputs']['descriptor_cosine_mean'] > 0.98
    bits = {layer['name']: layer['bits'] for layer in network['layers']}
    assert (bits['convDb'], bits['convPb']) == (8, None)
    assert capsys.readouterr().out.count('<- worst') == 2


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (['--simulator'], '--simulator needs images'),
        (['--images', 'x.png', '--simulator', '--toolkit', 'missing'], 'missing: no such interp'),
        (['--images', 'x.png', '--simulator', '--calibration', 'empty'], 'empty: no pictures'),
    ],
)
def test_errors_are_one_line(frames, network_file, tmp_path, monkeypatch, capsys, options, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    cv2.imwrite('x.png', frames[0].image)
    command = ['analyze', '--model', str(network_file), '--board', 'empty']
    assert cli.main([*command, *options]) == 1
    assert reason in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'analysis.html').exists()
