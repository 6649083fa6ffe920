import io
import zipfile

import numpy as np
import onnx
import pytest
from torch_writer import save_tensors

from superpoint_rknn.network import weights as weights_module
from superpoint_rknn.network.network import LAYERS, Weights, float_graph
from superpoint_rknn.network.rpautrat import EPSILON, MODULES
from superpoint_rknn.network.weights import load_for_8_bits, load_weights, without_floors
from superpoint_rknn.runtimes.runtime import ModelError


def assert_equal(a: Weights, b: Weights):
    for layer in LAYERS:
        np.testing.assert_array_equal(a.kernels[layer.name], b.kernels[layer.name])
        np.testing.assert_array_equal(a.biases[layer.name], b.biases[layer.name])


# .npz


def test_npz(weights_file, weights):
    arrays = np.load(weights_file)
    np.testing.assert_array_equal(weights.kernels['conv3a'], arrays['conv3a.weight'])
    np.testing.assert_array_equal(weights.biases['convDb'], arrays['convDb.bias'])
    assert sum(v.size for v in (*weights.kernels.values(), *weights.biases.values())) == 1300865


def test_invalid_npz_is_refused(weights_file, tmp_path):
    arrays = dict(np.load(weights_file))
    path = tmp_path / 'weights.npz'
    np.savez(path, **{**arrays, 'conv2a.bias': np.array([object()] * 64)})
    with pytest.raises(ValueError, match='Object arrays cannot be loaded'):
        load_weights(path)
    np.savez(path, **{name: v for name, v in arrays.items() if name != 'convDa.bias'})
    with pytest.raises(ValueError, match=r'weights\.npz: convDa\.bias is missing'):
        load_weights(path)
    path.write_bytes(weights_file.read_bytes()[:100000])
    with pytest.raises(ValueError, match='not a NumPy archive'):
        load_weights(path)
    path.write_bytes(b'')
    with pytest.raises(ValueError, match='not a NumPy archive'):
        load_weights(path)


def test_npz_of_other_float_types(weights_file, weights, tmp_path):
    for dtype, rtol in ((np.float64, 0), (np.float16, 1e-3)):
        arrays = {name: values.astype(dtype) for name, values in np.load(weights_file).items()}
        np.savez(tmp_path / 'other.npz', **arrays)
        found = load_weights(tmp_path / 'other.npz', 1.0).kernels['conv3a']
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, weights.kernels['conv3a'], rtol, 1e-7)


def test_npz_that_expands_is_refused_before_it_is_read(weights_file, tmp_path, monkeypatch):
    path = tmp_path / 'weights.npz'
    header = io.BytesIO()
    description = {'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, description)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('conv1a.weight.npy', header.getvalue())
    with pytest.raises(ValueError, match=r'an array of shape \(1099511627776,\) in'):
        load_weights(path)
    path.write_bytes(weights_file.read_bytes())
    monkeypatch.setattr(weights_module, 'MAX_BYTES', 5_000_000)  # each array is smaller
    monkeypatch.setattr(zipfile.ZipFile, 'read', None)
    with pytest.raises(ValueError, match='more than 5000000 bytes in all'):
        load_weights(path)


@pytest.mark.parametrize('gain', [1, 255])
def test_input_scale_is_tested_if_nothing_states_it(weights_file, weights, tmp_path, caplog, gain):
    arrays = dict(np.load(weights_file))
    arrays['conv1a.weight'] = arrays['conv1a.weight'] * np.float32(gain)
    np.savez(tmp_path / 'own.npz', **arrays)
    found = load_weights(tmp_path / 'own.npz')
    np.testing.assert_allclose(found.kernels['conv1a'], weights.kernels['conv1a'], rtol=1e-6)
    assert f'own.npz: input std {gain} was chosen by a test' in caplog.text
    assert f'set --input-std {gain}' in caplog.text


def test_implausible_outputs_are_warned_of(weights_file, tmp_path, caplog):
    path = tmp_path / 'own.npz'
    path.write_bytes(weights_file.read_bytes())
    load_for_8_bits(path, 1.0)
    assert caplog.text == ''
    load_for_8_bits(path, 255.0)
    assert 'own.npz: implausible outputs' in caplog.text
    assert 'input is probably too small' in caplog.text


def test_input_std_is_folded_into_the_first_layer(weights_file, weights, tmp_path):
    scaled = load_weights(weights_file, 255.0)
    np.testing.assert_allclose(
        scaled.kernels['conv1a'] * 255, weights.kernels['conv1a'], rtol=1e-6
    )
    path = tmp_path / 'own.npz'
    path.write_bytes(weights_file.read_bytes())
    (tmp_path / 'own.json').write_text('{"input": {"std": 255}}')
    assert_equal(load_weights(path), scaled)
    (tmp_path / 'own.json').write_text('{"input": {"mean": 127}}')
    with pytest.raises(ValueError, match='input mean 127'):
        load_weights(path)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"weights must be \.npz, \.onnx, \.pth.*, not '\.tar'"):
        load_weights(tmp_path / 'weights.tar')
    with pytest.raises(OSError, match='No such file'):
        load_weights(tmp_path / 'weights.npz')


# .onnx


def test_onnx(weights, tmp_path):
    onnx.save(float_graph(weights, (64, 64)), tmp_path / 'plain.onnx')
    assert_equal(load_weights(tmp_path / 'plain.onnx'), weights)


def test_onnx_under_other_names_with_heads_swapped(weights, tmp_path):
    """Descriptor head first, unnamed nodes, and a normalization node, as exporters write them."""
    model = float_graph(weights, (64, 64))
    nodes = list(model.graph.node)
    heads = [n for n in nodes if n.name.startswith(('convP', 'convD'))]
    trunk = [n for n in nodes if n not in heads]
    heads.sort(key=lambda node: node.name.startswith('convP'))
    del model.graph.node[:]
    model.graph.node.extend([*trunk, *heads])
    model.graph.node.append(onnx.helper.make_node('LpNormalization', ['desc'], ['unit'], axis=1))
    for node in model.graph.node:
        node.name = ''
        node.input[:] = [f'x/{name}' for name in node.input]
        node.output[:] = [f'x/{name}' for name in node.output]
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.name = f'x/{value.name}'
    onnx.save(model, tmp_path / 'other.onnx')
    assert_equal(load_weights(tmp_path / 'other.onnx'), weights)


def test_invalid_onnx_is_refused(weights, tmp_path):
    path = tmp_path / 'model.onnx'

    def refused(change, error, reason):
        model = float_graph(weights, (64, 64))
        change(model.graph)
        onnx.save(model, path)
        with pytest.raises(error, match=reason):
            load_weights(path)

    def node(graph, name):
        return next(node for node in graph.node if node.name == name)

    def stride(graph):
        attributes = node(graph, 'conv2a').attribute
        attributes.append(onnx.helper.make_attribute('strides', [2, 2]))

    def external(graph):
        graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        graph.initializer[0].external_data.add(key='location', value='../../etc/passwd')
        graph.initializer[0].ClearField('raw_data')

    def rename(graph):
        node(graph, 'conv1b_relu').op_type = 'LeakyRelu'

    refused(stride, ValueError, r"Conv 'conv2a': strides \[2, 2\], not \[1, 1\]")
    refused(rename, ValueError, r"Relu is expected after 'conv1b', found LeakyRelu")
    refused(external, ModelError, 'expected a file beside the model')
    path.write_bytes(b'no model')
    with pytest.raises(ModelError, match='not an ONNX model'):
        load_weights(path)


# Layout of rpautrat/SuperPoint


@pytest.fixture
def batch_normalized():
    rng = np.random.default_rng(3)
    arrays = {}
    for layer in LAYERS:
        module, shape = MODULES[layer.name], (layer.outputs,)
        kernel = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        tensors = {
            'conv.weight': rng.normal(0, (2 / np.prod(kernel[1:])) ** 0.5, kernel),
            'conv.bias': rng.normal(0, 0.1, shape),
            'bn.weight': rng.uniform(0.5, 1.5, shape),
            'bn.bias': rng.normal(0, 0.3, shape),
            'bn.running_mean': rng.normal(0.4, 0.1, shape),
            'bn.running_var': rng.uniform(0.5, 2, shape),
        }
        for name, values in tensors.items():
            arrays[f'{module}.{name}'] = values.astype(np.float32)
        arrays[f'{module}.bn.num_batches_tracked'] = np.array(100, np.int64)
    return arrays


def batch_normalized_graph(arrays, size):
    """The same network with BatchNormalization after ReLU, as PyTorch runs it, for 0 to 1."""
    nodes, tensor_of = [], {'image': 'image'}
    for layer in LAYERS:
        name = MODULES[layer.name]
        parameters = [f'{name}.conv.weight', f'{name}.conv.bias']
        nodes.append(
            onnx.helper.make_node(
                'Conv',
                [tensor_of[layer.source], *parameters],
                [name],
                pads=[layer.kernel // 2] * 4,
            )
        )
        tensor = name
        if layer.relu:
            nodes.append(onnx.helper.make_node('Relu', [name], [tensor := f'{name}.relu']))
        parameters = ('weight', 'bias', 'running_mean', 'running_var')
        inputs = [tensor, *(f'{name}.bn.{parameter}' for parameter in parameters)]
        tensor = {'convPb': 'semi', 'convDb': 'desc'}.get(layer.name, f'{name}.bn')
        nodes.append(
            onnx.helper.make_node('BatchNormalization', inputs, [tensor], epsilon=EPSILON)
        )
        if layer.pool:
            square = {'kernel_shape': [2, 2], 'strides': [2, 2]}
            nodes.append(onnx.helper.make_node('MaxPool', [tensor], [f'{name}.pool'], **square))
            tensor = f'{name}.pool'
        tensor_of[layer.name] = tensor

    def value(name, shape):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    cells = [side // 8 for side in size]
    graph = onnx.helper.make_graph(
        nodes,
        'batch_normalized',
        [value('image', [1, 1, *size])],
        [value('semi', [1, 65, *cells]), value('desc', [1, 256, *cells])],
        [
            onnx.numpy_helper.from_array(array, name)
            for name, array in arrays.items()
            if array.dtype == np.float32
        ],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 12)], ir_version=7
    )


def test_folded_batch_normalization_is_exact_at_the_border(
    batch_normalized, tmp_path, torch_names, run_onnx
):
    save_tensors(tmp_path / 'w.pth', batch_normalized, torch_names)
    weights = load_weights(tmp_path / 'w.pth')
    image = np.random.default_rng(0).integers(0, 256, (64, 72)).astype(np.float32)
    expected = run_onnx(batch_normalized_graph(batch_normalized, (64, 72)), image / 255)
    for a, b in zip(run_onnx(float_graph(weights, (64, 72)), image), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    folded = run_onnx(float_graph(without_floors(weights), (64, 72)), image)
    assert np.abs(folded[0] - expected[0]).max() > 0.01


@pytest.mark.parametrize('name', ['w.pth', 'w.pt', 'w.pth.tar', 'w.ckpt'])
@pytest.mark.parametrize('wrap', [None, 'model', 'state_dict', 'model_state_dict'])
@pytest.mark.parametrize('prefix', ['', 'module.', 'extractor.', 'module.extractor.'])
def test_common_key_layouts(weights_file, weights, tmp_path, torch_names, name, wrap, prefix):
    arrays = {prefix + key: values for key, values in np.load(weights_file).items()}
    arrays['matcher.final.weight'] = np.zeros((2, 2), np.float32)  # of another network
    save_tensors(tmp_path / name, arrays, torch_names, wrap)
    assert_equal(load_weights(tmp_path / name, 1.0), weights)


def test_rpautrat_in_a_training_checkpoint(batch_normalized, tmp_path, torch_names):
    save_tensors(tmp_path / 'plain.pth', batch_normalized, torch_names)
    arrays = {f'module.{key}': values for key, values in batch_normalized.items()}
    save_tensors(tmp_path / 'w.ckpt', arrays, torch_names, 'model_state_dict')
    expected = load_weights(tmp_path / 'plain.pth')
    assert_equal(load_weights(tmp_path / 'w.ckpt'), expected)
    raw_grey = load_weights(tmp_path / 'w.ckpt', 1.0)
    np.testing.assert_allclose(
        raw_grey.kernels['conv1a'] / 255, expected.kernels['conv1a'], rtol=1e-6
    )


def test_ambiguous_and_unknown_layouts_are_refused(weights_file, tmp_path, torch_names):
    path, arrays = tmp_path / 'w.pth', dict(np.load(weights_file))

    def refused(arrays, reason):
        save_tensors(path, arrays, torch_names)
        with pytest.raises(ValueError, match=reason):
            load_weights(path)

    two = {f'{prefix}.{key}': v for prefix in ('a', 'b') for key, v in arrays.items()}
    refused(two, r"found 2 networks with the prefixes \['a\.', 'b\.'\]")
    refused(
        {'inc.conv.weight': arrays['conv1a.weight']}, r"found 'inc\.conv\.weight'; export .* ONNX"
    )
    statistics = {'bn1a.running_mean': arrays['conv1a.bias']}
    refused({**arrays, **statistics}, r'bn1a\.running_mean: batch normalization in an unknown')


def test_two_input_channels_are_added(batch_normalized, tmp_path, torch_names):
    save_tensors(tmp_path / 'one.pth', batch_normalized, torch_names)
    kernel = batch_normalized['backbone.0.0.conv.weight']
    halves = np.concatenate([kernel / 4, kernel * 3 / 4], 1)
    save_tensors(
        tmp_path / 'two.pth',
        {**batch_normalized, 'backbone.0.0.conv.weight': halves},
        torch_names,
    )
    one, two = load_weights(tmp_path / 'one.pth'), load_weights(tmp_path / 'two.pth')
    np.testing.assert_allclose(one.kernels['conv1a'], two.kernels['conv1a'], atol=1e-9)


def test_other_layouts_are_refused(batch_normalized, tmp_path, torch_names):
    path = tmp_path / 'w.pth'

    def refused(changes, reason):
        arrays = {**batch_normalized, **changes}
        save_tensors(path, {k: v for k, v in arrays.items() if v is not None}, torch_names)
        with pytest.raises(ValueError, match=reason):
            load_weights(path)

    gain = batch_normalized['backbone.2.1.bn.weight'].copy()
    gain[5] = -0.1
    refused({'backbone.2.1.bn.weight': gain}, 'negative values after a ReLU')
    refused({'detector.0.conv.bias': None}, r'detector\.0\.conv\.bias is missing')
    refused({'detector.1.bn.bias': gain}, r'detector\.1: .* differ in channels')
    refused({'descriptor.0.conv.weight': gain}, 'has 1 dimensions, expected 4')
    wrong = batch_normalized['backbone.1.0.conv.weight'][:, :32]
    refused({'backbone.1.0.conv.weight': wrong.copy()}, r'conv2a\.weight has shape')
