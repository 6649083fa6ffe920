"""Draw keypoints and tracks over an image (overlays)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from superpoint_rknn.tracking.tracker import Tracks

RING = np.array(
    [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if 5 <= dy * dy + dx * dx <= 10]
)  # (dy, dx) of a ring of radius 3 [px] around a point
TAIL = 10  # drawn positions per track, including the newest
AGES = np.array([2, 6, 16, 41])  # [images] at which a track gets the next colour
COLOURS = np.array(
    [(255, 120, 40), (230, 220, 40), (60, 220, 60), (40, 190, 255), (50, 50, 255)], np.uint8
)  # BGR, from blue for a new track to red for an old one


def draw_points(image: np.ndarray, x: np.ndarray, y: np.ndarray, score: np.ndarray) -> np.ndarray:
    """
    Return a copy of a grey image with a ring around each point, (height, width, 3) uint8 BGR.

    image: (height, width) uint8. x, y: (N,) [px].
    score: (N,) in 0..1; colours from red (weak) over yellow to green (strong).
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    _draw_rings(canvas, x, y, score_colours(score))
    return canvas


def score_colours(score: np.ndarray) -> np.ndarray:
    """Return colours of scores 0..1, (N, 3) uint8 BGR: red at 0, yellow at 0.25, green at 1."""
    strength = 510 * np.sqrt(np.clip(score, 0, 1))
    colours = np.stack([np.zeros_like(strength), strength, 510 - strength], axis=1)
    return np.minimum(colours, 255).astype(np.uint8)


class Tails:
    """
    The last TAIL positions of the live tracks. Not thread-safe.

    positions: (N, TAIL, 2) float32 [px], the newest last.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Discard all positions."""
        self._keys: np.ndarray = np.zeros(0, np.int64)
        self._ages: np.ndarray = np.zeros(0, np.int64)
        self.positions: np.ndarray = np.zeros((0, TAIL, 2), np.float32)

    def update(self, tracks: Tracks) -> None:
        """Add the tracks of the next image; tails of ended tracks are discarded."""
        now = np.stack([tracks.x, tracks.y], axis=1)
        positions = np.repeat(now[:, None], TAIL, axis=1)  # a new track has only this position
        _, before, after = np.intersect1d(
            self._keys, tracks.key, assume_unique=True, return_indices=True
        )
        positions[after, :-1] = self.positions[before, 1:]
        self._keys, self._ages, self.positions = tracks.key, tracks.age, positions

    def draw(self, image: np.ndarray) -> np.ndarray:
        """
        Return a copy of an image with the tracks, coloured by age, (height, width, 3) uint8 BGR.

        image: (height, width) uint8, of the last `update`.
        """
        canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        bucket = self._buckets()
        lines = np.rint(self.positions).astype(np.int32)
        for index, colour in enumerate(COLOURS.tolist()):
            cv2.polylines(canvas, list(lines[bucket == index]), False, colour)
        newest = self.positions[:, -1]
        _draw_rings(canvas, newest[:, 0], newest[:, 1], COLOURS[bucket])
        return canvas

    def colours(self) -> np.ndarray:
        """Return the colour of each track by its age, (N, 3) uint8 BGR."""
        return COLOURS[self._buckets()]

    def _buckets(self) -> np.ndarray:
        return np.searchsorted(AGES, self._ages, side='right')


def _draw_rings(canvas: np.ndarray, x: np.ndarray, y: np.ndarray, colours: np.ndarray) -> None:
    """Draw a ring around each point into `canvas`; colours: (N, 3) uint8 BGR."""
    height, width, _ = canvas.shape
    rows = np.rint(y).astype(np.intp)[:, None] + RING[:, 0]
    cols = np.rint(x).astype(np.intp)[:, None] + RING[:, 1]
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    colours = np.broadcast_to(colours[:, None], (*rows.shape, 3))
    canvas[rows[inside], cols[inside]] = colours[inside]
