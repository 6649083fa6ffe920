"""Sample unit descriptors at keypoints from the model's raw descriptor map."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.features import CELL
from superpoint_rknn.features.quantization import Quantization

CHUNK = 128  # points per pass, so that their neighbours as float32 stay in the CPU cache


class DescriptorSampler:
    """
    Descriptor sampling: bilinear sampling, convertTo step and L2 normalisation.

    convertTo is OpenCV's name for dequantization, (q - zero_point) * scale. Bilinear interpolation
    is linear in q, so that dequantizing only the samples instead of the whole map gives the same
    result.

    Not thread-safe: `sample_descriptors` reuses buffers.
    channels, rows, cols: shape of the raw descriptor map.
    quantization: of the map; None for a float32 map.
    """

    def __init__(
        self, channels: int, rows: int, cols: int, quantization: Quantization | None = None
    ):
        self._shape = (channels, rows, cols)
        self._dtype = np.dtype(np.float32) if quantization is None else quantization.dtype
        self._zero_point = np.float32(0 if quantization is None else quantization.zero_point)
        self._by_cell = np.empty(
            (rows * cols, channels), self._dtype
        )  # the map with channels last
        # The upper left of a point's four cells is at most the second last along each axis.
        self._max_position = np.array([[cols - 1], [rows - 1]], np.float64)
        self._max_upper_left = np.array([[max(cols - 2, 0)], [max(rows - 2, 0)]])
        right, below = min(1, cols - 1), min(1, rows - 1) * cols
        self._neighbours = np.array([0, right, below, below + right])
        self._raw_taps = np.empty((CHUNK, 4, channels), self._dtype)
        self._taps = np.empty((CHUNK, 4, channels), np.float32)

    def sample_descriptors(self, raw: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """
        Return unit descriptors of N keypoints: bilinear samples of the dequantized map.

        raw: (channels, rows, cols) of the quantization's dtype.
        x, y: (N,) [px of the model input]; the map is sampled at (x + 0.5) / 8 - 0.5, clamped to
        its edge.
        Returns (N, channels) float32 of L2 norm 1; rows of zeros where the map is 0.
        Raises ValueError if `raw` has another shape or dtype.
        """
        if raw.shape != self._shape or raw.dtype != self._dtype:
            raise ValueError(
                f'descriptor map: {raw.dtype} {raw.shape}, expected {self._dtype} {self._shape}'
            )
        cells, weights = self._bilinear(x, y)
        channels = self._shape[0]
        cv2.transpose(raw.reshape(channels, -1), self._by_cell)
        descriptors = np.empty((len(x), 1, channels), np.float32)
        for first in range(0, len(x), CHUNK):
            part = slice(first, first + CHUNK)
            count = len(cells[part])
            raw_taps, taps = self._raw_taps[:count], self._taps[:count]
            # mode='raise' would buffer the output
            self._by_cell.take(cells[part], axis=0, out=raw_taps, mode='wrap')
            np.copyto(taps, raw_taps)
            samples = descriptors[part]
            np.matmul(weights[part], taps, out=samples)
            # convertTo step, (q - zero_point) * scale; the scale cancels in the normalisation.
            samples -= self._zero_point
            norm = np.sqrt(np.einsum('nic,nic->n', samples, samples))
            samples *= (1 / np.maximum(norm, np.finfo(np.float32).tiny))[:, None, None]
        return descriptors[:, 0]

    def _bilinear(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return indices of the four cells around each point, (N, 4), and weights, (N, 1, 4)."""
        position = np.empty((2, len(x)))  # x, y in the map [cells]
        position[0], position[1] = x, y
        position -= (CELL - 1) / 2
        position /= CELL
        np.maximum(position, 0, out=position)
        np.minimum(position, self._max_position, out=position)
        upper_left = np.minimum(position.astype(np.intp), self._max_upper_left)
        cells = (upper_left[1] * self._shape[2] + upper_left[0])[:, None] + self._neighbours
        # [0]: weights of the left and upper cells, [1]: of the right and lower ones
        sides = np.empty((2, *position.shape), np.float32)
        np.subtract(position, upper_left, out=sides[1], casting='same_kind')
        np.subtract(1, sides[1], out=sides[0])
        weights = sides[:, 1].T[:, :, None] * sides[:, 0].T[:, None, :]
        return cells, weights.reshape(-1, 1, 4)
