import numpy as np
import onnx
import pytest
from torch_writer import save_tensors

from superpoint_rknn.network.network import LAYERS, Weights, float_graph
from superpoint_rknn.network.rpautrat import EPSILON, MODULES
from superpoint_rknn.network.weights import load_weights, without_floors
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
    with pytest.raises(ValueError, match=r"weights must be \.npz, \.onnx or \.pth, not '\.pt'"):
        load_weights(tmp_path / 'weights.pt')
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
    refused(external, ModelError, 'stored in another file')
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
