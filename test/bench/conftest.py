import cv2
import numpy as np
import pytest

from superpoint_rknn.bench.recordings import Recording
from superpoint_rknn.features.quantization import Quantization

HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope='session')
def recording(photographs):
    """Crops of a photograph, and random outputs in the range of the network's outputs."""
    photograph = cv2.imread(str(photographs / 'camera.png'), cv2.IMREAD_GRAYSCALE)
    images = np.stack([photograph[y : y + HEIGHT, 90 : 90 + WIDTH] for y in (100, 180)])
    rng = np.random.default_rng(3)
    shape = (len(images), 65, HEIGHT // 8, WIDTH // 8)
    logits = rng.normal(0, 2, shape).astype(np.float32)
    logits[:, 64] += 5
    raw = rng.integers(0, 256, (shape[0], 256, *shape[2:]), np.uint8)
    return Recording(images, logits, raw, Quantization(0.02, 120, np.uint8), 'noise@00000000')
