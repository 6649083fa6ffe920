import argparse
import hashlib
import json
import logging

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from superpoint_rknn import cli
from superpoint_rknn.network.network import float_graph
from superpoint_rknn.quantize.calibration import calibration_image, ramp_image
from superpoint_rknn.quantize.command import image_size, quantize
from superpoint_rknn.sources.frame import Frame

SIZE = (64, 96)


@pytest.fixture(scope='module')
def quantized(weights_file, frames, tmp_path_factory):
    path = tmp_path_factory.mktemp('quantized') / 'small.onnx'
    card = quantize(weights_file, frames, path, SIZE)
    return path, card


def constants(model):
    return {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}


def integer_convolution(node, x, values):
    """Reference: QLinearConv in integers, from its definition; requantized in float64."""
    _, x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero, bias = (
        values.get(name) for name in node.input
    )
    kernel = weight.astype(np.int64) - int(w_zero)
    side = kernel.shape[2]
    height, width = x.shape[1:]
    border = ((0, 0), (side // 2,) * 2, (side // 2,) * 2)
    padded = np.pad(x.astype(np.int64) - int(x_zero), border)
    total = np.zeros((len(kernel), height, width), np.int64) + bias[:, None, None]
    for i in range(side):
        for j in range(side):
            window = padded[:, i : i + height, j : j + width]
            total += np.einsum('oc,chw->ohw', kernel[:, :, i, j], window)
    real = total * (float(x_scale) * float(w_scale) / float(y_scale))
    return np.clip(np.round(real) + int(y_zero), 0, 255).astype(np.uint8)


def by_definition(model, computed):
    """Reference: output of each node, by name, for the inputs that onnxruntime computed."""
    values, found = constants(model), {}
    for node in model.graph.node:
        x = computed[node.input[0]] if node.input[0] in computed else found[node.input[0]]
        if node.op_type == 'QLinearConv':
            y = integer_convolution(node, x, values)
        elif node.op_type == 'MaxPool':
            y = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
        elif node.op_type == 'DequantizeLinear':
            scale, zero_point = values[node.input[1]], values[node.input[2]]
            y = (x.astype(np.float64) - int(zero_point)) * float(scale)
        else:
            kernel, bias = values[node.input[1]], values[node.input[2]]
            y = np.einsum('oc,chw->ohw', kernel[:, :, 0, 0], x) + bias[:, None, None]
        found[node.output[0]] = y
    return found


def test_layers_compute_qlinearconv_as_defined(quantized, frames, run_onnx):
    model = onnx.load(quantized[0])
    for node in model.graph.node:
        if node.op_type in ('QLinearConv', 'MaxPool') and node.output[0] != 'desc':
            inner = onnx.helper.make_tensor_value_info(node.output[0], TensorProto.UINT8, None)
            model.graph.output.append(inner)
    names = [output.name for output in model.graph.output]
    for frame in frames:
        image = calibration_image(frame, SIZE).grey
        computed = dict(zip(names, run_onnx(model, image), strict=True)) | {'image': image[None]}
        expected = by_definition(model, computed)
        for name in set(names) - {'semi'}:
            assert computed[name].dtype == np.uint8
            difference = computed[name].astype(int) - expected[name]
            # Rounding in float32 and in float64 may differ at an exact half.
            assert np.abs(difference).max() <= 1
            assert (difference != 0).mean() < 1e-3
        np.testing.assert_allclose(computed['semi'], expected['semi'], atol=1e-3)


def test_all_layers_exchange_8_bit_values(quantized):
    model = onnx.load(quantized[0])
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count('QLinearConv') == 11
    assert kinds.count('MaxPool') == 3
    assert sorted(set(kinds)) == ['Conv', 'DequantizeLinear', 'MaxPool', 'QLinearConv']
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.input, *model.graph.output)
    }
    assert types == {
        'image': onnx.TensorProto.UINT8,
        'semi': onnx.TensorProto.FLOAT,
        'desc': onnx.TensorProto.UINT8,
    }


def test_int8_and_uint8_weights_give_equal_outputs(quantized, frames, run_onnx):
    """All weights but those of the first layer are int8, for speed."""
    model = onnx.load(quantized[0])
    kernels = {
        name: v for name, v in constants(model).items() if name.endswith('.weight_quantized')
    }
    signed = [name for name, kernel in kernels.items() if kernel.dtype == np.int8]
    assert sorted(set(kernels) - set(signed)) == ['conv1a.weight_quantized']
    unsigned = onnx.load(quantized[0])
    for constant in unsigned.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.int8:
            values = (values.astype(np.int16) + 128).astype(np.uint8)
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    for frame in frames:
        image = calibration_image(frame, SIZE).grey
        for a, b in zip(run_onnx(model, image), run_onnx(unsigned, image), strict=True):
            np.testing.assert_array_equal(a, b)


def test_outputs_are_close_to_the_float_network(quantized, weights, frames, run_onnx):
    model, card = onnx.load(quantized[0]), quantized[1]
    scale, zero_point = card['descriptors']['scale'], card['descriptors']['zero_point']
    for frame in frames:
        image = calibration_image(frame, SIZE).grey
        logits, raw = run_onnx(model, image)
        float_logits, float_descriptors = run_onnx(
            float_graph(weights, SIZE), image.astype(np.float32)
        )
        descriptors = (raw.astype(np.float32) - zero_point) * scale
        cosine = (descriptors * float_descriptors).sum(0) / (
            np.linalg.norm(descriptors, axis=0) * np.linalg.norm(float_descriptors, axis=0)
        )
        assert cosine.mean() > 0.99
        assert np.corrcoef(logits.ravel(), float_logits.ravel())[0, 1] > 0.995


def test_model_card(quantized, weights_file):
    path, card = quantized
    assert json.loads(path.with_suffix('.json').read_text()) == card
    assert card['name'] == 'small'
    assert card['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card['weights']['sha256'] == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    image, descriptors = card['input'], card['descriptors']
    assert (image['size'], image['dtype'], image['mean'], image['std']) == (
        [64, 96],
        'uint8',
        0,
        1,
    )
    assert (image['scale'], image['zero_point']) == (1, 0)
    assert (descriptors['dim'], descriptors['dtype']) == (256, 'uint8')
    assert card['logits']['dtype'] == 'float32'
    assert card['quantization'] == {
        'scheme': 'asymmetric_affine-u8',
        'ranges': 'minmax',
        'semi': 'float',
    }
    names = ['astronaut.png', 'coffee.png', 'chelsea.png', 'ramp 0..255']
    assert [entry['name'] for entry in card['calibration']] == names
    assert card['calibration'][3]['sha256'] == ramp_image(SIZE).sha256
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata == {
        'image.scale': '1.0',
        'image.zero_point': '0',
        'desc.scale': repr(descriptors['scale']),
        'desc.zero_point': str(descriptors['zero_point']),
    }


def test_equal_inputs_give_equal_files(quantized, weights_file, frames, tmp_path):
    quantize(weights_file, frames, tmp_path / 'small.onnx', SIZE)
    for suffix in ('.onnx', '.json'):
        again = (tmp_path / 'small.onnx').with_suffix(suffix)
        assert again.read_bytes() == quantized[0].with_suffix(suffix).read_bytes()


def test_8_bit_detector(weights_file, frames, tmp_path, run_onnx):
    path = tmp_path / 'bytes.onnx'
    quantize(weights_file, frames, path, SIZE, semi='uint8')
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node].count('QLinearConv') == 12
    logits, _ = run_onnx(model, calibration_image(frames[0], SIZE).grey)
    assert logits.dtype == np.float32
    assert len(np.unique(logits)) <= 256


def test_percentile_excludes_outliers(quantized, weights_file, frames, tmp_path):
    card = quantize(weights_file, frames, tmp_path / 'p.onnx', SIZE, ranges='percentile')
    assert card['quantization']['percentile'] == 99.99
    assert (card['input']['scale'], card['input']['zero_point']) == (1, 0)
    assert card['descriptors']['scale'] < quantized[1]['descriptors']['scale']


def test_warning_for_missing_grey_values(weights_file, tmp_path, caplog):
    dull = Frame(np.linspace(40, 200, 64 * 96).reshape(SIZE).astype(np.uint8), None, 'dull')
    with caplog.at_level(logging.WARNING):
        card = quantize(weights_file, [dull], tmp_path / 'dull.onnx', SIZE, ramp=False)
    assert 'span the grey values 40 to 200' in caplog.text
    assert card['input']['scale'] == pytest.approx(200 / 255)
    caplog.clear()
    card = quantize(weights_file, [dull], tmp_path / 'ramp.onnx', SIZE)
    assert card['input']['scale'] == 1
    assert not caplog.text


def test_images_are_cropped_at_the_centre():
    tall = np.zeros((200, 96), np.uint8)
    tall[68:132] = 9  # the middle 64 rows
    image = calibration_image(Frame(tall, None, 'tall'), SIZE)
    np.testing.assert_array_equal(image.grey, np.full(SIZE, 9))
    np.testing.assert_array_equal(np.unique(ramp_image((8, 256)).grey), np.arange(256))


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'size': (64, 90)}, '64x90 is not divisible by 8'),
        ({'ranges': 'entropy'}, "ranges 'entropy' is none of minmax, percentile"),
        ({'semi': 'float16'}, "semi 'float16' is none of float, uint8"),
        ({'percentile': 100}, 'percentile 100 is not between 50 and 100'),
        ({'images': []}, 'no calibration images'),
        ({'output': 'model.rknn'}, 'needs the suffix .onnx'),
        ({'input_std': 0.0}, 'input std 0.0 is not positive'),
    ],
)
def test_invalid_arguments_are_refused(weights_file, frames, tmp_path, options, reason):
    arguments = {'images': frames, 'output': 'out.onnx', 'size': SIZE, **options}
    output = tmp_path / arguments.pop('output')
    with pytest.raises(ValueError, match=reason):
        quantize(weights_file, output=output, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_interruption_keeps_the_old_files(quantized, weights_file, frames, tmp_path):
    path = tmp_path / 'small.onnx'
    path.write_bytes(b'old')

    def interrupted(images):
        yield from images[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(weights_file, frames, path, SIZE, progress=interrupted)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_command(weights_file, frames, tmp_path, capsys):
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    for frame in frames:
        cv2.imwrite(str(pictures / frame.name), frame.image)
    output = tmp_path / 'out.onnx'
    arguments = ['quantize', str(weights_file), '--images', str(pictures), '-o', str(output)]
    assert cli.main([*arguments, '--size', '64x96', '--max-images', '2']) == 0
    assert 'from 3 images, input scale 1 zero point 0' in capsys.readouterr().out
    card = json.loads(output.with_suffix('.json').read_text())
    assert [entry['name'] for entry in card['calibration']][:2] == ['astronaut.png', 'coffee.png']


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'--images': 'empty'}, 'no pictures'),
        ({'--images': 'missing'}, 'no such file or folder'),
        ({'-o': 'missing/out.onnx'}, 'no such folder'),
        ({'--max-images': '0'}, 'at least one is needed'),
    ],
)
def test_command_reports_errors(weights_file, tmp_path, capsys, monkeypatch, change, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    options = {'--images': 'empty', '-o': 'out.onnx', **change}
    arguments = [word for option in options.items() for word in option]
    assert cli.main(['quantize', str(weights_file), *arguments]) != 0
    error = capsys.readouterr().err
    assert reason in error
    assert error.count('\n') == 1


def test_image_size():
    assert image_size('480x752') == (480, 752)
    for wrong in ('480', '480x750', 'x', '480x752x3', '0x8'):
        with pytest.raises(argparse.ArgumentTypeError, match='expected HxW'):
            image_size(wrong)
