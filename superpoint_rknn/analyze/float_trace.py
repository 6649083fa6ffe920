"""The float network: the outputs of all its layers, of single layers, and of what follows one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from superpoint_rknn.analyze.integer_trace import IntegerLayer
from superpoint_rknn.analyze.onnx_session import compute, open_session, with_outputs
from superpoint_rknn.network.network import (
    IMAGE,
    LAYERS,
    OUTPUTS,
    Layer,
    Weights,
    float_graph,
    float_tensor,
)

LAYER_OF = {float_tensor(layer): layer.name for layer in LAYERS}  # by the output's tensor
TRACED = (IMAGE, *LAYER_OF.values())  # the model input and all layers
FLOAT_NETWORK = 'the float network'  # in error messages


class FloatTrace:
    """The float network that returns the outputs of all its layers."""

    def __init__(
        self,
        weights: Weights,
        size: tuple[int, int],
        integer_layers: Mapping[str, IntegerLayer] | None = None,
    ):
        """
        Prepare the network for model inputs of `size`, height and width [px].

        integer_layers: layers of an 8-bit network to run with float inputs, see run.
        Raises ValueError if `size` is not divisible by 8.
        """
        model = float_graph(weights, size)
        inputs = {
            layer.name: f'{layer.name}_pool' if layer.pool else float_tensor(layer)
            for layer in LAYERS
        }
        inputs[IMAGE] = IMAGE
        integer = integer_layers or {}
        self._with_integer_weights = {
            layer.name: _add_layer(model, layer, inputs[layer.source], integer[layer.name].kernel)
            for layer in LAYERS
            if layer.name in integer
        }
        self._tensors = [*LAYER_OF, *self._with_integer_weights.values()]
        self._session = open_session(with_outputs(model, self._tensors), FLOAT_NETWORK)

    def run(self, grey: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """
        Outputs of the layers for a model input, by name, (C, h, w) float32.

        grey: (H, W) uint8.
        Returns two dictionaries: the float network's input and the outputs of its layers; and the
        outputs of the integer layers with their 8-bit weights, the float bias and the float
        network's input, which show the error of the weights alone.
        Raises RuntimeError if onnxruntime fails.
        """
        image = grey[None].astype(np.float32)
        outputs = compute(self._session, {IMAGE: image}, self._tensors)
        split = len(LAYER_OF)
        values = dict(zip(LAYER_OF.values(), outputs[:split], strict=True))
        weights_only = dict(zip(self._with_integer_weights, outputs[split:], strict=True))
        return {IMAGE: image, **values}, weights_only


class SingleLayers:
    """Every layer of the float network on an input of its own."""

    def __init__(self, weights: Weights, size: tuple[int, int]):
        """Prepare the layers. Raises ValueError if `size` is not divisible by 8."""
        model = float_graph(weights, size)
        graph = model.graph
        self._inputs = {IMAGE: IMAGE}  # tensor: layer whose output it takes
        for node in graph.node:
            for i, tensor in enumerate(node.input):
                if tensor in LAYER_OF:
                    node.input[i] = f'{tensor}.given'
                    self._inputs[node.input[i]] = LAYER_OF[tensor]
        for tensor in sorted(set(self._inputs) - {IMAGE}):
            graph.input.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
        del graph.output[:]
        self._session = open_session(with_outputs(model, LAYER_OF), FLOAT_NETWORK)

    def run(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """
        Output of each float layer for the input that another network gives to it.

        values: that network's input and layer outputs, after ReLU and before pooling,
        (C, h, w) float32.
        """
        inputs = {tensor: values[name] for tensor, name in self._inputs.items()}
        outputs = compute(self._session, inputs, list(LAYER_OF))
        return dict(zip(LAYER_OF.values(), outputs, strict=True))


class DownstreamNetworks:
    """For each layer, the part of the float network that follows it."""

    def __init__(self, weights: Weights, size: tuple[int, int]):
        """Prepare the networks. Raises ValueError if `size` is not divisible by 8."""
        model = float_graph(weights, size)
        self._sessions: dict[str, tuple[str, list[str], onnxruntime.InferenceSession]] = {}
        for tensor, name in LAYER_OF.items():
            if name not in OUTPUTS:
                downstream, outputs = _downstream(model, tensor)
                self._sessions[name] = tensor, outputs, open_session(downstream, FLOAT_NETWORK)

    def outputs(self, name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """
        Network outputs that depend on a layer, with the name of the layer that computes each.

        value: (C, h, w) float32, replaces the output of layer `name`.
        """
        if name not in self._sessions:
            yield name, value
            return
        tensor, outputs, session = self._sessions[name]
        results = compute(session, {tensor: value}, outputs)
        for output, result in zip(outputs, results, strict=True):
            yield LAYER_OF[output], result


def _add_layer(model: onnx.ModelProto, layer: Layer, source: str, kernel: np.ndarray) -> str:
    """Add a copy of a layer with another kernel; returns the name of its output."""
    name = f'{layer.name}.integer_weights'
    model.graph.initializer.append(numpy_helper.from_array(kernel, f'{name}.weight'))
    inputs = [source, f'{name}.weight', f'{layer.name}.bias']
    node = helper.make_node(
        'Conv',
        inputs,
        [name],
        kernel_shape=[layer.kernel] * 2,
        pads=[layer.kernel // 2] * 4,
    )
    model.graph.node.append(node)
    if not layer.relu:
        return name
    model.graph.node.append(helper.make_node('Relu', [name], [f'{name}.relu']))
    return f'{name}.relu'


def _downstream(model: onnx.ModelProto, tensor: str) -> tuple[onnx.ModelProto, list[str]]:
    """Part of a network after a tensor, which becomes its input; and the names of its outputs."""
    known, nodes, needed = {tensor}, [], set()
    for node in model.graph.node:
        if known.intersection(node.input):
            nodes.append(node)
            known.update(node.output)
            needed.update(node.input)
    outputs = [value for value in model.graph.output if value.name in known]
    graph = helper.make_graph(
        nodes,
        'downstream',
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None)],
        outputs,
        [constant for constant in model.graph.initializer if constant.name in needed],
    )
    downstream = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    return downstream, [value.name for value in outputs]
