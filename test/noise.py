"""A recording of random images and outputs, for tests of what nodes and links pass on."""

import numpy as np

from superpoint_rknn.bench.recordings import Recording
from superpoint_rknn.features.quantization import Quantization


def noise_recording():
    """Three images of 64x64 with random outputs of a network."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (3, 65, 8, 8)).astype(np.float32)
    raw = rng.integers(0, 256, (3, 256, 8, 8), np.uint8)
    images = rng.integers(0, 256, (3, 64, 64), np.uint8)
    return Recording(images, logits, raw, Quantization(0.02, 120, np.uint8), 'noise@0')
