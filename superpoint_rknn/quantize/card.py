"""Model card: what a quantised network's bytes mean, and how they came about."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto

from superpoint_rknn import __version__
from superpoint_rknn.network.network import DESCRIPTORS, IMAGE, LOGITS
from superpoint_rknn.quantize.calibration import CalibrationImage
from superpoint_rknn.runtimes.model_files import read_card


def model_card(
    name: str,
    content: bytes,
    model: onnx.ModelProto,
    weights: Path,
    calibration: list[CalibrationImage],
    method: dict,
) -> dict:
    """
    Card of a network as `integer_graph` makes it, to be written as JSON.

    content: the model's file. weights: the file that it was made from; its licence is taken over
    from its own card, if there is one. method: how it was quantised.
    """
    tensors = {tensor.name: tensor for tensor in (*model.graph.input, *model.graph.output)}
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    def meaning(tensor: str) -> dict:
        shape = [d.dim_value for d in tensors[tensor].type.tensor_type.shape.dim]
        quantised = tensors[tensor].type.tensor_type.elem_type == TensorProto.UINT8
        description = {
            'name': tensor,
            'shape': shape,
            'dtype': 'uint8' if quantised else 'float32',
        }
        if quantised:
            description['scale'] = float(metadata[f'{tensor}.scale'])
            description['zero_point'] = int(metadata[f'{tensor}.zero_point'])
        return description

    image = meaning(IMAGE)
    return {
        'name': name,
        'sha256': hashlib.sha256(content).hexdigest(),
        'input': {**image, 'size': image['shape'][2:], 'mean': 0.0, 'std': 1.0},
        'logits': meaning(LOGITS),
        'descriptors': {**meaning(DESCRIPTORS), 'dim': meaning(DESCRIPTORS)['shape'][1]},
        'quantization': {'scheme': 'asymmetric_affine-u8', **method},
        **origin(weights, calibration),
        'versions': {
            'superpoint_rknn': __version__,
            'onnx': onnx.__version__,
            'onnxruntime': onnxruntime.__version__,
        },
        'made_by': 'superpoint_rknn quantize',
    }


def origin(weights: Path, calibration: list[CalibrationImage]) -> dict:
    """What a quantised network was made from; the licence is that of the weights' own card."""
    return {
        'calibration': [{'name': image.name, 'sha256': image.sha256} for image in calibration],
        'weights': {
            'name': weights.name,
            'sha256': hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        'licence': read_card(weights).get('licence', "that of the weights' owner"),
    }
