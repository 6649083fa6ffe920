"""Raw descriptor map and keypoints -> unit descriptors."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.features.quantization import Quantization

CELL = 8  # [px] network pixels per element of the map, along each axis


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
        self._zero_point = 0 if quantization is None else quantization.zero_point
        self._by_cell = np.empty((rows * cols, channels), self._dtype)

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
        channels = self._shape[0]
        cv2.transpose(raw.reshape(channels, -1), self._by_cell)
        cells, weights = self._taps(x, y)
        taps = self._by_cell[cells].astype(np.float32)
        # the scale has no part in it: it would cancel in the division by the norm
        rows = np.matmul(weights[:, None, :], taps)[:, 0]
        rows -= np.float32(self._zero_point)
        norm = np.sqrt(np.einsum('nc,nc->n', rows, rows))
        rows /= np.maximum(norm, np.finfo(np.float32).tiny)[:, None]
        return rows

    def _taps(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells around each point and their bilinear weights, (N, 4) each."""
        _, rows, cols = self._shape
        left, right, weight_right = _neighbours(x, cols)
        above, below, weight_below = _neighbours(y, rows)
        cells = np.stack(
            [above * cols + left, above * cols + right, below * cols + left, below * cols + right],
            axis=1,
        )
        weight_left, weight_above = 1 - weight_right, 1 - weight_below
        weights = np.stack(
            [
                weight_above * weight_left,
                weight_above * weight_right,
                weight_below * weight_left,
                weight_below * weight_right,
            ],
            axis=1,
        )
        return cells, weights.astype(np.float32)


def _neighbours(at: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements of the map around network pixels `at` along an axis, and the latter's weight."""
    place = np.clip((np.asarray(at, np.float64) + 0.5) / CELL - 0.5, 0, size - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, size - 1), place - before
