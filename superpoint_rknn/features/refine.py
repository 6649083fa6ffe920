"""Refine keypoints in the image: move each to the corner that it stands for."""

from __future__ import annotations

import numpy as np

REACH = 3  # [px] of the window around a keypoint
MARGIN = 8  # [px] from the edge to a keypoint that is refined; features.c reads rows of 16 pixels
SMOOTHING = 4  # averages of neighbours along each axis: [1 4 6 4 1] / 16
TAU = 2.0  # [px] standard deviation of the weight by distance from the keypoint
STEPS = np.arange(-REACH, REACH + 1)


def refine(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Move each keypoint to the weighted centre of the corner strength around it.

    The strength of a pixel is determinant / trace of the gradient matrix, summed over 3x3 pixels
    of the smoothed image (W. Förstner, E. Gülch, A fast operator for detection and precise
    location of distinct points, 1987). Its square, times a Gaussian of the distance from the
    keypoint, weighs the pixels of a 7x7 window. Keypoints nearer than MARGIN to the edge, and in
    areas without corners, stay where they are.

    image: (height, width) uint8, model input. x, y: (N,) float32 keypoints in its pixels.
    Returns x, y, (N,) float32.
    """
    height, width = image.shape
    x, y = x.astype(np.float32), y.astype(np.float32)
    inside = (x >= MARGIN - 0.5) & (x < width - MARGIN - 0.5)
    inside = np.flatnonzero(inside & (y >= MARGIN - 0.5) & (y < height - MARGIN - 0.5))
    if not inside.size:
        return x, y
    col, row = ((p[inside] + np.float32(0.5)).astype(np.intp) for p in (x, y))
    weight = np.square(_strength(image, col, row))
    weight_x = _distance_weight(x[inside] - col)
    weight_y = _distance_weight(y[inside] - row)
    columns = np.einsum('nyx,ny->nx', weight, weight_y) * weight_x
    rows = np.einsum('nyx,nx->ny', weight, weight_x) * weight_y
    total = columns.sum(1)
    found = np.flatnonzero(total > 0)
    steps = STEPS.astype(np.float32)
    x[inside[found]] = col[found] + columns[found] @ steps / total[found]
    y[inside[found]] = row[found] + rows[found] @ steps / total[found]
    return x, y


def _strength(image: np.ndarray, col: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Four times the corner strength in the window around each pixel, (N, 7, 7) float32."""
    smooth = _smooth(image)
    flat, width = smooth.reshape(-1), smooth.shape[1]
    step = np.arange(-REACH - 1, REACH + 2) - SMOOTHING // 2  # the smoothed image is smaller
    windows = (row[:, None, None] + step[:, None]) * width + col[:, None, None] + step
    at = {n: flat.take(windows + n).astype(np.int32) for n in (1, -1, width, -width)}
    dx, dy = at[1] - at[-1], at[width] - at[-width]
    xx, yy, xy = (_sum_3x3(a * b).astype(np.float32) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    return (xx * yy - np.square(xy)) / (xx + yy + 1)  # + 1: no division by 0


def _smooth(image: np.ndarray) -> np.ndarray:
    """
    Smooth by rounded averages of neighbours, (a + b + 1) / 2 of bytes, SMOOTHING times per axis.

    Returns (height - 4, width - 4) uint8: pixel (y, x) is that of the image at (y + 2, x + 2).
    """
    for _ in range(SMOOTHING):
        image = _averages(image[:-1], image[1:])
    for _ in range(SMOOTHING):
        image = _averages(image[:, :-1], image[:, 1:])
    return image


def _averages(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a + b + 1) / 2, rounded down, without leaving uint8."""
    return (a | b) - ((a ^ b) >> 1)


def _sum_3x3(values: np.ndarray) -> np.ndarray:
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]


def _distance_weight(offset: np.ndarray) -> np.ndarray:
    """
    Gaussian of the distance of each step s from the offset o, (N, 7) float32.

    exp(-(s - o)^2 / 2 tau^2) without exp(-o^2 / 2 tau^2), which all steps have in common.
    """
    at_steps = np.exp(-(STEPS**2) / (2 * TAU**2)).astype(np.float32)
    return at_steps * np.exp(offset / np.float32(TAU**2))[:, None] ** STEPS
