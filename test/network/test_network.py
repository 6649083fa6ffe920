import numpy as np
import onnx
import pytest

from superpoint_rknn.network.network import LAYERS, Weights, check_size, float_graph
from superpoint_rknn.network.weights import without_floors


def convolve(x, kernel, bias):
    """Reference: 'same' convolution (C, H, W) with zeros around it, as a sum over taps."""
    side = kernel.shape[2]
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    y = np.zeros((len(kernel), height, width)) + bias[:, None, None]
    for i in range(side):
        for j in range(side):
            window = padded[:, i : i + height, j : j + width]
            y += np.einsum('oc,chw->ohw', kernel[:, :, i, j], window)
    return y


def forward(weights, image):
    """Reference: the network, layer by layer, in float64."""
    values = {'image': image[None].astype(np.float64)}
    for layer in LAYERS:
        kernel, bias = weights.kernels[layer.name], weights.biases[layer.name]
        y = convolve(values[layer.source], kernel.astype(np.float64), bias)
        if layer.relu:
            floor = weights.floors.get(layer.name, np.zeros(len(y)))
            y = np.maximum(y, floor[:, None, None])
        if layer.pool:
            y = y.reshape(len(y), y.shape[1] // 2, 2, y.shape[2] // 2, 2).max((2, 4))
        values[layer.name] = y
    return values['convPb'], values['convDb']


@pytest.mark.parametrize('with_floors', [True, False])
def test_float_graph_computes_the_network(random_weights, run_onnx, with_floors):
    weights = random_weights
    if not with_floors:
        weights = Weights(weights.kernels, weights.biases)
    image = np.random.default_rng(0).integers(0, 256, (32, 40)).astype(np.float32)
    logits, descriptors = run_onnx(float_graph(weights, (32, 40)), image)
    expected_logits, expected_descriptors = forward(weights, image)
    assert logits.shape == (65, 4, 5)
    assert descriptors.shape == (256, 4, 5)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)
    np.testing.assert_allclose(descriptors, expected_descriptors, atol=1e-4)


def test_without_floors_is_exact_except_near_the_border(random_weights, run_onnx):
    size = (160, 168)
    image = np.random.default_rng(0).integers(0, 256, size).astype(np.float32)
    exact = run_onnx(float_graph(random_weights, size), image)
    folded = run_onnx(float_graph(without_floors(random_weights), size), image)
    for a, b in zip(exact, folded, strict=True):
        inner = np.s_[:, 8:-8, 8:-8]
        np.testing.assert_allclose(a[inner], b[inner], atol=2e-4)
        assert np.abs(a - b).max() > 0.01  # padding with 0 instead of the floor


def test_float_graph_has_only_operators_of_the_toolkits(weights):
    graph = float_graph(weights, (480, 752))
    assert {node.op_type for node in graph.graph.node} == {'Conv', 'Relu', 'MaxPool'}
    assert graph.opset_import[0].version == 12
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True)
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.input, *inferred.graph.output)
    }
    assert shapes == {
        'image': [1, 1, 480, 752],
        'semi': [1, 65, 60, 94],
        'desc': [1, 256, 60, 94],
    }


@pytest.mark.parametrize('size', [(400, 642), (404, 640), (0, 640), (-8, 640)])
def test_invalid_sizes_are_refused(weights, size):
    with pytest.raises(ValueError, match=f'{size[0]}x{size[1]} is not divisible by 8'):
        float_graph(weights, size)
    assert check_size((8, 16)) == (8, 16)


def test_invalid_weights_are_refused(weights):
    kernels, biases = dict(weights.kernels), dict(weights.biases)
    with pytest.raises(ValueError, match=r'conv1a\.weight is missing'):
        Weights({}, biases)
    with pytest.raises(ValueError, match=r'conv3b\.weight has shape \(128, 1, 3, 3\), expected'):
        Weights({**kernels, 'conv3b': kernels['conv3b'][:, :1]}, biases)
    with pytest.raises(ValueError, match=r'convDb\.bias is float64'):
        Weights(kernels, {**biases, 'convDb': biases['convDb'].astype(np.float64)})
    broken = biases['convPb'].copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match=r'convPb\.bias contains values that are not finite'):
        Weights(kernels, {**biases, 'convPb': broken})


def test_inner_layers_may_be_narrower(weights, run_onnx):
    kernels, biases = dict(weights.kernels), dict(weights.biases)
    kernels['conv2a'], biases['conv2a'] = kernels['conv2a'][:5], biases['conv2a'][:5]
    with pytest.raises(ValueError, match=r'conv2b\.weight has shape \(64, 64, 3, 3\), expected'):
        Weights(kernels, biases)
    kernels['conv2b'] = kernels['conv2b'][:, :5]
    narrow = Weights(kernels, biases)
    image = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.float32)
    logits, _ = run_onnx(float_graph(narrow, (16, 16)), image)
    np.testing.assert_allclose(logits, forward(narrow, image)[0], atol=1e-4)
    with pytest.raises(ValueError, match=r'convPb\.weight has shape \(64, 256, 1, 1\), expected'):
        Weights({**kernels, 'convPb': kernels['convPb'][:64]}, biases)
