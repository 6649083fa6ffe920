"""Golden outputs: what the shipped CPU networks give for the test images in golden/."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from superpoint_rknn.features.keypoints import DetectorSettings
from superpoint_rknn.features.quantization import Quantization

FOLDER = Path(__file__).with_name('golden')
IMAGES = ('photograph', 'polygons')  # NASA's portrait of Eileen Collins; `built_in_image`
# Keypoints on whole pixels, from the logits alone.
DECODE = DetectorSettings(subpixel=False, refine=False)
CELLS = (slice(2, None, 5), slice(2, None, 5))  # rows and columns of the maps that are kept


@dataclass(frozen=True)
class Golden:
    """One test image, and the outputs of a CPU network for it."""

    image: np.ndarray  # (H, W) uint8, the model input
    logits: np.ndarray  # (65, rows, cols) float16, at CELLS
    descriptors: np.ndarray  # (C, rows, cols) uint8, at CELLS
    keypoints: np.ndarray  # (N, 2) int16, x and y [px], decoded with DECODE
    digest: str  # SHA-256 of the whole descriptor map as uint8
    quantization: Quantization  # of the descriptors


def load_goldens(network: str) -> dict[str, Golden]:
    """
    Load the golden outputs of a shipped network by the names of the images.

    network: 'superpoint' or 'superpoint_small'.
    """
    with np.load(FOLDER / f'{network}.npz', allow_pickle=False) as arrays:
        scale, zero_point = arrays['quantization']
        quantization = Quantization(float(scale), int(zero_point), np.dtype(np.uint8))
        return {
            name: Golden(
                load_image(name),
                arrays[f'{name}_logits'],
                arrays[f'{name}_descriptors'],
                arrays[f'{name}_keypoints'],
                str(arrays[f'{name}_digest']),
                quantization,
            )
            for name in IMAGES
        }


def load_image(name: str) -> np.ndarray:
    """Read a test image, (H, W) uint8. Raises FileNotFoundError if it is not installed."""
    image = cv2.imread(str(FOLDER / f'{name}.png'), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(f'{name}.png: missing in the package: install it again')
    return image


def digest(descriptors: np.ndarray) -> str:
    """SHA-256 of a raw descriptor map, (C, H/8, W/8) uint8 or int8, as uint8."""
    return hashlib.sha256(as_uint8(descriptors).tobytes()).hexdigest()


def as_uint8(descriptors: np.ndarray) -> np.ndarray:
    """Raw descriptors as uint8: int8 ones are moved by 128, as their zero point is."""
    if descriptors.dtype == np.int8:
        return descriptors.view(np.uint8) ^ np.uint8(0x80)
    return descriptors
