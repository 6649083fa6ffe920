"""Errors of layers: computed by hand, and of networks that were broken on purpose."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from superpoint_rknn.analyze.analysis import Analysis, analyze, check_origin
from superpoint_rknn.analyze.diagnosis import diagnose, own_error, percent, worst_layer
from superpoint_rknn.analyze.float_trace import TRACED, FloatTrace
from superpoint_rknn.analyze.html_report import html_report
from superpoint_rknn.analyze.integer_trace import IntegerTrace
from superpoint_rknn.analyze.layer_errors import Deviation, LayerErrors, keypoint_cells
from superpoint_rknn.analyze.output_errors import OutputErrors, Outputs, heat_map, nearest_distance
from superpoint_rknn.analyze.range_use import fake_quantize
from superpoint_rknn.analyze.text_report import text_report
from superpoint_rknn.features.keypoints import Keypoints
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.network import LAYERS, Weights, float_graph
from superpoint_rknn.network.weights import without_floors
from superpoint_rknn.quantize.calibration import calibration_image
from superpoint_rknn.quantize.command import quantize
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.runtime import ModelError

SIZE = (64, 96)
NOWHERE = (np.array([], int), np.array([], int))


@pytest.fixture(scope='module')
def images(frames):
    return [calibration_image(frame, SIZE) for frame in frames]


def edited(path, output, **factors):
    """Copy a network with some scales multiplied, as after a wrong calibration."""
    model = onnx.load(path)
    constants = {constant.name: constant for constant in model.graph.initializer}
    for name, factor in factors.items():
        scale = numpy_helper.to_array(constants[f'{name}_scale']) * np.float32(factor)
        constants[f'{name}_scale'].CopyFrom(numpy_helper.from_array(scale, f'{name}_scale'))
        for reader in model.graph.node:
            # The scale of a bias is that of the input times that of the weights.
            if reader.op_type == 'QLinearConv' and reader.input[1] == f'{name}_scale':
                bias = constants[reader.input[8]]
                rescaled = np.rint(numpy_helper.to_array(bias) / factor).astype(np.int32)
                bias.CopyFrom(numpy_helper.from_array(rescaled, bias.name))
    onnx.save(model, output)
    return output


def test_deviation_by_hand():
    deviation = Deviation()
    assert deviation.cosine is None
    assert deviation.relative is None
    deviation.add(np.float32([3, 0]), np.float32([3, 0]))
    deviation.add(np.float32([4]), np.float32([0]))
    assert deviation.relative == pytest.approx(4 / 5)
    assert deviation.cosine == pytest.approx(9 / (5 * 3))


def test_fake_quantize_is_quantize_and_dequantize():
    values = np.random.default_rng(0).normal(0, 2, 1000).astype(np.float32)
    for quantization in (Quantization(0.01, 128, np.uint8), Quantization(0.02, -5, np.int8)):
        expected = quantization.dequantize(quantization.quantize(values))
        np.testing.assert_allclose(fake_quantize(values, quantization), expected, atol=1e-6)


def test_clipping_and_best_range_by_hand():
    errors = LayerErrors('layer', Quantization(1.0, 0, np.uint8))
    values = np.arange(-100, 500, dtype=np.float32).reshape(1, 20, 30)
    errors.add(values, values, None, NOWHERE)
    # -1 and below, 256 and above: values less than half a step outside are rounded.
    assert errors.range.clipped == (100 + 244) / 600
    assert errors.range.steps_used == 1
    low, high, error = errors.range.best()
    assert (low, high) == (-100, 499)
    assert error < errors.rounding.everywhere.relative / 50


def test_steps_used_ignores_outliers():
    errors = LayerErrors('layer', Quantization(1.0, 100, np.uint8))
    values = np.tile(np.float32([0, 51]), 20_000)
    values[:2] = 155  # outliers
    values = values.reshape(1, 200, 200)
    errors.add(values, values, None, NOWHERE)
    assert errors.range.typical == (0, 51)
    assert errors.range.steps_used == pytest.approx(51 / 255)
    assert errors.range.clipped == 0


def test_cells_of_keypoints_by_hand():
    points = Keypoints(np.float32([0, 7, 8, 95]), np.float32([0, 8, 7, 63]), np.float32([1] * 4))
    rows, cols = keypoint_cells(points, SIZE, (8, 12))
    np.testing.assert_array_equal(rows, [0, 1, 0, 7])
    np.testing.assert_array_equal(cols, [0, 0, 1, 11])
    rows, cols = keypoint_cells(points, SIZE, SIZE)
    np.testing.assert_array_equal(rows, points.y)
    np.testing.assert_array_equal(cols, points.x)


def test_outputs_by_hand():
    logits = np.zeros((65, 2, 3), np.float32)
    logits[8 * 3 + 5, 1, 2] = np.log(65)  # row 3, column 5 of the last cell
    heat = heat_map(logits)
    assert heat.shape == (16, 24)
    assert np.unravel_index(heat.argmax(), heat.shape) == (8 + 3, 16 + 5)
    assert heat.max() == pytest.approx(65 / (65 + 64), rel=1e-5)
    assert heat[0, 0] == pytest.approx(1 / 65, rel=1e-5)
    points = Keypoints(np.float32([0, 10]), np.float32([0, 10]), np.float32([1, 1]))
    others = Keypoints(np.float32([3, 10]), np.float32([4, 11]), np.float32([1, 1]))
    np.testing.assert_allclose(nearest_distance(points, others), [5, 1])
    none = Keypoints(*np.zeros((3, 0), np.float32))
    assert np.isinf(nearest_distance(points, none)).all()


def test_integer_trace_equals_the_cpu_runtime(network_file, images):
    trace, runtime = IntegerTrace(network_file), OnnxRuntime(network_file)
    values = trace.run(images[0].grey)
    raw = np.empty(runtime.descriptors.shape[1:], np.uint8)
    np.testing.assert_array_equal(values['convPb'], runtime.infer(images[0].grey, raw))
    expected = runtime.descriptors.quantization.dequantize(raw)
    np.testing.assert_array_equal(values['convDb'], expected)
    np.testing.assert_array_equal(values['image'][0], images[0].grey)
    assert set(values) == set(TRACED)
    assert values['conv1b'].shape == (64, *SIZE)
    assert values['conv2b'].shape == (64, 32, 48)


def test_float_trace_equals_the_float_network(weights, network_file, images, run_onnx):
    trace = FloatTrace(weights, SIZE, IntegerTrace(network_file).layers)
    values, alone = trace.run(images[0].grey)
    logits, descriptors = run_onnx(float_graph(weights, SIZE), images[0].grey.astype(np.float32))
    np.testing.assert_allclose(values['convPb'], logits, atol=1e-4)
    np.testing.assert_allclose(values['convDb'], descriptors, atol=1e-4)
    assert set(alone) == set(TRACED) - {'image', 'convPb'}


def test_layers_with_integer_weights_have_float_inputs(weights, network_file, images):
    layers = IntegerTrace(network_file).layers
    values, alone = FloatTrace(weights, SIZE, layers).run(images[0].grey)
    kernel, bias = layers['convDb'].kernel[:, :, 0, 0], weights.biases['convDb']
    expected = np.einsum('oc,chw->ohw', kernel, values['convDa']) + bias[:, None, None]
    np.testing.assert_allclose(alone['convDb'], expected, atol=1e-4)


def test_good_network_has_no_wrong_range(weights, network_file, images):
    analysis = analyze(weights, IntegerTrace(network_file), images)
    kinds = [finding.kind for finding in diagnose(analysis)]
    assert kinds == ['weights']
    figures = {layer['name']: layer for layer in analysis.summary()['layers']}
    assert figures['convPb']['bits'] is None
    assert figures['convPb']['own']['relative_error'] is None
    for name in set(TRACED) - {'convPb', 'image'}:
        assert figures[name]['own']['relative_error_keypoints'] < 0.05
        assert figures[name]['accumulated']['cosine_keypoints'] > 0.99
    assert figures['image']['own']['relative_error'] == 0
    outputs = analysis.outputs.summary()
    assert outputs['descriptor_cosine_mean'] > 0.99
    assert outputs['keypoints_within_1px'] > 0.8


@pytest.mark.parametrize('name', ['conv1a', 'conv2b', 'conv4a', 'convPa', 'desc'])
@pytest.mark.parametrize(('factor', 'kind'), [(0.1, 'clipped'), (10, 'wasted')])
def test_wrong_range_is_found(weights, network_file, images, tmp_path, name, factor, kind):
    broken = edited(network_file, tmp_path / 'broken.onnx', **{name: factor})
    analysis = analyze(weights, IntegerTrace(broken), images[:1])
    expected = 'convDb' if name == 'desc' else name
    assert worst_layer(analysis) == expected
    found = diagnose(analysis)
    assert [(finding.layer, finding.kind) for finding in found] == [(expected, kind)]
    assert f'{expected} has the wrong range' in found[0].text
    assert 'few images (1;' in found[0].text
    assert all(found[0].advice)


def test_range_that_clips_rare_values_is_reported_as_clipped():
    """Less than 0.1 % of the values are clipped, but a wider range would be better."""
    errors = LayerErrors('conv2a', Quantization(1 / 255, 0, np.dtype(np.uint8)))
    values = np.linspace(0, 1, 100_000, dtype=np.float32).reshape(1, 200, 500)
    values[0, 0, :50] = 3
    errors.add(values, values, values, NOWHERE)
    analysis = Analysis('by hand', {'conv2a': errors}, OutputErrors(SIZE))
    assert errors.range.clipped == 50 / 100_000
    assert errors.range.best().high == 3
    assert [finding.kind for finding in diagnose(analysis)] == ['clipped']


def test_percent():
    shares = (None, 0, 2e-6, 1e-5, 0.00123, 0.0994, 0.0996, 1)
    texts = ['-', '0 %', '< 0.001 %', '0.001 %', '0.12 %', '9.9 %', '10 %', '100 %']
    assert [percent(share) for share in shares] == texts


def test_two_wrong_ranges_are_found(weights, network_file, images, tmp_path):
    broken = edited(network_file, tmp_path / 'broken.onnx', conv3a=0.2, conv1b=8)
    found = diagnose(analyze(weights, IntegerTrace(broken), images[:1]))
    assert {(f.layer, f.kind) for f in found} == {('conv3a', 'clipped'), ('conv1b', 'wasted')}


def test_repeated_advice_is_omitted(weights, network_file, images, tmp_path):
    broken = edited(network_file, tmp_path / 'broken.onnx', conv3a=0.2, conv4a=0.1)
    found = diagnose(analyze(weights, IntegerTrace(broken), images[:1]))
    assert [finding.kind for finding in found] == ['clipped', 'clipped']
    assert found[0].advice
    assert not found[1].advice


def test_biases_for_another_scale_are_found(weights, network_file, images, tmp_path):
    model = onnx.load(network_file)
    (scale,) = (c for c in model.graph.initializer if c.name == 'conv3a_scale')
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * 10, scale.name))
    onnx.save(model, tmp_path / 'broken.onnx')
    analysis = analyze(weights, IntegerTrace(tmp_path / 'broken.onnx'), images[:1])
    assert worst_layer(analysis) == 'conv3a'
    biases = [finding for finding in diagnose(analysis) if finding.kind == 'bias']
    assert [finding.layer for finding in biases] == ['conv3b']
    assert 'another scale of its input, conv3a' in biases[0].text


def test_clipping_input_is_found(weights_file, weights, frames, images, tmp_path):
    path = tmp_path / 'dull.onnx'
    dull = [type(f)(np.clip(f.grey(), 0, 120), None, f.name) for f in frames]
    quantize(weights_file, dull, path, SIZE, ramp=False)
    found = diagnose(analyze(weights, IntegerTrace(path), images))
    assert found[0].layer == 'image'
    assert found[0].kind == 'input'
    assert 'grey values from 0 to 255' in found[0].advice[0]


def test_8_bit_detector_is_analyzed(weights_file, weights, frames, images, tmp_path):
    quantize(weights_file, frames, tmp_path / 'bytes.onnx', SIZE, semi='uint8')
    analysis = analyze(weights, IntegerTrace(tmp_path / 'bytes.onnx'), images[:1])
    figures = {layer['name']: layer for layer in analysis.summary()['layers']}
    assert figures['convPb']['bits'] == 8
    assert figures['convPb']['own']['relative_error'] < 0.05


def test_weights_without_floors_are_analyzed(random_weights, images, network_file):
    trace = FloatTrace(without_floors(random_weights), SIZE)
    values, alone = trace.run(images[0].grey)
    assert not alone
    assert all(values[layer.name].min() >= 0 for layer in LAYERS if layer.relu)
    with pytest.raises(ValueError, match='was not quantized from these weights'):
        check_origin(random_weights, IntegerTrace(network_file).layers, 'small.onnx')


def test_images_without_keypoints():
    logits = np.zeros((65, 8, 12), np.float32)
    logits[64] = 30  # "no point"
    outputs = OutputErrors(SIZE)
    blank = Outputs(logits, np.ones((256, 8, 12), np.float32))
    outputs.add('blank', np.zeros(SIZE, np.uint8), blank, blank)
    figures = outputs.summary()
    assert figures.pop('keypoints') == 0
    assert set(figures.values()) == {None}
    # The error of a layer is then that of the whole tensor.
    errors = LayerErrors('conv1a', Quantization(1.0, 0, np.uint8))
    values = np.linspace(0, 9, 24, dtype=np.float32).reshape(1, 4, 6)
    errors.add(values, values, None, NOWHERE)
    assert own_error(errors) == errors.rounding.everywhere.relative > 0
    analysis = Analysis('blank', {'conv1a': errors}, outputs)
    assert worst_layer(analysis) == 'conv1a'
    assert 'no keypoints were found' in text_report([analysis], None)
    assert 'No keypoints were found' in html_report([analysis], None, '', [])


def test_files_that_are_not_quantized_networks_are_refused(weights, tmp_path):
    path = tmp_path / 'float.onnx'
    onnx.save(float_graph(weights, SIZE), path)
    with pytest.raises(ModelError, match='not a network as `superpoint_rknn quantize` writes it'):
        IntegerTrace(path)
    path.write_bytes(b'no model')
    with pytest.raises(ModelError, match='not an ONNX model'):
        IntegerTrace(path)


@pytest.mark.parametrize('damage', ['kernel', 'scale', 'missing', 'inputs'])
def test_damaged_networks_are_refused(network_file, tmp_path, damage):
    model = onnx.load(network_file)
    constants = {constant.name: constant for constant in model.graph.initializer}
    if damage == 'kernel':
        constant = constants['conv2a.weight_quantized']
        constant.CopyFrom(numpy_helper.from_array(np.zeros((9, 9), np.int8), constant.name))
    elif damage == 'scale':
        constant = constants['conv2a_scale']
        constant.CopyFrom(numpy_helper.from_array(np.float32(np.nan), constant.name))
    elif damage == 'missing':
        model.graph.initializer.remove(constants['conv4a_zero_point'])
    else:
        (node,) = (n for n in model.graph.node if n.name == 'conv2a_quant')
        del node.input[3:]
    path = tmp_path / 'damaged.onnx'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r'damaged\.onnx: not a network'):
        IntegerTrace(path)


def test_one_wrong_layer_is_not_another_network(weights, network_file):
    layers = IntegerTrace(network_file).layers
    kernels = {**weights.kernels, 'conv3a': -weights.kernels['conv3a']}
    check_origin(Weights(kernels, weights.biases), layers, 'small.onnx')
