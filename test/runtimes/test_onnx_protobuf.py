"""The protobuf reader and writer of the CPU runtime, compared with onnx and protobuf."""

import onnx
import pytest
from onnx import TensorProto, helper

from superpoint_rknn.runtimes.onnx import model, protobuf
from superpoint_rknn.runtimes.onnx.protobuf import DecodeError, Message, encode

PROTOS = {
    kind: getattr(onnx, f'{kind.__name__}Proto')
    for kind in (*model.INNER_MESSAGES, protobuf.ValueInfo, protobuf.OperatorSetId)
}


@pytest.mark.parametrize('kind', PROTOS, ids=lambda kind: kind.__name__)
def test_field_numbers(kind):
    fields = PROTOS[kind].DESCRIPTOR.fields_by_number
    assert {number.name.lower(): number.value for number in kind} == {
        fields[number].name.lower(): number for number in kind
    }


@pytest.mark.parametrize('kind', model.INNER_MESSAGES, ids=lambda kind: kind.__name__)
def test_every_field_that_may_hold_a_tensor_or_a_node_is_visited(kind):
    """Compared with all fields of onnx.proto that contain a TensorProto or a NodeProto."""
    expected = {
        field.number: field.message_type.name
        for field in PROTOS[kind].DESCRIPTOR.fields
        if field.message_type is not None and contains_tensor_or_node(field.message_type)
    }
    visited = model.INNER_MESSAGES[kind]
    assert {number: f'{inner.__name__}Proto' for number, inner in visited.items()} == expected


def contains_tensor_or_node(descriptor, seen=()):
    if descriptor.name in ('TensorProto', 'NodeProto'):
        return True
    return any(
        contains_tensor_or_node(field.message_type, (*seen, descriptor.name))
        for field in descriptor.fields
        if field.message_type is not None and field.message_type.name not in seen
    )


def test_values_of_a_tensor():
    tensor = helper.make_tensor('weights', TensorProto.INT8, [2, 300], bytes(600), raw=True)
    message = Message(tensor.SerializeToString())
    assert message.text(protobuf.Tensor.NAME) == 'weights'
    assert message.integer(protobuf.Tensor.DATA_TYPE) == TensorProto.INT8
    assert message.integer(protobuf.Tensor.DATA_LOCATION) == 0
    assert message.integer(protobuf.Tensor.DIMS) == 300  # the last one


def test_values_of_a_node():
    node = helper.make_node('Conv', ['x', 'w', 'b'], ['y'], domain='com.microsoft', group=3)
    message = Message(node.SerializeToString())
    assert message.texts(protobuf.Node.INPUT) == ['x', 'w', 'b']
    assert message.text(protobuf.Node.DOMAIN) == 'com.microsoft'
    assert len(message.messages(protobuf.Node.ATTRIBUTE)) == 1
    assert message.texts(99) == []


def test_encoded_fields_are_read_by_protobuf():
    content = encode((1, 2), (1, 300), (2, TensorProto.UINT8), (8, 'x'), (9, bytes(600)))
    tensor = TensorProto.FromString(content)
    assert list(tensor.dims) == [2, 300]
    assert tensor.name == 'x'
    assert len(tensor.raw_data) == 600


@pytest.mark.parametrize(
    'content',
    [
        b'\x08',  # a varint is missing
        b'\x08' + b'\xff' * 10,  # a varint of more than 64 bits
        b'\x42\x05four',  # length 5, but 4 bytes
        b'\x0d\x00\x00\x00',  # 3 of 4 bytes
        b'\x00\x01',  # field 0
        b'\x0b\x0c',  # a group
    ],
)
def test_invalid_messages_raise(content):
    with pytest.raises(DecodeError):
        Message(content)


def test_fixed_width_fields_are_skipped():
    message = Message(b'\x0d\x01\x02\x03\x04\x09' + bytes(8) + encode((8, 'x')))
    assert message.text(8) == 'x'
    assert message.integer(1) == 0
