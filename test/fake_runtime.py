"""A runtime with outputs set by the test, which checks and records its inputs."""

import numpy as np

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.runtimes.runtime import TensorSpec

HEIGHT, WIDTH = 32, 48  # [px] of the model input
ROWS, COLS = HEIGHT // 8, WIDTH // 8
UINT8 = np.dtype(np.uint8)
ZERO_POINT = 128
NEVER = -100.0  # logit of a pixel without a point


class FakeRuntime:
    """
    Return the same points for every image: `points`, {(x, y) of the model input: score}.

    The descriptor map has a channel for each cell, which is 1 in this cell and 0 elsewhere.
    """

    name, model, input_table = 'fake 1.0', 'fake@12345678', None
    input = TensorSpec('image', (1, 1, HEIGHT, WIDTH), UINT8, Quantization(1.0, 0, UINT8))
    logits = TensorSpec('semi', (1, 65, ROWS, COLS), np.dtype(np.float32))
    descriptors = TensorSpec(
        'desc', (1, ROWS * COLS, ROWS, COLS), UINT8, Quantization(0.5, ZERO_POINT, UINT8)
    )

    def __init__(self, points=(((20, 12), 0.75),)):
        self.points = dict(points)
        self.stages_ms = {}
        self.images = []  # copies of the model inputs
        self.fetched = []  # of each inference: True if the descriptor map was fetched
        self.during = lambda: None  # called during each inference

    def infer(self, image, descriptors):
        assert (image.shape, image.dtype) == ((HEIGHT, WIDTH), UINT8)
        assert image.flags.c_contiguous
        self.images.append(image.copy())
        self.fetched.append(descriptors is not None)
        self.during()
        if descriptors is not None:
            spec = self.descriptors
            assert (descriptors.shape, descriptors.dtype) == (spec.shape[1:], spec.dtype)
            assert descriptors.flags.c_contiguous
            descriptors.reshape(ROWS * COLS, -1)[:] = ZERO_POINT + np.eye(ROWS * COLS)
        return self._logits()

    def close(self):
        pass

    def _logits(self):
        """(65, H/8, W/8) float32 whose softmax is the score at each point."""
        logits = np.full(self.logits.shape[1:], NEVER, np.float32)
        logits[64] = 0
        for (x, y), score in self.points.items():
            logits[8 * (y % 8) + x % 8, y // 8, x // 8] = np.log(score / (1 - score))
        return logits
