"""Keypoints to a fraction of a pixel."""

from __future__ import annotations

import numpy as np

CELL = 8  # [px] side of the square that one column of logits describes


def peak_shift(
    logits: np.ndarray, pixels: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """
    Shift of each pixel to the peak of the quadratic through its 3x3 log probabilities [px].

    The quadratic is the least squares fit f = a + b x + c y + d x^2 + e x y + f y^2. No shift
    where it has no peak, or at the image's edge.

    logits: (65, cells) float32. pixels: (N,) flat indices into an image of `size` (height, width).
    Returns dx, dy, (N,) float32, at most 0.5 either way.
    """
    height, width = size
    y, x = np.divmod(pixels, width)
    interior = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    dx, dy = np.zeros(len(pixels), np.float32), np.zeros(len(pixels), np.float32)
    steps = np.arange(-1, 2)
    rows = (y[interior, None] + steps)[:, :, None]
    cols = (x[interior, None] + steps)[:, None, :]
    cells, at = np.unique(rows // CELL * (width // CELL) + cols // CELL, return_inverse=True)
    at = at.reshape(-1, 3, 3)  # NumPy 2.0 alone returns that shape by itself
    columns = logits[:, cells]
    highest = columns.max(0)
    log_sum = highest + np.log(np.exp(columns - highest).sum(0), dtype=np.float64)
    log_share = columns[rows % CELL * CELL + cols % CELL, at] - log_sum[at]
    dx[interior], dy[interior] = _peak(log_share)
    return dx, dy


def _peak(patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the least squares quadratic of each 3x3 patch (N, y, x) peaks, from its centre."""
    column, row = patch.sum(1), patch.sum(2)
    b, c = (column[:, 2] - column[:, 0]) / 6, (row[:, 2] - row[:, 0]) / 6
    xx = (column[:, 0] + column[:, 2] - 2 * column[:, 1]) / 3
    yy = (row[:, 0] + row[:, 2] - 2 * row[:, 1]) / 3
    xy = (patch[:, 0, 0] + patch[:, 2, 2] - patch[:, 0, 2] - patch[:, 2, 0]) / 4
    determinant = xx * yy - xy * xy
    peaked = (determinant > 1e-9) & (xx < 0)
    determinant = np.where(peaked, determinant, 1)
    dx = np.where(peaked, (xy * c - yy * b) / determinant, 0)
    dy = np.where(peaked, (xy * b - xx * c) / determinant, 0)
    return np.clip(dx, -0.5, 0.5), np.clip(dy, -0.5, 0.5)
