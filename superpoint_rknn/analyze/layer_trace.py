"""What every layer computes for an image: in float, and in the 8 bits of a quantised network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.network import (
    IMAGE,
    LAYERS,
    OUTPUTS,
    Layer,
    Weights,
    float_graph,
    float_tensor,
)
from superpoint_rknn.runtimes.onnx.int8_overflow import has_int8_overflow
from superpoint_rknn.runtimes.onnx.model import has_signed_first_layer, read_onnx
from superpoint_rknn.runtimes.onnx.runtime import LOAD_ERRORS, physical_cores
from superpoint_rknn.runtimes.runtime import ModelError

ROWS = (IMAGE, *(layer.name for layer in LAYERS))  # what is traced: the input and all layers
ERRORS_ONLY = 3  # onnxruntime's log level


@dataclass(frozen=True)
class IntegerLayer:
    """A layer of a quantised network; its numbers are None where it computes in float."""

    name: str
    tensor: str  # its output, after ReLU and before pooling
    quantization: Quantization | None = None  # of that output
    kernel: np.ndarray | None = None  # what the integer weights mean, float32
    bias: np.ndarray | None = None


class IntegerTrace:
    """A quantised network as `superpoint_rknn quantize` writes it, with all of its tensors."""

    def __init__(self, path: Path):
        """Raise ModelError if the file is no such network."""
        self.path = Path(path)
        model, self.content = read_onnx(self.path)
        precise = has_signed_first_layer(model) and has_int8_overflow()
        try:
            self.layers = _integer_layers(model)
            self.size = _image_size(model)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f'{path}: not a network as `superpoint_rknn quantize` writes it: {error}'
            ) from error
        self._names = {layer.tensor: name for name, layer in self.layers.items()}
        del self._names[IMAGE]
        self._session = open_session(_with_outputs(model, self._names), path, precise)

    def run(self, grey: np.ndarray) -> dict[str, np.ndarray]:
        """
        Real numbers that the integers of the input and all layers mean, (C, h, w) float32.

        grey: (H, W) uint8. Raises RuntimeError if the network can't compute it.
        """
        quantization = self.layers[IMAGE].quantization
        image = quantization.quantize(np.arange(256))[grey][None]
        outputs = compute(self._session, {IMAGE: image}, list(self._names))
        values = {IMAGE: image, **dict(zip(self._names.values(), outputs, strict=True))}
        for name, value in values.items():
            quantization = self.layers[name].quantization
            if quantization is not None:
                values[name] = quantization.dequantize(value)
        return values


class FloatTrace:
    """The float network, with all of its tensors."""

    def __init__(
        self,
        weights: Weights,
        size: tuple[int, int],
        layers: dict[str, IntegerLayer] | None = None,
    ):
        """
        Prepare the network for images of `size`.

        layers: of a quantised network, for the outputs of each layer by itself; see run.
        Raises ValueError for a size that isn't divisible by 8.
        """
        model = float_graph(weights, size)
        self._names = {float_tensor(layer): layer.name for layer in LAYERS}
        self._alone = {}
        tensor_of = _source_tensors()
        for layer in LAYERS:
            integer = (layers or {}).get(layer.name)
            if integer is not None and integer.kernel is not None:
                tensor = _add_layer(model, layer, tensor_of[layer.source], integer.kernel)
                self._alone[tensor] = layer.name
        self._session = open_session(
            _with_outputs(model, [*self._names, *self._alone]), 'the float network'
        )

    def run(self, grey: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """
        What the input and all layers compute for an image, (C, h, w) float32.

        The second dictionary holds the output of each layer that is quantised, with its 8-bit
        weights, float bias and the float network's input: the error of the weights alone.
        """
        image = grey[None].astype(np.float32)
        outputs = compute(self._session, {IMAGE: image}, [*self._names, *self._alone])
        values = dict(zip(self._names.values(), outputs[: len(self._names)], strict=True))
        alone = dict(zip(self._alone.values(), outputs[len(self._names) :], strict=True))
        return {IMAGE: image, **values}, alone


def _integer_layers(model: onnx.ModelProto) -> dict[str, IntegerLayer]:
    """The input and the layers by name, found by the names of their weights."""
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    nodes = {}
    for node in model.graph.node:
        if node.op_type in ('QLinearConv', 'Conv'):
            weight = node.input[3 if node.op_type == 'QLinearConv' else 1]
            nodes[weight.split('.')[0]] = node
    layers = {}
    for layer in LAYERS:
        if layer.name not in nodes:
            raise ValueError(f'there is no layer {layer.name}')
        node = nodes[layer.name]
        if node.op_type == 'Conv':
            tensor = OUTPUTS.get(layer.name, f'{layer.name}_relu')
            layers[layer.name] = IntegerLayer(layer.name, tensor)
        else:
            layers[layer.name] = _integer_layer(layer, node, constants)
    first = nodes[LAYERS[0].name]
    if first.op_type != 'QLinearConv' or first.input[0] != IMAGE:
        raise ValueError(f'{LAYERS[0].name} does not read the bytes of an input named {IMAGE!r}')
    quantization = _quantization(constants, *first.input[1:3])
    return {IMAGE: IntegerLayer(IMAGE, IMAGE, quantization), **layers}


def _integer_layer(
    layer: Layer, node: onnx.NodeProto, constants: dict[str, np.ndarray]
) -> IntegerLayer:
    _, x_scale, _, weight, w_scale, w_zero, y_scale, y_zero, bias = node.input
    step = constants[w_scale].astype(np.float32).reshape(-1, 1, 1, 1)
    zero = constants[w_zero].astype(np.float32).reshape(-1, 1, 1, 1)
    kernel = (constants[weight].astype(np.float32) - zero) * step
    if kernel.shape[2:] != (layer.kernel, layer.kernel):
        raise ValueError(
            f'{layer.name} has weights of {kernel.shape[2]}x{kernel.shape[3]}, '
            f'expected {layer.kernel}x{layer.kernel}'
        )
    return IntegerLayer(
        layer.name,
        node.output[0],
        _quantization(constants, y_scale, y_zero),
        kernel,
        constants[bias].astype(np.float32) * step.reshape(-1) * float(constants[x_scale]),
    )


def _quantization(constants: dict[str, np.ndarray], scale: str, zero_point: str) -> Quantization:
    zero = constants[zero_point]
    return Quantization(float(constants[scale]), int(zero), zero.dtype)


def _image_size(model: onnx.ModelProto) -> tuple[int, int]:
    (image,) = (value for value in model.graph.input if value.name == IMAGE)
    *_, height, width = (side.dim_value for side in image.type.tensor_type.shape.dim)
    return height, width


def _source_tensors() -> dict[str, str]:
    """Tensor of the float graph that the readers of a layer, or of the input, are given."""
    pooled = {
        layer.name: f'{layer.name}_pool' if layer.pool else float_tensor(layer) for layer in LAYERS
    }
    return {IMAGE: IMAGE, **pooled}


def _add_layer(model: onnx.ModelProto, layer: Layer, source: str, kernel: np.ndarray) -> str:
    """Add a layer once more, beside itself, with another kernel; returns its output."""
    name = f'{layer.name}.alone'
    model.graph.initializer.append(numpy_helper.from_array(kernel, f'{name}.weight'))
    inputs = [source, f'{name}.weight', f'{layer.name}.bias']
    shape = {'kernel_shape': [layer.kernel] * 2, 'pads': [layer.kernel // 2] * 4}
    model.graph.node.append(helper.make_node('Conv', inputs, [name], **shape))
    if not layer.relu:
        return name
    model.graph.node.append(helper.make_node('Relu', [name], [f'{name}.relu']))
    return f'{name}.relu'


def _with_outputs(model: onnx.ModelProto, tensors: list[str] | dict[str, str]) -> onnx.ModelProto:
    """Copy of a model that gives these tensors too."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    integers = {
        name: TensorProto.UINT8
        for node in copy.graph.node
        if node.op_type == 'QLinearConv'
        for name in node.output
    }
    for name in tensors:
        if name not in known:
            kind = integers.get(name, TensorProto.FLOAT)
            copy.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return copy


def open_session(
    model: onnx.ModelProto, name: Path | str, precise: bool = False
) -> onnxruntime.InferenceSession:
    """
    Load a model on the CPU.

    name: what errors call it. precise: see has_int8_overflow. Raises ModelError if it is refused.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = physical_cores()
    options.log_severity_level = ERRORS_ONLY
    if precise:
        options.add_session_config_entry('session.x64quantprecision', '1')
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=['CPUExecutionProvider']
        )
    except LOAD_ERRORS as error:
        raise ModelError(f'{name}: onnxruntime refuses this model: {error}') from error


def compute(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], tensors: list[str]
) -> list[np.ndarray]:
    """These tensors for one image, all without the leading 1. Raises RuntimeError."""
    try:
        outputs = session.run(tensors, {name: value[None] for name, value in inputs.items()})
    except LOAD_ERRORS as error:
        raise RuntimeError(f'onnxruntime failed: {error}') from error
    return [output[0] for output in outputs]
