"""End tracks that slid off their point: a test against an image several images back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.optical_flow import epipolar_inliers
from superpoint_rknn.tracking.tracks import LiveTracks

# Number of the image modulo PERIOD: images back, and tolerance relative to that of one step.
PERIOD = 4
TESTS = {0: (15, 2.0), 2: (7, 1.5)}
MIN_INLIERS = 0.75  # share below which the estimated motion is not trusted


def is_at_its_point(
    number: int,
    history: Sequence[tuple[int, np.ndarray, np.ndarray]],
    live: LiveTracks,
    tolerance: float,
    camera_model: CameraModel | None,
) -> np.ndarray:
    """
    Return False for tracks that slid away since an earlier image, at depth edges for instance.

    A track that slides by less than the tolerance in each step passes the test of each step.

    number: of the image that `live` is tracked to. history: timestamp, keys and points of the
    images before it. tolerance: maximum distance from the epipolar line in one step [px].
    camera_model: None: all are True, since lens distortion bends the epipolar lines of a motion of
    several images by more than the tolerance.
    """
    is_at_point = np.ones(len(live), bool)
    back, factor = TESTS.get(number % PERIOD, (0, 0.0))
    if camera_model is None or not 0 < back <= len(history):
        return is_at_point
    _, key, points = history[-back]
    _, rows, earlier = np.intersect1d(live.key, key, assume_unique=True, return_indices=True)
    is_inlier = epipolar_inliers(
        points[earlier], live.points[rows], factor * tolerance, camera_model
    )
    if is_inlier.sum() >= MIN_INLIERS * len(rows):
        is_at_point[rows] = is_inlier
    return is_at_point
