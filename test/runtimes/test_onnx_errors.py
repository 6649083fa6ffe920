"""Untrusted or damaged model files raise ModelError with the reason."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from superpoint_rknn.runtimes.onnx.runtime import OnnxRuntime
from superpoint_rknn.runtimes.runtime import ModelError

SHIPPED = Path(__file__).parents[2] / 'models' / 'superpoint_400x640_u8.onnx'


def drop_metadata(model):
    del model.metadata_props[:]


def nonsense_metadata(model):
    drop_metadata(model)
    names = ('image.scale', 'image.zero_point', 'desc.scale', 'desc.zero_point')
    helper.set_model_props(model, dict.fromkeys(names, 'nan'))


def negative_scale(model):
    drop_metadata(model)
    props = {
        'image.scale': '1',
        'image.zero_point': '0',
        'desc.scale': '-1',
        'desc.zero_point': '0',
    }
    helper.set_model_props(model, props)


def drop_output(model):
    del model.graph.output[1]


def other_size(model):
    """404 rows: the outputs have 50, and the model no longer states it."""
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 404
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()


def any_size(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = 'rows'


def three_channels(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../../../../../etc/passwd')


def nested_external(model):
    inner = helper.make_graph([], 'inner', [], [])
    inner.initializer.add(name='hidden', dims=[4], data_type=TensorProto.FLOAT)
    inner.initializer[0].external_data.add(key='location', value='/etc/passwd')
    node = helper.make_node('If', ['condition'], ['y'], then_branch=inner, else_branch=inner)
    model.graph.node.append(node)


def custom_operator(model):
    model.graph.node[0].domain = 'ai.elsewhere'


def convolution_without_weights(model):
    assert model.graph.node[0].op_type == 'QLinearConv'
    del model.graph.node[0].input[2:]


def unknown_operator(model):
    model.graph.node[0].op_type = 'NoSuchOperator'


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (drop_metadata, r"quantization of 'image' is unknown: the metadata image\.scale"),
        (nonsense_metadata, 'not numbers'),
        (negative_scale, r'desc: scale -1\.0'),
        (drop_output, '1 inputs and 1 outputs'),
        (other_size, '404|fixed'),
        (any_size, "'rows'.*expected a fixed one: .*make_dynamic_shape_fixed"),
        (three_channels, 'can not load this model|3 channels'),
        (external, r"is stored in '\.\./.*/etc/passwd', expected a file beside the model"),
        (nested_external, "'hidden' of a subgraph or node is stored in another file"),
        (custom_operator, "'QLinearConv' of the domain 'ai.elsewhere' is not"),
        (convolution_without_weights, 'onnxruntime can not load this model'),
        (unknown_operator, 'onnxruntime can not load this model'),
    ],
)
def test_invalid_model_raises(tmp_path, change, reason):
    model = onnx.load(SHIPPED)
    change(model)
    path = tmp_path / 'changed.onnx'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=reason) as error:
        OnnxRuntime(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('content', [b'', b'no model at all', b'\x08\x07', b'\x00' * 100])
def test_other_content_raises(tmp_path, content):
    path = tmp_path / 'model.onnx'
    path.write_bytes(content)
    with pytest.raises(ModelError, match='not an ONNX model'):
        OnnxRuntime(path)


def test_truncated_or_missing_file_raises(tmp_path):
    path = tmp_path / 'model.onnx'
    with pytest.raises(ModelError, match='No such file'):
        OnnxRuntime(path)
    path.write_bytes(SHIPPED.read_bytes()[:500000])
    with pytest.raises(ModelError, match='not an ONNX model'):
        OnnxRuntime(path)
