"""Model card of a quantized network: scales, zero points, and what it was made from."""

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
    Model card of a network that `integer_graph` returned, for JSON.

    content: of the ONNX file. weights: file of the float network; the licence is that of its
    model card. method: options of the quantization.
    """
    tensors = {tensor.name: tensor for tensor in (*model.graph.input, *model.graph.output)}
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    def describe(name: str) -> dict:
        tensor = tensors[name].type.tensor_type
        description = {'name': name, 'shape': [d.dim_value for d in tensor.shape.dim]}
        if tensor.elem_type != TensorProto.UINT8:
            return {**description, 'dtype': 'float32'}
        return {
            **description,
            'dtype': 'uint8',
            'scale': float(metadata[f'{name}.scale']),
            'zero_point': int(metadata[f'{name}.zero_point']),
        }

    image, descriptors = describe(IMAGE), describe(DESCRIPTORS)
    return {
        'name': name,
        'sha256': hashlib.sha256(content).hexdigest(),
        'input': {**image, 'size': image['shape'][2:], 'mean': 0.0, 'std': 1.0},
        'logits': describe(LOGITS),
        'descriptors': {**descriptors, 'dim': descriptors['shape'][1]},
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
    """Inputs of a quantization for a model card; the licence is that of the weights' card."""
    return {
        'calibration': [{'name': image.name, 'sha256': image.sha256} for image in calibration],
        'weights': {
            'name': weights.name,
            'sha256': hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        'licence': read_card(weights).get('licence', "that of the weights' owner"),
    }
