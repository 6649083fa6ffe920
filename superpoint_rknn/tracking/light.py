"""Match brightness and contrast of two images, so that a change of light ends no track."""

from __future__ import annotations

import cv2
import numpy as np

BLOCK = 16  # [px]; means of blocks change little when the camera moves
VALID_MEANS = (2, 240)  # [grey levels] darker blocks are imprecise, brighter ones are saturated
MIN_BLOCKS = 20
SAME_GAIN = 0.01  # relative change of brightness below which images stay as they are
CONTRASTS = (25, 80)  # [grey levels] standard deviation of images that stay as they are
CONTRAST = 45  # [grey levels] standard deviation of all others afterwards
MAX_GAIN = 30


def match_light(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Return two images of a scene, `before` with the brightness of `now`, both with good contrast.

    In steady, sufficient light they are returned as they are.

    before, now: (height, width) uint8.
    """
    gain = brightness_ratio(before, now)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(now))
    offset, contrast = 0.0, 1.0
    if not CONTRASTS[0] <= deviation <= CONTRASTS[1]:
        contrast = min(CONTRAST / max(deviation, 1e-3), MAX_GAIN)
        offset = 128 - contrast * mean
    if abs(gain - 1) > SAME_GAIN or contrast != 1:
        before = _scaled(before, gain * contrast, offset)
    if contrast != 1:
        now = _scaled(now, contrast, offset)
    return before, now


def brightness_ratio(before: np.ndarray, now: np.ndarray) -> float:
    """
    Estimate the ratio of the brightness of an image to that of another image of the same scene.

    It is the median over blocks of the image, hence robust to what moves. before, now: see
    match_light.
    """
    size = tuple(max(1, length // BLOCK) for length in now.shape[::-1])
    # A sixteenth of the pixels is enough. In float: rounding changes the means of dark images.
    means: list[np.ndarray] = [
        cv2.resize(image[::4, ::4].astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for image in (before, now)
    ]
    is_valid = np.all(
        [(VALID_MEANS[0] <= mean) & (mean <= VALID_MEANS[1]) for mean in means], axis=0
    )
    first, second = (mean[is_valid] for mean in means)
    if len(first) < MIN_BLOCKS:
        return 1.0
    return float(np.median(second / first))


def _scaled(image: np.ndarray, gain: float, offset: float) -> np.ndarray:
    """Return gain * image + offset."""
    table = np.clip(np.rint(gain * np.arange(256) + offset), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table))
