"""Raw descriptor map and keypoints -> unit descriptors."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.features.quantization import Quantization

CELL = 8  # [px] network pixels per element of the map, along each axis
AT_ONCE = 128  # points, whose neighbours as float32 stay in the cache


class DescriptorSampler:
    """
    Samples descriptors at points, straight from the network's raw output.

    Holds buffers that `sample` reuses: not for two threads at a time.
    channels, rows, cols: shape of the map.
    quantization: of the map; None for a map of float32.
    """

    def __init__(
        self, channels: int, rows: int, cols: int, quantization: Quantization | None = None
    ):
        self._shape = (channels, rows, cols)
        self._dtype = np.dtype(np.float32) if quantization is None else quantization.dtype
        self._zero_point = np.float32(0 if quantization is None else quantization.zero_point)
        self._by_cell = np.empty((rows * cols, channels), self._dtype)
        # the cell before a point, along x and y, is no later than the last but one
        self._last = np.array([[cols - 1], [rows - 1]], np.float64)
        self._last_before = np.array([[max(cols - 2, 0)], [max(rows - 2, 0)]])
        right, below = min(1, cols - 1), min(1, rows - 1) * cols
        self._neighbours = np.array([0, right, below, below + right])
        self._taps = np.empty((AT_ONCE, 4, channels), self._dtype)
        self._real_taps = np.empty((AT_ONCE, 4, channels), np.float32)

    def sample(self, raw: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """
        Unit descriptors of N points: bilinear samples of the dequantised map.

        raw: (channels, rows, cols) of the quantisation's dtype.
        x, y: (N,) network pixels; the map is sampled at (x + 0.5) / 8 - 0.5, clamped at its edge.
        Returns (N, channels) float32 of L2 norm 1; a row of zeros where the map is zero.
        Raises ValueError if `raw` is of another shape or dtype.
        """
        if raw.shape != self._shape or raw.dtype != self._dtype:
            raise ValueError(
                f'descriptor map: {raw.dtype} {raw.shape}, expected {self._dtype} {self._shape}'
            )
        cells, weights = self._surroundings(x, y)
        channels = self._shape[0]
        cv2.transpose(raw.reshape(channels, -1), self._by_cell)
        descriptors = np.empty((len(x), 1, channels), np.float32)
        for first in range(0, len(x), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            count = len(cells[part])
            taps, real_taps = self._taps[:count], self._real_taps[:count]
            # 'raise' would buffer the output
            self._by_cell.take(cells[part], axis=0, out=taps, mode='wrap')
            np.copyto(real_taps, taps)
            found = descriptors[part]
            np.matmul(weights[part], real_taps, out=found)
            found -= self._zero_point
            # The scale has no part in it: it would cancel here.
            norm = np.sqrt(np.einsum('nic,nic->n', found, found))
            found *= (1 / np.maximum(norm, np.finfo(np.float32).tiny))[:, None, None]
        return descriptors[:, 0]

    def _surroundings(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The four cells around each point, (N, 4), and their bilinear weights, (N, 1, 4)."""
        place = np.empty((2, len(x)))
        place[0], place[1] = x, y
        place -= (CELL - 1) / 2
        place /= CELL
        np.maximum(place, 0, out=place)
        np.minimum(place, self._last, out=place)
        before = np.minimum(place.astype(np.intp), self._last_before)
        cells = (before[1] * self._shape[2] + before[0])[:, None] + self._neighbours
        sides = np.empty((2, *place.shape), np.float32)  # weights before and after, of x and y
        np.subtract(place, before, out=sides[1], casting='same_kind')
        np.subtract(1, sides[1], out=sides[0])
        weights = sides[:, 1].T[:, :, None] * sides[:, 0].T[:, None, :]
        return cells, weights.reshape(-1, 1, 4)
