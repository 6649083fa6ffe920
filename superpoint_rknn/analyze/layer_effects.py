"""What the network's outputs become where one layer alone is in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from superpoint_rknn.analyze.layer_trace import compute, open_session
from superpoint_rknn.network.network import LAYERS, OUTPUTS, Weights, float_graph, float_tensor

HEAD_OF = {output: name for name, output in OUTPUTS.items()}


class LayerEffects:
    """The float network, entered behind each of its layers."""

    def __init__(self, weights: Weights, size: tuple[int, int]):
        model = float_graph(weights, size)
        self._sessions: dict[str, tuple[str, list[str], onnxruntime.InferenceSession]] = {}
        for layer in LAYERS:
            tensor = float_tensor(layer)
            if layer.name not in OUTPUTS:
                rest, outputs = _after(model, tensor)
                self._sessions[layer.name] = tensor, outputs, open_session(rest, layer.name)

    def outputs(self, name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """
        Outputs that depend on a layer, by the names of the layers that give them, given its value.

        value: (C, h, w) float32, in place of what the float network computes there.
        """
        if name not in self._sessions:
            yield name, value
            return
        tensor, outputs, session = self._sessions[name]
        for output, result in zip(
            outputs, compute(session, {tensor: value}, outputs), strict=True
        ):
            yield HEAD_OF[output], result


def _after(model: onnx.ModelProto, tensor: str) -> tuple[onnx.ModelProto, list[str]]:
    """The part of a network behind a tensor, which becomes its input; and its outputs."""
    known, nodes, needed = {tensor}, [], set()
    for node in model.graph.node:
        if known.intersection(node.input):
            nodes.append(node)
            known.update(node.output)
            needed.update(node.input)
    outputs = [value for value in model.graph.output if value.name in known]
    graph = helper.make_graph(
        nodes,
        'rest',
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None)],
        outputs,
        [constant for constant in model.graph.initializer if constant.name in needed],
    )
    rest = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return rest, [value.name for value in outputs]
