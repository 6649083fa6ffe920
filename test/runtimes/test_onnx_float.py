"""Float models of unknown input scale, of other float types, and with softmaxed outputs."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.network.network import float_graph
from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.outputs import built_in_image, network_faults

SIZE = (240, 320)


@pytest.fixture(scope='module')
def for_0_to_1(weights):
    return replace(weights, kernels={**weights.kernels, 'conv1a': weights.kernels['conv1a'] * 255})


@pytest.fixture(scope='module')
def expected(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp('float') / 'network.onnx'
    onnx.save(float_graph(weights, SIZE), path)
    return outputs(OnnxRuntime(path, std=1))


def outputs(runtime):
    raw = np.empty(runtime.descriptors.shape[1:], np.float32)
    return runtime.infer(built_in_image(*SIZE), raw).copy(), raw


def assert_close(a, b, atol):
    for one, other in zip(a, b, strict=True):
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=atol)


def test_scale_of_the_input_is_tested_if_nothing_states_it(for_0_to_1, expected, tmp_path, caplog):
    path = tmp_path / 'own.onnx'
    onnx.save(float_graph(for_0_to_1, SIZE), path)
    assert_close(outputs(OnnxRuntime(path)), expected, 1e-3)
    assert 'own.onnx: input std 255 was chosen by a test' in caplog.text
    caplog.clear()
    wrong = OnnxRuntime(path, std=1)  # a parameter is not questioned at loading
    assert 'input is probably too large' in network_faults(wrong)[0]
    path.with_suffix('.json').write_text('{"input": {"std": 255}}')
    assert_close(outputs(OnnxRuntime(path)), expected, 1e-3)
    assert caplog.text == ''


def test_softmaxed_output_gives_the_same_keypoints(weights, expected, tmp_path):
    model = float_graph(weights, SIZE)
    for node in model.graph.node:
        node.output[:] = ['logits' if name == 'semi' else name for name in node.output]
    model.opset_import[0].version = 13  # the first with a softmax of one axis
    model.graph.node.append(helper.make_node('Softmax', ['logits'], ['semi'], axis=1))
    onnx.save(model, tmp_path / 'soft.onnx')
    runtime = OnnxRuntime(tmp_path / 'soft.onnx', std=1)
    onnx.save(float_graph(weights, SIZE), tmp_path / 'plain.onnx')
    plain = OnnxRuntime(tmp_path / 'plain.onnx', std=1)
    a, b = (Extractor(r).detect(built_in_image(*SIZE)).keypoints for r in (runtime, plain))
    assert len(a) > 100
    np.testing.assert_allclose(a.x, b.x, atol=1e-4)
    np.testing.assert_allclose(a.score, b.score, atol=1e-5)


def test_float16(weights, expected, tmp_path):
    model = float_graph(weights, SIZE)
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant).astype(np.float16)
        constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, tmp_path / 'half.onnx')
    assert_close(outputs(OnnxRuntime(tmp_path / 'half.onnx', std=1)), expected, 0.2)


def test_input_and_outputs_of_float64(weights, expected, tmp_path):
    model = float_graph(weights, SIZE)
    for node in model.graph.node:
        node.input[:] = ['image32' if name == 'image' else name for name in node.input]
        node.output[:] = [
            name + '32' if name in ('semi', 'desc') else name for name in node.output
        ]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for source, target, kind in (
        ('image', 'image32', TensorProto.FLOAT),
        ('semi32', 'semi', TensorProto.DOUBLE),
        ('desc32', 'desc', TensorProto.DOUBLE),
    ):
        model.graph.node.append(helper.make_node('Cast', [source], [target], to=kind))
    model.graph.node.insert(0, model.graph.node.pop(-3))
    onnx.save(model, tmp_path / 'double.onnx')
    assert_close(outputs(OnnxRuntime(tmp_path / 'double.onnx', std=1)), expected, 1e-4)
