"""Sample unit descriptors at keypoints from the network's raw descriptor map."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.features import CELL
from superpoint_rknn.features.quantization import Quantization

CHUNK = 128  # points, whose neighbours as float32 stay in the cache


class DescriptorSampler:
    """
    convertTo step, bilinear sampling and normalisation, restricted to the sampled points.

    convertTo is OpenCV's name for the dequantisation (q - zero_point) * scale. Interpolation is
    linear, so that the samples are dequantised rather than the whole map, with the same result.

    Not thread-safe: `sample_descriptors` reuses buffers.
    channels, rows, cols: shape of the map.
    quantization: of the map; None for a map of float32.
    """

    def __init__(
        self, channels: int, rows: int, cols: int, quantization: Quantization | None = None
    ):
        self._shape = (channels, rows, cols)
        self._dtype = np.dtype(np.float32) if quantization is None else quantization.dtype
        self._zero_point = np.float32(0 if quantization is None else quantization.zero_point)
        self._by_cell = np.empty((rows * cols, channels), self._dtype)  # the map, channels last
        # the upper left of a point's four cells is at most the last but one along each axis
        self._max_position = np.array([[cols - 1], [rows - 1]], np.float64)
        self._max_upper_left = np.array([[max(cols - 2, 0)], [max(rows - 2, 0)]])
        right, below = min(1, cols - 1), min(1, rows - 1) * cols
        self._neighbours = np.array([0, right, below, below + right])
        self._raw_taps = np.empty((CHUNK, 4, channels), self._dtype)
        self._taps = np.empty((CHUNK, 4, channels), np.float32)

    def sample_descriptors(self, raw: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """
        Unit descriptors of N points: bilinear samples of the dequantised map, L2-normalised.

        raw: (channels, rows, cols) of the quantisation's dtype.
        x, y: (N,) pixels of the model input; the map is sampled at (x + 0.5) / 8 - 0.5, clamped
        at its edge.
        Returns (N, channels) float32 of L2 norm 1; a row of zeros where the map is zero.
        Raises ValueError if `raw` is of another shape or dtype.
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
            # mode 'raise' would buffer the output
            self._by_cell.take(cells[part], axis=0, out=raw_taps, mode='wrap')
            np.copyto(taps, raw_taps)
            samples = descriptors[part]
            np.matmul(weights[part], taps, out=samples)
            # convertTo, (q - zero_point) * scale: the scale would cancel in the normalisation.
            samples -= self._zero_point
            norm = np.sqrt(np.einsum('nic,nic->n', samples, samples))
            samples *= (1 / np.maximum(norm, np.finfo(np.float32).tiny))[:, None, None]
        return descriptors[:, 0]

    def _bilinear(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the four cells around each point, (N, 4), and their weights, (N, 1, 4)."""
        position = np.empty((2, len(x)))  # in the map [cells]
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
