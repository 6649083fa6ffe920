"""Sub-pixel refinement of keypoints."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.features import CELL

STEPS = np.arange(-1, 2)  # [px] to the neighbours, along each axis


def peak_shift(
    logits: np.ndarray, pixels: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the shift of each pixel to the peak of a quadratic fitted to its 3x3 neighbourhood.

    The quadratic a + b x + c y + d x^2 + e x y + f y^2 is the least squares fit to the log
    probabilities. The shift is 0 if it has no peak, and at the edge of the image.

    logits: (65, cells) float32. pixels: (N,) flat indices into an image of `size` (height, width).
    Returns dx, dy, (N,) float32 [px], -0.5 to 0.5.
    """
    height, width = size
    y, x = np.divmod(pixels, width)
    interior = np.flatnonzero((x > 0) & (x < width - 1) & (y > 0) & (y < height - 1))
    dx, dy = np.zeros(len(pixels), np.float32), np.zeros(len(pixels), np.float32)
    if not interior.size:
        return dx, dy
    rows = y[interior] + STEPS[:, None]  # (3, N)
    cols = x[interior] + STEPS[:, None]
    cells = rows[:, None] // CELL * (width // CELL) + cols // CELL  # (3, 3, N)
    channels = rows[:, None] % CELL * CELL + cols % CELL
    log_probability = logits.reshape(-1).take(channels * logits.shape[1] + cells)
    log_probability -= _log_sums(logits, cells)
    dx[interior], dy[interior] = _peak(log_probability)
    return dx, dy


def _log_sums(logits: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the log-sum-exp of the logits of each cell, in the shape of `cells`."""
    is_used = np.zeros(logits.shape[1], bool)
    is_used[cells] = True
    distinct = np.flatnonzero(is_used)
    columns = logits.take(distinct, axis=1)
    highest = cv2.reduce(columns, 0, cv2.REDUCE_MAX)
    columns -= highest
    log_sums = np.zeros(logits.shape[1], np.float32)
    log_sums[distinct] = np.log(cv2.exp(columns).sum(0)) + highest[0]
    return log_sums.take(cells)


def _peak(patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset from centre to peak of the quadratic fit to 3x3 patches (y, x, N)."""
    column, row = patch.sum(0), patch.sum(1)
    b, c = (column[2] - column[0]) / 6, (row[2] - row[0]) / 6
    xx = (column[0] + column[2] - 2 * column[1]) / 3
    yy = (row[0] + row[2] - 2 * row[1]) / 3
    xy = (patch[0, 0] + patch[2, 2] - patch[0, 2] - patch[2, 0]) / 4
    determinant = xx * yy - xy * xy
    peaked = (determinant > 1e-9) & (determinant < np.inf) & (xx < 0)
    determinant = np.where(peaked, determinant, 1)
    dx = np.where(peaked, (xy * c - yy * b) / determinant, 0)
    dy = np.where(peaked, (xy * b - xx * c) / determinant, 0)
    return np.clip(dx, -0.5, 0.5), np.clip(dy, -0.5, 0.5)
