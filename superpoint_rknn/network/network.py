"""The SuperPoint network: layers, weights, and float graph as ONNX."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from superpoint_rknn.features import CELL

IMAGE, LOGITS, DESCRIPTORS = 'image', 'semi', 'desc'  # the graph's input and outputs
MAX_WIDTH = 2  # times the channels in the paper; feature maps of a bomb take all memory
OPSET = 12  # the first with MaxPool for uint8, and the last that rknn-toolkit 1.7 supports


@dataclass(frozen=True)
class Layer:
    """A convolution with stride 1 and zero padding, which keeps the size of the feature map."""

    name: str
    source: str  # layer whose output it reads, or IMAGE
    inputs: int  # channels in DeTone et al. 2018; inner layers may have others
    outputs: int
    kernel: int = 3  # [px] side
    relu: bool = True
    pool: bool = False  # followed by 2x2 max pooling


LAYERS = (
    Layer('conv1a', IMAGE, 1, 64),
    Layer('conv1b', 'conv1a', 64, 64, pool=True),
    Layer('conv2a', 'conv1b', 64, 64),
    Layer('conv2b', 'conv2a', 64, 64, pool=True),
    Layer('conv3a', 'conv2b', 64, 128),
    Layer('conv3b', 'conv3a', 128, 128, pool=True),
    Layer('conv4a', 'conv3b', 128, 128),
    Layer('conv4b', 'conv4a', 128, 128),
    Layer('convPa', 'conv4b', 128, 256),
    Layer('convPb', 'convPa', 256, CELL * CELL + 1, kernel=1, relu=False),
    Layer('convDa', 'conv4b', 128, 256),
    Layer('convDb', 'convDa', 256, 256, kernel=1, relu=False),
)
OUTPUTS = {'convPb': LOGITS, 'convDb': DESCRIPTORS}


@dataclass(frozen=True)
class Weights:
    """
    Weights of the network by the names of the layers, float32.

    Inner layers may have up to MAX_WIDTH times the channels of the paper if the inputs of a layer
    match the outputs of its source. The activation is max(x, floor); the default floor of 0 is
    a ReLU.
    """

    kernels: dict[str, np.ndarray]  # (outputs, inputs, kernel, kernel)
    biases: dict[str, np.ndarray]  # (outputs,)
    floors: dict[str, np.ndarray] = field(default_factory=dict)  # (outputs,)

    def __post_init__(self) -> None:
        """Raise ValueError if a tensor is missing, not finite, or of another shape or dtype."""
        channels = {IMAGE: 1}
        for layer in LAYERS:
            for name, tensors in (('weight', self.kernels), ('bias', self.biases)):
                if layer.name not in tensors:
                    raise ValueError(
                        f'{layer.name}.{name} is missing: not the weights of a SuperPoint'
                    )
            kernel = self.kernels[layer.name]
            fixed = layer.name in OUTPUTS or kernel.ndim != 4
            channels[layer.name] = layer.outputs if fixed else len(kernel)
            shape = (channels[layer.name], channels[layer.source], layer.kernel, layer.kernel)
            _check(f'{layer.name}.weight', kernel, shape)
            if shape[0] > MAX_WIDTH * layer.outputs:
                raise ValueError(
                    f'{layer.name}.weight has {shape[0]} output channels, expected at most '
                    f'{MAX_WIDTH * layer.outputs}'
                )
            _check(f'{layer.name}.bias', self.biases[layer.name], shape[:1])
            if layer.name in self.floors:
                _check(f'{layer.name}.floor', self.floors[layer.name], shape[:1])


def _check(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f'{name} has shape {values.shape}, expected {shape}')
    if values.dtype != np.float32:
        raise ValueError(f'{name} is {values.dtype}, expected float32')
    if not np.isfinite(values).all():
        raise ValueError(f'{name} contains values that are not finite')


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return `size`, height and width [px]; raise ValueError unless both are divisible by 8."""
    if min(size) < CELL or any(side % CELL for side in size):
        raise ValueError(f'size {size[0]}x{size[1]} is not divisible by {CELL}')
    return size


def float_tensor(layer: Layer) -> str:
    """Name of the output of a layer in the float graph, after ReLU and before pooling."""
    return f'{layer.name}_relu' if layer.relu else OUTPUTS[layer.name]


def float_graph(weights: Weights, size: tuple[int, int]) -> onnx.ModelProto:
    """
    Build the float network as ONNX: convolutions, ReLU or Max with a floor, and max pooling.

    size: height and width of the model input [px], divisible by 8, else ValueError.
    The input is `image` (1, 1, H, W) float32, grey 0..255. The outputs are `semi`
    (1, 65, H/8, W/8), the logits, and `desc` (1, 256, H/8, W/8), before L2 normalization.
    """
    height, width = check_size(size)
    nodes, constants, tensor_of = [], [], {IMAGE: IMAGE}

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    def node(kind: str, name: str, inputs: list[str], output: str, **shape: list[int]) -> str:
        node = helper.make_node(kind, inputs, [output], name)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in shape.items())
        nodes.append(node)
        return output

    for layer in LAYERS:
        inputs = [
            tensor_of[layer.source],
            constant(f'{layer.name}.weight', weights.kernels[layer.name]),
            constant(f'{layer.name}.bias', weights.biases[layer.name]),
        ]
        shape = {'kernel_shape': [layer.kernel] * 2, 'pads': [layer.kernel // 2] * 4}
        output = OUTPUTS.get(layer.name, layer.name)
        tensor = node('Conv', layer.name, inputs, output, **shape)
        if layer.name in weights.floors:
            values = weights.floors[layer.name].reshape(1, -1, 1, 1)
            floor = constant(f'{layer.name}.floor', values)
            tensor = node('Max', f'{layer.name}_max', [tensor, floor], f'{layer.name}_max')
        elif layer.relu:
            tensor = node('Relu', f'{layer.name}_relu', [tensor], f'{layer.name}_relu')
        if layer.pool:
            square = {'kernel_shape': [2, 2], 'strides': [2, 2]}
            name = f'{layer.name}_pool'
            tensor = node('MaxPool', name, [tensor], name, **square)
        tensor_of[layer.name] = tensor

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape])

    cells = (height // CELL, width // CELL)
    graph = helper.make_graph(
        nodes,
        'superpoint',
        [value(IMAGE, 1, height, width)],
        [value(LOGITS, CELL * CELL + 1, *cells), value(DESCRIPTORS, 256, *cells)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
    model.ir_version = 7
    model.producer_name = 'superpoint_rknn'
    onnx.checker.check_model(model)
    return model
