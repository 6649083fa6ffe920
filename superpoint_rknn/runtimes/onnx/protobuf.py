"""
Parse and write ONNX files without the package onnx: protobuf wire format, onnx.proto fields.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5  # wire types; onnx.proto has no groups
LONGEST_VARINT = 10  # [bytes] of 64 bits


class Model(IntEnum):
    """Fields of ModelProto."""

    IR_VERSION = 1
    GRAPH = 7
    OPSET_IMPORT = 8
    TRAINING_INFO = 20
    FUNCTIONS = 25


class OperatorSetId(IntEnum):
    """Fields of OperatorSetIdProto."""

    VERSION = 2


class TrainingInfo(IntEnum):
    """Fields of TrainingInfoProto."""

    INITIALIZATION = 1
    ALGORITHM = 2


class Function(IntEnum):
    """Fields of FunctionProto."""

    NODE = 7
    ATTRIBUTE_PROTO = 11


class Graph(IntEnum):
    """Fields of GraphProto."""

    NODE = 1
    NAME = 2
    INITIALIZER = 5
    INPUT = 11
    OUTPUT = 12
    SPARSE_INITIALIZER = 15


class Node(IntEnum):
    """Fields of NodeProto."""

    INPUT = 1
    OUTPUT = 2
    OP_TYPE = 4
    ATTRIBUTE = 5
    DOMAIN = 7


class Attribute(IntEnum):
    """Fields of AttributeProto."""

    T = 5
    G = 6
    TENSORS = 10
    GRAPHS = 11
    SPARSE_TENSOR = 22
    SPARSE_TENSORS = 23


class SparseTensor(IntEnum):
    """Fields of SparseTensorProto."""

    VALUES = 1
    INDICES = 2


class Tensor(IntEnum):
    """Fields of TensorProto."""

    DIMS = 1
    DATA_TYPE = 2
    NAME = 8
    RAW_DATA = 9
    EXTERNAL_DATA = 13
    DATA_LOCATION = 14


class StringStringEntry(IntEnum):
    """Fields of StringStringEntryProto."""

    KEY = 1
    VALUE = 2


class ValueInfo(IntEnum):
    """Fields of ValueInfoProto."""

    NAME = 1
    TYPE = 2


class DecodeError(ValueError):
    """The bytes are not a protobuf message."""


class Message:
    """
    A protobuf message with access to its fields by number.

    Fields of another wire type than requested are ignored, as protobuf does.
    Raises DecodeError if the bytes are not a message.
    """

    def __init__(self, content: bytes | memoryview):
        self._fields: dict[int, list[int | memoryview]] = {}
        for number, value, _ in read_fields(memoryview(content)):
            if value is not None:
                self._fields.setdefault(number, []).append(value)

    def integer(self, number: int) -> int:
        """Return the value of an integer field; 0 if it is not set."""
        values = [v for v in self._fields.get(number, ()) if isinstance(v, int)]
        return values[-1] if values else 0

    def text(self, number: int) -> str:
        """Return the value of a text field; '' if it is not set."""
        return (self.texts(number) or [''])[-1]

    def texts(self, number: int) -> list[str]:
        """Return the values of a repeated text field."""
        return [bytes(value).decode(errors='replace') for value in self._delimited(number)]

    def messages(self, number: int) -> list[Message]:
        """Return the messages in a field, repeated or not."""
        return [Message(value) for value in self._delimited(number)]

    def _delimited(self, number: int) -> list[memoryview]:
        return [v for v in self._fields.get(number, ()) if isinstance(v, memoryview)]


def read_fields(
    content: memoryview,
) -> Iterator[tuple[int, int | memoryview | None, memoryview]]:
    """
    Iterate over the fields of a message: number, value, and all bytes.

    The value is an int of a varint, bytes of a length-delimited field, None of others. Raises
    DecodeError if the bytes are not a message.
    """
    position = 0
    while position < len(content):
        start = position
        key, position = _read_varint(content, position)
        number, wire_type = key >> 3, key & 7
        size = {FIXED64: 8, FIXED32: 4}.get(wire_type, 0)
        value: int | memoryview | None = None
        if number == 0 or wire_type not in (VARINT, FIXED64, LENGTH_DELIMITED, FIXED32):
            raise DecodeError(f'field {number} of wire type {wire_type} at byte {position}')
        if wire_type == VARINT:
            value, position = _read_varint(content, position)
        elif wire_type == LENGTH_DELIMITED:
            size, position = _read_varint(content, position)
        if size > len(content) - position:
            raise DecodeError(f'field {number} has {size} bytes, {len(content) - position} remain')
        if wire_type == LENGTH_DELIMITED:
            value = content[position : position + size]
        position += size
        yield number, value, content[start:position]


def _read_varint(content: memoryview, position: int) -> tuple[int, int]:
    """Decode the varint at a position; return it and the position after it."""
    value = 0
    for index, byte in enumerate(content[position : position + LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise DecodeError(f'no end of the number at byte {position}')


def encode(*fields: tuple[int, int | str | bytes | memoryview]) -> bytes:
    """Encode a message with these fields (number, value) in order; ints must be >= 0."""
    parts: list[bytes | memoryview] = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint(number << 3 | VARINT), _varint(value)]
        else:
            content = value.encode() if isinstance(value, str) else value
            parts += [_varint(number << 3 | LENGTH_DELIMITED), _varint(len(content)), content]
    return b''.join(parts)


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
