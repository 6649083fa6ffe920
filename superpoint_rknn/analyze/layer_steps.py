"""Every layer of the float network by itself, on inputs from another network."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from superpoint_rknn.analyze.layer_trace import compute, float_tensor, open_session
from superpoint_rknn.network.network import IMAGE, LAYERS, Weights, float_graph


class LayerSteps:
    """The float network, cut behind every layer."""

    def __init__(self, weights: Weights, size: tuple[int, int]):
        """Raise ValueError for a size that isn't divisible by 8."""
        model = float_graph(weights, size)
        graph = model.graph
        self._names = {float_tensor(layer): layer.name for layer in LAYERS}
        given = {IMAGE: IMAGE}
        for node in graph.node:
            for i, tensor in enumerate(node.input):
                if tensor in self._names:
                    node.input[i] = f'{tensor}.given'
                    given[self._names[tensor]] = node.input[i]
        inputs = sorted(set(given.values()) - {IMAGE})
        for tensor in inputs:
            graph.input.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
        del graph.output[:]
        for tensor in self._names:
            graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
        self._given = given
        self._session = open_session(model, 'the float network')

    def run(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """
        What each float layer makes of another network's input to it.

        values: of the input and the layers, after ReLU and before pooling, (C, h, w) float32.
        """
        inputs = {tensor: values[name] for name, tensor in self._given.items()}
        outputs = compute(self._session, inputs, list(self._names))
        return dict(zip(self._names.values(), outputs, strict=True))
