"""Exposure of a view: motion blur, changing light, noise, 8 bits."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.evaluate.rooms import camera

READ_NOISE = 2.0  # standard deviation [grey levels]
SHOT_NOISE = 0.06  # variance per grey level; 3 grey levels of noise at 100
BLUR_SAMPLES = 64  # along the path of the blur


def steady_light(time: float) -> float:
    """Return the factor of the light at a time [s]: between 0.8 and 1, slowly changing."""
    return 0.9 + 0.1 * np.sin(0.4 * time)


def changing_light(time: float) -> float:
    """
    Return the factor of a changing light and exposure at a time [s], at most 20.

    It swings between 0.2 and 0.9 with lights off from 6 to 8.5 s, overexposure from 11 to 11.6
    and from 12.5 to 13 s, and flicker, twice a second to a quarter, from 15 to 19 s.
    """
    if 6 < time < 8.5:
        factor = 0.10
    elif 11 < time < 11.6 or 12.5 < time < 13:
        factor = 1.9
    else:
        factor = 0.55 + 0.35 * np.sin(1.1 * time)
        if 15 < time < 19 and int(2 * time) % 2 == 0:
            factor *= 0.25
    return factor * steady_light(time)


def tuning_light(time: float) -> float:
    """Return the factors of changing_light in another order."""
    return changing_light((time + 9) % 20)


def blurred(view: np.ndarray, angular_rate: np.ndarray, exposure: float) -> np.ndarray:
    """
    Blur a view as the rotation of the camera during its exposure does in the middle of the image.

    angular_rate: of the camera in its own frame, (3,) [rad/s]; exposure: [s]. The same blur is
    used in the whole image: rotation about the viewing axis and translation are neglected.
    """
    shift = camera.MATRIX[0, 0] * exposure * np.array([-angular_rate[1], angular_rate[0]])
    reach = int(np.ceil(np.abs(shift).max() / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for part in np.linspace(-0.5, 0.5, BLUR_SAMPLES):
        place = reach + part * shift
        column, row = np.floor(place).astype(int)
        x, y = place - (column, row)
        kernel[row : row + 2, column : column + 2] += np.outer([1 - y, y], [1 - x, x])
    return cv2.filter2D(view, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def exposed(view: np.ndarray, light: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image of a view, float32, in some light, with read and shot noise, uint8."""
    grey = view * np.float32(light)
    variance = READ_NOISE**2 + SHOT_NOISE * np.clip(grey, 0, 255)
    grey += rng.standard_normal(grey.shape, np.float32) * np.sqrt(variance)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
