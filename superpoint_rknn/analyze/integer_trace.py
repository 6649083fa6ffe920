"""The outputs of all layers of an 8-bit network that `superpoint_rknn quantize` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from superpoint_rknn.analyze.onnx_session import compute, open_session, with_outputs
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.network import IMAGE, LAYERS, OUTPUTS, Layer
from superpoint_rknn.network.onnx_weights import parse_onnx
from superpoint_rknn.runtimes.onnx.int8_overflow import has_int8_overflow
from superpoint_rknn.runtimes.onnx.model import has_signed_first_layer
from superpoint_rknn.runtimes.runtime import ModelError


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution that computes in integers, with its dequantized parameters."""

    tensor: str  # its output, after ReLU and before pooling
    quantization: Quantization  # of that output
    kernel: np.ndarray  # (outputs, inputs, kernel, kernel) float32
    bias: np.ndarray  # (outputs,) float32


class IntegerTrace:
    """
    An 8-bit network that returns the outputs of all its layers.

    size: height and width of the model input [px].
    layers: the convolutions that compute in integers, by name; float layers are left out.
    quantizations: of the model input ('image') and of the outputs of `layers`, by name.
    content: the bytes of the file.
    """

    def __init__(self, path: Path):
        """Read the network. Raises ModelError if `quantize` did not write the file."""
        self.path = Path(path)
        model, self.content = parse_onnx(self.path)
        precise = has_signed_first_layer(self.content) and has_int8_overflow()
        try:
            nodes = _convolutions(model)
            constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
            image = _input_quantization(nodes[LAYERS[0].name], constants)
            self.layers = {
                layer.name: _integer_layer(layer, nodes[layer.name], constants)
                for layer in LAYERS
                if nodes[layer.name].op_type == 'QLinearConv'
            }
            self.size = _image_size(model)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f'{path}: not a network as `superpoint_rknn quantize` writes it: {error}'
            ) from error
        self.quantizations = {
            IMAGE: image,
            **{name: layer.quantization for name, layer in self.layers.items()},
        }
        self._input_table = image.quantize(np.arange(256))
        self._tensors = {
            layer.name: self.layers[layer.name].tensor
            if layer.name in self.layers
            else OUTPUTS.get(layer.name, f'{layer.name}_relu')
            for layer in LAYERS
        }
        self._session = open_session(with_outputs(model, self._tensors.values()), path, precise)

    def run(self, grey: np.ndarray) -> dict[str, np.ndarray]:
        """
        Dequantized model input and outputs of all layers by name, (C, h, w) float32.

        grey: (H, W) uint8. Raises RuntimeError if onnxruntime fails.
        """
        image = self._input_table[grey][None]
        outputs = compute(self._session, {IMAGE: image}, list(self._tensors.values()))
        values = {IMAGE: image, **dict(zip(self._tensors, outputs, strict=True))}
        for name, quantization in self.quantizations.items():
            values[name] = quantization.dequantize(values[name])
        return values


def _convolutions(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Convolution of each layer by name, identified by the names of their weights."""
    nodes = {}
    for node in model.graph.node:
        if node.op_type in ('QLinearConv', 'Conv'):
            weight = node.input[3 if node.op_type == 'QLinearConv' else 1]
            nodes[weight.split('.')[0]] = node
    for layer in LAYERS:
        if layer.name not in nodes:
            raise ValueError(f'there is no layer {layer.name}')
    return nodes


def _input_quantization(first: onnx.NodeProto, constants: dict[str, np.ndarray]) -> Quantization:
    if first.op_type != 'QLinearConv' or first.input[0] != IMAGE:
        raise ValueError(f'{LAYERS[0].name} does not read 8-bit values of an input {IMAGE!r}')
    return _quantization(constants, *first.input[1:3])


def _integer_layer(
    layer: Layer, node: onnx.NodeProto, constants: dict[str, np.ndarray]
) -> IntegerLayer:
    _, x_scale, _, weight, w_scale, w_zero, y_scale, y_zero, bias = node.input
    scale = constants[w_scale].astype(np.float32).reshape(-1, 1, 1, 1)
    zero_point = constants[w_zero].astype(np.float32).reshape(-1, 1, 1, 1)
    kernel = (constants[weight].astype(np.float32) - zero_point) * scale
    if kernel.shape[2:] != (layer.kernel, layer.kernel):
        raise ValueError(
            f'{layer.name} has weights of {kernel.shape[2]}x{kernel.shape[3]}, '
            f'expected {layer.kernel}x{layer.kernel}'
        )
    return IntegerLayer(
        node.output[0],
        _quantization(constants, y_scale, y_zero),
        kernel,
        constants[bias].astype(np.float32) * scale.reshape(-1) * float(constants[x_scale]),
    )


def _quantization(constants: dict[str, np.ndarray], scale: str, zero_point: str) -> Quantization:
    zero = constants[zero_point]
    return Quantization(float(constants[scale]), int(zero), zero.dtype)


def _image_size(model: onnx.ModelProto) -> tuple[int, int]:
    (image,) = (value for value in model.graph.input if value.name == IMAGE)
    *_, height, width = (side.dim_value for side in image.type.tensor_type.shape.dim)
    return height, width
