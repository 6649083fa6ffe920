"""Model card of a .rknn file that rknn-toolkit2 wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from superpoint_rknn import __version__
from superpoint_rknn.convert.build import FLOAT_LAYERS
from superpoint_rknn.features import CELL
from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.network.network import DESCRIPTORS, IMAGE, LOGITS
from superpoint_rknn.quantize.calibration import CalibrationImage
from superpoint_rknn.quantize.card import origin

DIM = 256


def rknn_card(
    name: str,
    content: bytes,
    *,
    target: str,
    size: tuple[int, int],
    quantizations: dict[str, Quantization],
    per_channel: bool,
    weights: Path,
    calibration: list[CalibrationImage],
    toolkit_version: str,
) -> dict:
    """
    Model card of a .rknn file, for JSON, with the keys of the card of a CPU network.

    content: of the .rknn file. size: height and width of the model input [px].
    quantizations: by tensor, see build. weights: file of the float network; the licence is that
    of its model card.
    """
    cells = [side // CELL for side in size]

    def describe(tensor: str, shape: list[int]) -> dict:
        quantization = quantizations[tensor]
        return {
            'name': tensor,
            'shape': shape,
            'dtype': str(quantization.dtype),
            'scale': quantization.scale,
            'zero_point': quantization.zero_point,
        }

    image = describe(IMAGE, [1, 1, *size])
    return {
        'name': name,
        'sha256': hashlib.sha256(content).hexdigest(),
        'target': target,
        'input': {**image, 'size': list(size), 'mean': 0.0, 'std': 1.0},
        'logits': {'name': LOGITS, 'shape': [1, CELL * CELL + 1, *cells], 'dtype': 'float16'},
        'descriptors': {**describe(DESCRIPTORS, [1, DIM, *cells]), 'dim': DIM},
        'quantization': {
            'scheme': 'asymmetric_affine-i8',
            'ranges': 'minmax',
            'weights': 'per channel' if per_channel else 'per layer',
            'float16_layers': list(FLOAT_LAYERS),
        },
        **origin(weights, calibration),
        'versions': {
            'superpoint_rknn': __version__,
            'onnx': onnx.__version__,
            'rknn-toolkit2': toolkit_version,
        },
        'made_by': 'superpoint_rknn convert',
    }
