"""Model card of a network that rknn-toolkit2 converted."""

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
    Card of a .rknn file, to be written as JSON; the same keys as of a network for the CPU.

    content: the file. quantizations: see rknn_build.build. weights: the file that it was made
    from; its licence is taken over from its own card, if there is one.
    """
    cells = [side // CELL for side in size]

    def integers(tensor: str, shape: list[int]) -> dict:
        quantization = quantizations[tensor]
        return {
            'name': tensor,
            'shape': shape,
            'dtype': str(quantization.dtype),
            'scale': quantization.scale,
            'zero_point': quantization.zero_point,
        }

    image = integers(IMAGE, [1, 1, *size])
    return {
        'name': name,
        'sha256': hashlib.sha256(content).hexdigest(),
        'target': target,
        'input': {**image, 'size': list(size), 'mean': 0.0, 'std': 1.0},
        'logits': {'name': LOGITS, 'shape': [1, CELL * CELL + 1, *cells], 'dtype': 'float16'},
        'descriptors': {**integers(DESCRIPTORS, [1, DIM, *cells]), 'dim': DIM},
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
