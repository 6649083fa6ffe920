"""Camera of the rendered sequences: intrinsics, distortion, vignette, pose on the body."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel

SIZE = (400, 640)  # height, width [px]
MATRIX = np.array([[400, 0, 319.5], [0, 400, 199.5], [0, 0, 1.0]])  # K
DISTORTION_MODEL = 'plumb_bob'
DISTORTION = np.array([-0.25, 0.07, 0.0005, -0.0003])  # k1, k2, p1, p2
VIGNETTE = 0.18  # share of the light lost at the left and right border

# Body: x forward, y left, z up. Camera: z forward, x right, y down, turned by some degrees.
_FORWARD = np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
BODY_FROM_CAMERA = np.eye(4)
BODY_FROM_CAMERA[:3, :3] = _FORWARD @ cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
BODY_FROM_CAMERA[:3, 3] = 0.06, 0.02, -0.015  # [m]


def camera_model() -> CameraModel:
    """Return the true model of the camera."""
    return CameraModel(MATRIX, DISTORTION_MODEL, DISTORTION)


def rays(pixels: np.ndarray) -> np.ndarray:
    """Return the directions (X / Z, Y / Z, 1) in the camera frame of pixels (N, 2), (N, 3)."""
    directions = camera_model().undistort(pixels[:, 0], pixels[:, 1])
    return np.concatenate([directions, np.ones((len(directions), 1))], axis=1)


def all_rays() -> np.ndarray:
    """Return the directions of all pixels, (height * width, 3), row by row."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return rays(np.stack([x.ravel(), y.ravel()], axis=1))


def project(points: np.ndarray) -> np.ndarray:
    """Project points (N, 3) in the camera frame [m] to pixels (N, 2); NaN behind the camera."""
    pixels = np.full((len(points), 2), np.nan)
    in_front = points[:, 2] > 0.01
    if in_front.any():
        projected, _ = cv2.projectPoints(
            points[in_front], np.zeros(3), np.zeros(3), MATRIX, DISTORTION
        )
        pixels[in_front] = projected[:, 0]
    return pixels


def vignette() -> np.ndarray:
    """Return the factor of the light at each pixel, SIZE float32."""
    height, width = SIZE
    y, x = np.mgrid[:height, :width]
    squared = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width / 2) ** 2
    return (1 - VIGNETTE * squared).astype(np.float32)
