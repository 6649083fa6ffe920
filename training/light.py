"""Random changes of a view: blur, gamma, gain, offset, shading and noise."""

from __future__ import annotations

import cv2
import numpy as np


def change_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply random blur, gamma, gain, offset, shading and noise to an image (uint8)."""
    grey = image.astype(np.float32) / 255
    if rng.random() < 0.3:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.3))
    grey = np.maximum(grey, 0) ** rng.uniform(0.55, 1.8) * rng.uniform(0.6, 1.15)
    grey += np.float32(rng.uniform(-0.08, 0.12))
    if rng.random() < 0.3:
        shading = rng.uniform(0.6, 1.2, (3, 3)).astype(np.float32)
        grey *= cv2.resize(shading, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.12:
        grey = cv2.filter2D(grey, -1, _motion_kernel(rng))
    grey += rng.standard_normal(grey.shape, np.float32) * np.float32(rng.uniform(0, 0.035))
    return np.rint(np.clip(grey * 255, 0, 255)).astype(np.uint8)


def _motion_kernel(rng: np.random.Generator) -> np.ndarray:
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    middle = (length / 2 - 0.5, length / 2 - 0.5)
    turn = cv2.getRotationMatrix2D(middle, rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return kernel / kernel.sum()
