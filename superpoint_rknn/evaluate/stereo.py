"""Rectified stereo pairs of a camera with the true disparity of each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superpoint_rknn.evaluate.metrics import RADIUS, Features, mutual_neighbours
from superpoint_rknn.evaluate.pairs import VIEW_SIZE
from superpoint_rknn.features.resize import ImageTransform


@dataclass(frozen=True)
class StereoPair:
    """Left and right image, stretched to VIEW_SIZE, and the disparity of the left one."""

    name: str
    left: np.ndarray  # VIEW_SIZE, uint8
    right: np.ndarray  # VIEW_SIZE, uint8
    disparity: np.ndarray  # (height, width) as stored, float32 [px]; NaN where unknown

    def errors(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """
        Distances of matched points from their true places in the right image.

        left, right: (N, 2) points of VIEW_SIZE. Returns (N,) [px of VIEW_SIZE], NaN where the
        disparity of the nearest pixel is unknown.
        """
        transform = ImageTransform.fit('stretch', self.disparity.shape, VIEW_SIZE)
        x, y = transform.to_image(*left.T)
        height, width = self.disparity.shape
        rows = np.clip(np.rint(y).astype(int), 0, height - 1)
        cols = np.clip(np.rint(x).astype(int), 0, width - 1)
        disparity = self.disparity[rows, cols] / transform.scale[0]
        return np.hypot(left[:, 0] - disparity - right[:, 0], left[:, 1] - right[:, 1])


def stereo_pair(
    name: str, left: np.ndarray, right: np.ndarray, disparity: np.ndarray
) -> StereoPair:
    """
    Stretch two images of one size, (height, width) uint8, to VIEW_SIZE, as the node does.

    disparity: (height, width) [px]; 0 or not finite where unknown.
    """
    transform = ImageTransform.fit('stretch', left.shape, VIEW_SIZE)
    known = np.isfinite(disparity) & (disparity > 0)
    truth = np.where(known, disparity, np.nan).astype(np.float32)
    return StereoPair(name, transform.resize(left), transform.resize(right), truth)


def measure_stereo(left: Features, right: Features, pair: StereoPair) -> dict[str, float]:
    """
    Compute the metrics of one stereo pair from its mutual nearest neighbours.

    Only matches whose truth is known count for mma3, the share within RADIUS of the true place,
    and median_error, the median distance from it [px], NaN if no truth is known.

    Also returned: known, their number, matches, the number of all, and points, per image.
    """
    i, j = mutual_neighbours(left.descriptors, right.descriptors)
    errors = pair.errors(left.points[i], right.points[j])
    errors = errors[np.isfinite(errors)]
    return {
        'mma3': float(np.mean(errors <= RADIUS)) if len(errors) else 0.0,
        'median_error': float(np.median(errors)) if len(errors) else float('nan'),
        'known': float(len(errors)),
        'matches': float(len(i)),
        'points': (len(left.points) + len(right.points)) / 2,
    }
