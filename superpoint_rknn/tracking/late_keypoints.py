"""Follow keypoints that arrive late from their own image to the newest one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

MAX_IMAGES = 32  # one second at 30 Hz
MAX_BYTES = 32 * 2**20  # of all kept images
MAX_STEPS = 8  # from an image to the newest one; bounds the time

TrackPoints = Callable[[np.ndarray, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]


class RecentImages:
    """The newest images of a camera: at most MAX_IMAGES and MAX_BYTES, at least one."""

    def __init__(self) -> None:
        self._images: deque[tuple[int, np.ndarray]] = deque()

    def add(self, stamp: int, image: np.ndarray) -> None:
        """Add the next image, of the same size as all others; stamp: its timestamp."""
        self._images.append((stamp, image))
        limit = max(1, min(MAX_IMAGES, MAX_BYTES // image.nbytes))
        while len(self._images) > limit:
            self._images.popleft()

    def since(self, stamp: int) -> list[np.ndarray]:
        """
        Return the image with a timestamp, the newest one and evenly spaced ones between them.

        Ascending, at most MAX_STEPS + 1. Empty if the image is not kept.
        """
        images = [image for _, image in self._images]
        stamps = [each for each, _ in self._images]
        if stamp not in stamps:
            return []
        images = images[stamps.index(stamp) :]
        steps = min(len(images) - 1, MAX_STEPS)
        return [images[i] for i in np.linspace(0, len(images) - 1, steps + 1).round().astype(int)]


def follow(
    images: Sequence[np.ndarray],
    points: np.ndarray,
    track_points: TrackPoints,
    forward_backward: float,
) -> tuple[np.ndarray, np.ndarray]:
    """
    Follow points from the first of several images to the last.

    points: (N, 2) float32 (x, y) in the first image [px].
    track_points: has the interface of lucas_kanade; forward_backward: its argument.
    Returns the positions in the last image of the K points that are found in all of them, (K, 2)
    float32, and their indices, (K,).
    """
    index = np.arange(len(points))
    for before, now in pairwise(images):
        points, is_good = track_points(before, now, points, forward_backward)
        points, index = points[is_good], index[is_good]
    return points, index
