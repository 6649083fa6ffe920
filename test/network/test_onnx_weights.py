"""Networks as other exporters write them: read exactly, or refused by name."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from superpoint_rknn.network.network import LAYERS, OUTPUTS, float_graph
from superpoint_rknn.network.weights import load_weights

SIZE = (64, 72)
OUTPUT_LAYERS = {tensor: layer for layer, tensor in OUTPUTS.items()}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, SIZE).astype(np.float32)


@pytest.fixture
def changed(weights, tmp_path):
    """Function that changes the network's graph and returns the weights of the file."""

    def read(change, network=weights, std=1.0):
        model = float_graph(network, SIZE)
        change(model.graph)
        onnx.save(model, tmp_path / 'other.onnx')
        return load_weights(tmp_path / 'other.onnx', std)

    return read


def assert_equal(found, expected, rtol=0.0):
    for layer in LAYERS:
        for part in ('kernels', 'biases'):
            a, b = (getattr(weights, part)[layer.name] for weights in (found, expected))
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, rtol, rtol)


def of_type(graph, kind):
    return [node for node in graph.node if node.op_type == kind]


def constants(graph):
    """Move the weights to Constant nodes."""
    for tensor in graph.initializer:
        graph.node.insert(0, helper.make_node('Constant', [], [tensor.name], value=tensor))
    del graph.initializer[:]


def identities(graph):
    """Read weights and feature maps through Identity nodes."""
    for tensor in graph.initializer:
        name, tensor.name = tensor.name, tensor.name + '_raw'
        graph.node.insert(0, helper.make_node('Identity', [tensor.name], [name]))
    for node in of_type(graph, 'Relu'):
        name, node.output[0] = node.output[0], node.output[0] + '_raw'
        position = list(graph.node).index(node) + 1
        graph.node.insert(position, helper.make_node('Identity', [node.output[0]], [name]))


def clips(graph):
    graph.initializer.append(numpy_helper.from_array(np.float32(0), 'zero'))
    for node in of_type(graph, 'Relu'):
        node.op_type = 'Clip'
        node.input.append('zero')


@pytest.mark.parametrize('change', [constants, identities, clips])
def test_exact_variants(changed, weights, change):
    found = changed(change)
    assert_equal(found, weights)
    assert found.floors == {}


@pytest.mark.parametrize(('dtype', 'rtol'), [(np.float16, 1e-3), (np.float64, 0)])
@pytest.mark.parametrize('cast', [False, True])
def test_other_float_types(changed, weights, dtype, rtol, cast):
    def change(graph):
        for tensor in graph.initializer:
            values, name = numpy_helper.to_array(tensor).astype(dtype), tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values, name + '_raw' if cast else name))
            if cast:
                node = helper.make_node('Cast', [name + '_raw'], [name], to=TensorProto.FLOAT)
                graph.node.insert(0, node)

    assert_equal(changed(change), weights, rtol)


@pytest.mark.parametrize(('kind', 'value'), [('Div', 255), ('Mul', 1 / 255)])
def test_division_in_the_graph(changed, weights, kind, value):
    def change(graph):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), 'value'))
        graph.node[0].input[0] = 'scaled'
        graph.node.insert(0, helper.make_node(kind, ['image', 'value'], ['scaled']))

    for_0_to_1 = {**weights.kernels, 'conv1a': weights.kernels['conv1a'] * np.float32(255)}
    network = type(weights)(for_0_to_1, weights.biases)
    assert_equal(changed(change, network), weights, 1e-6)


def test_floors_of_the_packages_own_graph(changed, random_weights):
    found = changed(lambda graph: None, random_weights)
    assert_equal(found, random_weights)
    assert found.floors.keys() == random_weights.floors.keys()
    for name, floor in found.floors.items():
        np.testing.assert_array_equal(floor, random_weights.floors[name])


@pytest.mark.parametrize('before', [True, False], ids=['Conv-BN-Relu', 'Conv-Relu-BN'])
def test_batch_normalization(changed, weights, run_onnx, image, tmp_path, before):
    """Also after the last convolutions, and exact at the border."""
    rng = np.random.default_rng(1)

    def change(graph):
        for node in [*graph.node]:
            activated = node.op_type == 'Relu'
            last = node.output[0] in ('semi', 'desc')
            if not (last or (node.op_type == 'Conv' if before else activated)):
                continue
            name = node.output[0]
            layer = OUTPUT_LAYERS.get(name, name.removesuffix('_relu'))
            width = len(weights.biases[layer])
            statistics = {'scale': 1.0, 'shift': 0.1, 'mean': 0.2, 'variance': 1.0}
            for key, value in statistics.items():
                values = rng.uniform(0.9, 1.1, width).astype(np.float32) * np.float32(value)
                graph.initializer.append(numpy_helper.from_array(values, f'{name}.{key}'))
            node.output[0] = f'{name}_raw'
            inputs = [f'{name}_raw', *(f'{name}.{key}' for key in statistics)]
            position = list(graph.node).index(node) + 1
            graph.node.insert(position, helper.make_node('BatchNormalization', inputs, [name]))

    found = changed(change)
    expected = run_onnx(onnx.load(tmp_path / 'other.onnx'), image)
    for a, b in zip(run_onnx(float_graph(found, SIZE), image), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def no_pads(graph):
    attributes = graph.node[0].attribute
    attributes.remove(next(a for a in attributes if a.name == 'pads'))


def no_strides(graph):
    attributes = of_type(graph, 'MaxPool')[0].attribute
    attributes.remove(next(a for a in attributes if a.name == 'strides'))


def relu6(graph):
    clips(graph)
    graph.initializer.append(numpy_helper.from_array(np.float32(6), 'six'))
    for node in of_type(graph, 'Clip'):
        node.input.append('six')


def subtraction(graph):
    graph.initializer.append(numpy_helper.from_array(np.float32(127), 'value'))
    graph.node[0].input[0] = 'centred'
    graph.node.insert(0, helper.make_node('Sub', ['image', 'value'], ['centred']))


def negative_scale(graph):
    for name, value in (('s', -1), ('b', 0), ('m', 0), ('v', 1)):
        values = np.full(64, value, np.float32)
        graph.initializer.append(numpy_helper.from_array(values, name))
    graph.node[2].input[0] = 'normalized'
    inputs = ['conv1a_relu', 's', 'b', 'm', 'v']
    graph.node.insert(2, helper.make_node('BatchNormalization', inputs, ['normalized']))


def computed_weights(graph):
    graph.node.insert(0, helper.make_node('Neg', ['conv1a.weight'], ['negative']))
    graph.node[1].input[1] = 'negative'


def node_without_inputs(graph):
    del graph.node[0].input[:]
    graph.node[0].input.append('image')


def unknown_type(graph):
    graph.initializer[0].data_type = 120


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (no_pads, r"Conv 'conv1a': pads not set, not \[1, 1, 1, 1\]"),
        (no_strides, r"MaxPool 'conv1b_pool': strides not set"),
        (relu6, r"Clip 'conv1a_relu': 0\.0 to 6\.0, expected 0 without maximum"),
        (subtraction, r"Conv is expected after 'image', found Sub"),
        (negative_scale, 'BatchNormalization .* negative scales after an activation'),
        (computed_weights, r"Conv 'conv1a': 'negative' is not a constant"),
        (node_without_inputs, r"Conv 'conv1a': '' is not a constant"),
        (unknown_type, 'unknown type'),
    ],
)
def test_other_networks_are_refused_by_name(changed, change, reason):
    with pytest.raises(ValueError, match=reason):
        changed(change)
