"""Weights of a float ONNX file, identified by the structure of the graph, not by names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from superpoint_rknn.network.network import CELL, LAYERS, Layer, Weights
from superpoint_rknn.runtimes.onnx.model import read_onnx
from superpoint_rknn.runtimes.runtime import ModelError


class _Graph:
    """The nodes of a graph by the tensors that they read."""

    def __init__(self, model: onnx.ModelProto):
        self.constants = {c.name: c for c in model.graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def readers(self, tensor: str, kind: str) -> list[onnx.NodeProto]:
        """Nodes of type `kind` that read a tensor. Raises ValueError if there are none."""
        nodes = self._readers.get(tensor, [])
        found = [node for node in nodes if node.op_type == kind]
        if not found:
            others = ', '.join(node.op_type for node in nodes) or 'nothing'
            raise ValueError(f'{kind} is expected after {tensor!r}, found {others}')
        return found

    def kernel(self, node: onnx.NodeProto) -> np.ndarray:
        return self._constant(node, 1)

    def bias(self, node: onnx.NodeProto) -> np.ndarray:
        if len(node.input) < 3:
            return np.zeros(len(self.kernel(node)), np.float32)
        return self._constant(node, 2)

    def _constant(self, node: onnx.NodeProto, index: int) -> np.ndarray:
        name = node.input[index]
        if name not in self.constants:
            raise ValueError(f'{node.op_type} {node.name!r}: {name!r} is not a constant')
        return numpy_helper.to_array(self.constants[name])


def parse_onnx(path: Path) -> tuple[onnx.ModelProto, bytes]:
    """Return a model and the content of its file. Raises ModelError as `read_onnx` does."""
    content = read_onnx(path)
    try:
        return onnx.load_model_from_string(content), content
    except DecodeError as error:
        raise ModelError(f'{path}: not an ONNX model: {error}') from error


def read_onnx_weights(path: Path) -> Weights:
    """
    Read the weights of a network of Conv, Relu and MaxPool nodes.

    Nodes after the last convolutions of the two heads (softmax, normalization) are ignored.
    Raises ValueError if the graph is not a SuperPoint, ModelError if the file cannot be read.
    """
    model, _ = parse_onnx(path)
    graph = _Graph(model)
    inputs = [value.name for value in model.graph.input if value.name not in graph.constants]
    if len(inputs) != 1:
        raise ValueError(f'{len(inputs)} inputs, expected one image')
    kernels, biases = {}, {}
    tensor_of: dict[str, str] = {}
    for layer in LAYERS:
        source = tensor_of.get(layer.source, inputs[0])
        node = _convolution(graph, layer, source)
        kernels[layer.name], biases[layer.name] = graph.kernel(node), graph.bias(node)
        tensor = node.output[0]
        if layer.relu:
            tensor = graph.readers(tensor, 'Relu')[0].output[0]
        if layer.pool:
            pool = graph.readers(tensor, 'MaxPool')[0]
            _expect_attributes(pool, kernel_shape=[2, 2], strides=[2, 2])
            tensor = pool.output[0]
        tensor_of[layer.name] = tensor
    return Weights(kernels, biases)


def _convolution(graph: _Graph, layer: Layer, source: str) -> onnx.NodeProto:
    """Convolution of a layer among the nodes that read `source`; both heads read the same one."""
    nodes = graph.readers(source, 'Conv')
    if layer.name in ('convPa', 'convDa'):
        heads = [node for node in nodes if _is_detector(graph, node) == (layer.name == 'convPa')]
        if len(heads) != 1:
            raise ValueError(f'{len(nodes)} heads after {source!r}, expected two')
        nodes = heads
    elif len(nodes) != 1:
        raise ValueError(f'{len(nodes)} convolutions after {source!r}, expected one')
    node = nodes[0]
    size, border = [layer.kernel] * 2, [layer.kernel // 2] * 4
    _expect_attributes(node, kernel_shape=size, pads=border)
    _expect_attributes(node, strides=[1, 1], dilations=[1, 1], group=1, auto_pad=b'NOTSET')
    return node


def _is_detector(graph: _Graph, node: onnx.NodeProto) -> bool:
    relu = graph.readers(node.output[0], 'Relu')[0]
    last = graph.readers(relu.output[0], 'Conv')[0]
    return len(graph.kernel(last)) == CELL * CELL + 1


def _expect_attributes(node: onnx.NodeProto, **expected: object) -> None:
    """Raise ValueError if an attribute exists and has another value."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for name, value in expected.items():
        if name in found and found[name] != value:
            raise ValueError(f'{node.op_type} {node.name!r}: {name} {found[name]}, not {value}')
