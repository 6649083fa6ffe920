"""Read and validate untrusted ONNX files with the tensors of a SuperPoint."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import numpy as np
import onnxruntime

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.onnx.external_data import read_whole_model
from superpoint_rknn.runtimes.onnx.protobuf import (
    Attribute,
    DecodeError,
    Function,
    Graph,
    Message,
    Model,
    Node,
    SparseTensor,
    Tensor,
    TrainingInfo,
    ValueInfo,
)
from superpoint_rknn.runtimes.runtime import ModelError, TensorSpec, check_tensors

DTYPES: dict[str, np.dtype] = {
    'tensor(uint8)': np.dtype(np.uint8),
    'tensor(int8)': np.dtype(np.int8),
    'tensor(float16)': np.dtype(np.float16),
    'tensor(float)': np.dtype(np.float32),
    'tensor(double)': np.dtype(np.float64),
}
UINT8 = 2  # TensorProto.DataType
LOGIT_CHANNELS = 65
DOMAINS = {'', 'ai.onnx', 'com.microsoft'}  # of onnxruntime's built-in operators


# Messages that may contain tensors or nodes: type: field: type of the messages in the field.
INNER_MESSAGES: dict[type[IntEnum], dict[IntEnum, type[IntEnum]]] = {
    Model: {Model.GRAPH: Graph, Model.TRAINING_INFO: TrainingInfo, Model.FUNCTIONS: Function},
    TrainingInfo: {TrainingInfo.INITIALIZATION: Graph, TrainingInfo.ALGORITHM: Graph},
    Function: {Function.NODE: Node, Function.ATTRIBUTE_PROTO: Attribute},
    Graph: {
        Graph.NODE: Node,
        Graph.INITIALIZER: Tensor,
        Graph.SPARSE_INITIALIZER: SparseTensor,
    },
    Node: {Node.ATTRIBUTE: Attribute},
    Attribute: {
        Attribute.T: Tensor,
        Attribute.G: Graph,
        Attribute.TENSORS: Tensor,
        Attribute.GRAPHS: Graph,
        Attribute.SPARSE_TENSOR: SparseTensor,
        Attribute.SPARSE_TENSORS: SparseTensor,
    },
    SparseTensor: {SparseTensor.VALUES: Tensor, SparseTensor.INDICES: Tensor},
    Tensor: {},
}


def read_onnx(path: Path) -> bytes:
    """
    Read and validate a model file; return its content.

    Tensors that the graph stores in a file beside the model are embedded, see external_data.py.
    Raises ModelError if the file is missing, too large or not an ONNX model, refers to other
    external data, or needs custom operators.
    """
    try:
        content = read_whole_model(path)
        has_nodes = False
        for kind, message in _inner_messages(Message(content)):
            if kind is Tensor:
                _check_data(path, message)
            elif kind is Node:
                has_nodes = True
                _check_operator(path, message)
    except DecodeError as error:
        raise ModelError(f'{path}: not an ONNX model: {error}') from error
    if not has_nodes:
        raise ModelError(f'{path}: an ONNX model without nodes, or not an ONNX model')
    return content


def _inner_messages(model: Message) -> Iterator[tuple[type[IntEnum], Message]]:
    """Iterate over (type, message) of the messages of INNER_MESSAGES inside a model."""
    waiting: list[tuple[type[IntEnum], Message]] = [(Model, model)]
    while waiting:
        kind, message = waiting.pop()
        for number, inner_kind in INNER_MESSAGES[kind].items():
            inner = [(inner_kind, each) for each in message.messages(number)]
            yield from inner
            waiting += inner


def _check_data(path: Path, tensor: Message) -> None:
    if tensor.integer(Tensor.DATA_LOCATION) or tensor.messages(Tensor.EXTERNAL_DATA):
        raise ModelError(
            f'{path}: tensor {tensor.text(Tensor.NAME)!r} of a subgraph or node is stored in '
            'another file; save the model without external data'
        )


def _check_operator(path: Path, node: Message) -> None:
    domain = node.text(Node.DOMAIN)
    if domain not in DOMAINS:
        raise ModelError(
            f'{path}: operator {node.text(Node.OP_TYPE)!r} of the domain {domain!r} is not '
            'supported; export the model with standard operators'
        )


def has_signed_first_layer(content: bytes) -> bool:
    """
    Return True if a layer that reads the model input has, or may have, int8 weights.

    content: of the model file, see `read_onnx`.
    """
    inputs: set[str] = set()
    unsigned: set[str] = set()
    nodes: list[Message] = []
    for graph in Message(content).messages(Model.GRAPH):
        inputs.update(value.text(ValueInfo.NAME) for value in graph.messages(Graph.INPUT))
        for constant in graph.messages(Graph.INITIALIZER):
            if constant.integer(Tensor.DATA_TYPE) == UINT8:
                unsigned.add(constant.text(Tensor.NAME))
        nodes += graph.messages(Graph.NODE)
    readers = [node for node in nodes if inputs.intersection(node.texts(Node.INPUT))]
    # The slice contains the name of the weights; it is empty if a damaged file has fewer inputs.
    return not all(
        node.text(Node.OP_TYPE) == 'Conv'
        or (
            node.text(Node.OP_TYPE) == 'QLinearConv'
            and unsigned.intersection(node.texts(Node.INPUT)[3:4])
        )
        for node in readers
    )


def read_tensors(
    path: Path, session: onnxruntime.InferenceSession
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    """Return the specs of model input, logits and descriptors. Raises ModelError if invalid."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 2:
        raise ModelError(
            f'{path}: {len(inputs)} inputs and {len(outputs)} outputs, expected the input image '
            'and the outputs logits and descriptors'
        )
    metadata = session.get_modelmeta().custom_metadata_map
    image, *maps = (_spec(path, node, metadata) for node in (*inputs, *outputs))
    maps.sort(key=lambda spec: spec.shape[1:2] != (LOGIT_CHANNELS,))
    logits, descriptors = maps
    if logits.dtype.kind != 'f':
        raise ModelError(f'{path}: {logits.name} is {logits.dtype}, expected float logits')
    try:
        check_tensors(image, logits, descriptors)
    except ModelError as error:
        raise ModelError(f'{path}: {error}') from error
    return image, logits, descriptors


def _spec(path: Path, node: onnxruntime.NodeArg, metadata: dict[str, str]) -> TensorSpec:
    dtype = DTYPES.get(node.type)
    if dtype is None:
        raise ModelError(f'{path}: {node.name} is {node.type}, not one of {", ".join(DTYPES)}')
    if not all(isinstance(side, int) for side in node.shape):
        raise ModelError(
            f'{path}: {node.name} has shape {node.shape}, expected a fixed one: export the model '
            'without dynamic axes, or fix the shape of its input: python -m '
            'onnxruntime.tools.make_dynamic_shape_fixed --input_name NAME --input_shape '
            f'1,1,HEIGHT,WIDTH {path.name} fixed.onnx'
        )
    quantization = None
    if dtype.kind != 'f':
        try:
            scale = float(metadata[f'{node.name}.scale'])
            zero_point = int(metadata[f'{node.name}.zero_point'])
        except (KeyError, ValueError) as error:
            raise ModelError(
                f'{path}: the quantization of {node.name!r} is unknown: the metadata '
                f'{node.name}.scale and {node.name}.zero_point are missing or not numbers; make '
                'the model with `superpoint_rknn quantize`'
            ) from error
        limits = np.iinfo(dtype)
        if not (0 < scale < np.inf and limits.min <= zero_point <= limits.max):
            raise ModelError(
                f'{path}: {node.name}: scale {scale}, zero point {zero_point}, expected a '
                f'positive scale and a zero point of {limits.min} to {limits.max}'
            )
        quantization = Quantization(scale, zero_point, dtype)
    return TensorSpec(node.name, tuple(node.shape), dtype, quantization)
