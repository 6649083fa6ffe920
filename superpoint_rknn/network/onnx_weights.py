"""Weights of a float ONNX file, identified by the structure of the graph, not by names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from superpoint_rknn.network.network import CELL, IMAGE, LAYERS, Layer, Weights
from superpoint_rknn.runtimes.onnx.model import read_onnx
from superpoint_rknn.runtimes.runtime import ModelError

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
SAME = (b'SAME_UPPER', b'SAME_LOWER')  # equal to each other for kernels of an odd size
EPSILON = 1e-5  # of BatchNormalization, if not set
LARGEST = 1e30  # maxima above exceed all activations: exporters write the largest float


class _Graph:
    """
    The nodes of a graph by the tensors that they read.

    Constants are initializers and Constant nodes. Identity, and Cast between float types, are
    skipped: their output is another name of their input.
    """

    def __init__(self, model: onnx.ModelProto):
        self.constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
        self._names: dict[str, str] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            if node.op_type == 'Constant':
                self.constants[node.output[0]] = _constant_value(node)
            elif node.op_type == 'Identity' or _is_float_cast(node):
                self._names[node.output[0]] = self.name(node.input[0])
            else:
                for name in map(self.name, node.input):
                    self._readers.setdefault(name, []).append(node)

    def name(self, tensor: str) -> str:
        """Name of a tensor before Identity and Cast."""
        return self._names.get(tensor, tensor)

    def readers(self, tensor: str, *kinds: str) -> list[onnx.NodeProto]:
        """Nodes of these types that read a tensor. Raises ValueError if there are none."""
        nodes = self._readers.get(self.name(tensor), [])
        found = [node for node in nodes if node.op_type in kinds]
        if not found:
            others = ', '.join(node.op_type for node in nodes) or 'nothing'
            raise ValueError(f'{kinds[0]} is expected after {tensor!r}, found {others}')
        return found

    def reader(self, tensor: str, kind: str) -> onnx.NodeProto | None:
        """The node of a type that reads a tensor; None unless it is the only reader."""
        nodes = self._readers.get(self.name(tensor), [])
        return nodes[0] if [node.op_type for node in nodes] == [kind] else None

    def kernel(self, node: onnx.NodeProto) -> np.ndarray:
        return self.constant(node, 1)

    def bias(self, node: onnx.NodeProto) -> np.ndarray:
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(len(self.kernel(node)), np.float32)
        return self.constant(node, 2)

    def constant(self, node: onnx.NodeProto, index: int) -> np.ndarray:
        """Constant input of a node, float32. Raises ValueError if it is none."""
        name = self.name(node.input[index]) if index < len(node.input) else ''
        if name not in self.constants:
            raise ValueError(f'{node.op_type} {node.name!r}: {name!r} is not a constant')
        values = self.constants[name]
        return values.astype(np.float32) if values.dtype.kind == 'f' else values


def _constant_value(node: onnx.NodeProto) -> np.ndarray:
    for attribute in node.attribute:
        if attribute.name == 'value':
            return numpy_helper.to_array(attribute.t)
        if attribute.name in ('value_float', 'value_floats', 'value_int', 'value_ints'):
            return np.asarray(onnx.helper.get_attribute_value(attribute))
    raise ValueError(f'Constant {node.name!r}: not a tensor of numbers')


def _is_float_cast(node: onnx.NodeProto) -> bool:
    return node.op_type == 'Cast' and _attributes(node).get('to') in FLOATS


def parse_onnx(path: Path) -> tuple[onnx.ModelProto, bytes]:
    """Return a model and the content of its file. Raises ModelError as `read_onnx` does."""
    content = read_onnx(path)
    try:
        return onnx.load_model_from_string(content), content
    except DecodeError as error:
        raise ModelError(f'{path}: not an ONNX model: {error}') from error


def read_onnx_weights(path: Path) -> Weights:
    """
    Read the weights of a network of Conv, BatchNormalization, activations and MaxPool nodes.

    Activations are Relu, Clip from 0 without maximum, or Max with a constant. A division or
    multiplication of the input is folded into the first layer, batch normalization into the layer
    before it. Nodes after the last convolutions of the two heads (softmax, normalization) are
    ignored.
    Raises ValueError if the graph is not a SuperPoint, ModelError if the file cannot be read.
    """
    model, _ = parse_onnx(path)
    try:
        return _read_graph(model)
    except (LookupError, TypeError) as error:
        raise ValueError(
            f'a node lacks inputs, or a tensor has other dimensions or an unknown type: {error}'
        ) from error


def _read_graph(model: onnx.ModelProto) -> Weights:
    graph = _Graph(model)
    inputs = [value.name for value in model.graph.input if value.name not in graph.constants]
    if len(inputs) != 1:
        raise ValueError(f'{len(inputs)} inputs, expected one image')
    image, factor = _input(graph, inputs[0])
    kernels, biases, floors = {}, {}, {}
    tensor_of: dict[str, str] = {}
    for layer in LAYERS:
        node = _convolution(graph, layer, tensor_of.get(layer.source, image))
        kernel, bias = graph.kernel(node), graph.bias(node)
        if layer.source == IMAGE:
            kernel = kernel * np.float32(factor)
        kernel, bias, tensor = _normalize(graph, node.output[0], kernel, bias)
        if layer.relu:
            tensor, floor = _activation(graph, tensor)
            kernel, bias, tensor, floor = _normalize_activated(graph, tensor, kernel, bias, floor)
            if floor.any():
                floors[layer.name] = floor
        if layer.pool:
            pool = graph.readers(tensor, 'MaxPool')[0]
            _expect_attributes(pool, kernel_shape=[2, 2], strides=[2, 2])
            _allow_attributes(pool, pads=[0] * 4, dilations=[1, 1], auto_pad=b'NOTSET')
            tensor = pool.output[0]
        kernels[layer.name], biases[layer.name] = kernel, bias
        tensor_of[layer.name] = tensor
    return Weights(kernels, biases, floors)


def _input(graph: _Graph, image: str) -> tuple[str, float]:
    """Follow divisions and multiplications of the image; return the tensor and the factor."""
    factor = 1.0
    while (node := graph.reader(image, 'Div') or graph.reader(image, 'Mul')) is not None:
        index = 1 if graph.name(node.input[0]) == graph.name(image) else 0
        if index == 0 and node.op_type == 'Div':
            raise ValueError(f'Div {node.name!r}: the image is the divisor')
        value = graph.constant(node, index)
        if value.size != 1 or not np.isfinite(value).all() or not value.all():
            raise ValueError(f'{node.op_type} {node.name!r}: not by one number')
        factor *= float(value.item()) ** (-1 if node.op_type == 'Div' else 1)
        image = node.output[0]
    return image, factor


def _normalize(
    graph: _Graph, tensor: str, kernel: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Fold a batch normalization that follows a convolution, if any."""
    node = graph.reader(tensor, 'BatchNormalization')
    if node is None:
        return kernel, bias, tensor
    gain, offset = _gain_and_offset(graph, node, len(kernel))
    kernel = (kernel * gain[:, None, None, None]).astype(np.float32)
    return kernel, (bias * gain + offset).astype(np.float32), node.output[0]


def _normalize_activated(
    graph: _Graph, tensor: str, kernel: np.ndarray, bias: np.ndarray, floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str, np.ndarray]:
    """Fold a batch normalization that follows an activation max(x, floor), if any."""
    floor = np.broadcast_to(floor, len(kernel)).astype(np.float32)
    node = graph.reader(tensor, 'BatchNormalization')
    if node is None:
        return kernel, bias, tensor, floor
    gain, offset = _gain_and_offset(graph, node, len(kernel))
    if (gain < 0).any():
        raise ValueError(
            f'BatchNormalization {node.name!r} has negative scales after an activation, which '
            'cannot be folded into the convolution'
        )
    kernel = (kernel * gain[:, None, None, None]).astype(np.float32)
    bias, floor = ((values * gain + offset).astype(np.float32) for values in (bias, floor))
    return kernel, bias, node.output[0], floor


def _gain_and_offset(
    graph: _Graph, node: onnx.NodeProto, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalization as x * gain + offset, float64."""
    scale, shift, mean, variance = (
        graph.constant(node, index).astype(np.float64) for index in range(1, 5)
    )
    if {values.shape for values in (scale, shift, mean, variance)} != {(channels,)}:
        raise ValueError(f'BatchNormalization {node.name!r}: not of {channels} channels')
    _allow_attributes(node, training_mode=0)
    epsilon = {a.name: a.f for a in node.attribute}.get('epsilon', EPSILON)
    if (variance + epsilon <= 0).any():
        raise ValueError(f'BatchNormalization {node.name!r}: negative variances')
    gain = scale / np.sqrt(variance + epsilon)
    return gain, shift - mean * gain


def _activation(graph: _Graph, tensor: str) -> tuple[str, np.ndarray]:
    """Return the output of an activation max(x, floor), and the floor: (), or one per channel."""
    node = graph.readers(tensor, 'Relu', 'Clip', 'Max')[0]
    floor = np.zeros((), np.float32)
    if node.op_type == 'Clip':
        attributes = {a.name: a.f for a in node.attribute}  # until opset 10
        limits = [
            graph.constant(node, index) if len(node.input) > index and node.input[index] else None
            for index in (1, 2)
        ]
        low, high = (
            attributes.get(name) if limit is None else float(limit)
            for name, limit in zip(('min', 'max'), limits, strict=True)
        )
        if low != 0 or (high is not None and high < LARGEST):
            raise ValueError(f'Clip {node.name!r}: {low} to {high}, expected 0 without maximum')
    elif node.op_type == 'Max':
        index = 1 if graph.name(node.input[0]) == graph.name(tensor) else 0
        floor = graph.constant(node, index)
        if len(node.input) != 2 or floor.size != max(floor.shape[-3:-2], default=1):
            raise ValueError(f'Max {node.name!r}: not with one number per channel')
    return node.output[0], floor.reshape(-1)


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
    _allow_attributes(
        node, kernel_shape=[layer.kernel] * 2, strides=[1, 1], dilations=[1, 1], group=1
    )
    if _attributes(node).get('auto_pad', b'NOTSET') not in SAME:
        _allow_attributes(node, auto_pad=b'NOTSET')
        if layer.kernel > 1:
            _expect_attributes(node, pads=[layer.kernel // 2] * 4)
        _allow_attributes(node, pads=[layer.kernel // 2] * 4)
    return node


def _is_detector(graph: _Graph, node: onnx.NodeProto) -> bool:
    kernel, bias, tensor = _normalize(graph, node.output[0], graph.kernel(node), graph.bias(node))
    tensor, floor = _activation(graph, tensor)
    tensor = _normalize_activated(graph, tensor, kernel, bias, floor)[2]
    last = graph.readers(tensor, 'Conv')[0]
    return len(graph.kernel(last)) == CELL * CELL + 1


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _expect_attributes(node: onnx.NodeProto, **expected: object) -> None:
    """Raise ValueError if an attribute is missing or has another value."""
    found = _attributes(node)
    for name, value in expected.items():
        if found.get(name) != value:
            actual = found.get(name, 'not set')
            raise ValueError(f'{node.op_type} {node.name!r}: {name} {actual}, not {value}')


def _allow_attributes(node: onnx.NodeProto, **expected: object) -> None:
    """Raise ValueError if an attribute is set to another value."""
    found = _attributes(node)
    _expect_attributes(node, **{k: v for k, v in expected.items() if k in found})
