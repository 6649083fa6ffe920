"""Points drawn over their image."""

from __future__ import annotations

import cv2
import numpy as np

RING = np.array(
    [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if 5 <= dy * dy + dx * dx <= 10]
)  # [px] a circle of radius 3 around a point


def draw_points(image: np.ndarray, x: np.ndarray, y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """
    Copy of a grey image with a ring around each point, (height, width, 3) uint8 bgr.

    image: (height, width) uint8. x, y: (N,) [px]. score: (N,) 0..1; red is weak, green strong.
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    height, width = image.shape
    rows = np.rint(y).astype(np.intp)[:, None] + RING[:, 0]
    cols = np.rint(x).astype(np.intp)[:, None] + RING[:, 1]
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    strength = (255 * np.sqrt(np.clip(score, 0, 1))).astype(np.uint8)
    colours = np.stack([np.zeros_like(strength), strength, 255 - strength], axis=1)
    colours = np.broadcast_to(colours[:, None], (*rows.shape, 3))
    canvas[rows[inside], cols[inside]] = colours[inside]
    return canvas
