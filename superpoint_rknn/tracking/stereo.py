"""Match tracks of the left image in the right image of a stereo pair."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.optical_flow import epipolar_inliers, lucas_kanade
from superpoint_rknn.tracking.tracker import TrackSettings
from superpoint_rknn.tracking.tracks import Tracks


def match_stereo(
    left: np.ndarray,
    right: np.ndarray,
    tracks: Tracks,
    settings: TrackSettings,
    camera_models: tuple[CameraModel | None, CameraModel | None] = (None, None),
) -> Tracks:
    """
    Return the tracks of the left image that are found in the right one, with positions there.

    By Lucas-Kanade with a forward-backward test; epipolar outliers are removed.

    left, right: (height, width) uint8, taken at the same time.
    settings: `forward_backward` and `epipolar` are used.
    camera_models: left and right; if both are given, the epipolar test uses undistorted points.
    Raises ValueError if the images are of different sizes.
    """
    if right.shape != left.shape:
        raise ValueError(
            f'right image: (height, width) {right.shape}, expected {left.shape} as the left image'
        )
    points = np.stack([tracks.x, tracks.y], axis=1)
    matches, is_good = lucas_kanade(left, right, points, settings.forward_backward)
    is_good[is_good] = _epipolar_inliers(
        points[is_good], matches[is_good], settings.epipolar, *camera_models
    )
    kept = {field.name: getattr(tracks, field.name)[is_good] for field in fields(Tracks)}
    return Tracks(**kept | {'x': matches[is_good, 0], 'y': matches[is_good, 1]})


def _epipolar_inliers(
    left: np.ndarray,
    right: np.ndarray,
    tolerance: float,
    left_model: CameraModel | None,
    right_model: CameraModel | None,
) -> np.ndarray:
    """Return True for inliers, (N,) bool, of one fundamental matrix; left, right: (N, 2) [px]."""
    if left_model is None or right_model is None:
        return epipolar_inliers(left, right, tolerance)
    left = left_model.focal * left_model.undistort(*left.T)
    right = right_model.focal * right_model.undistort(*right.T)
    is_valid = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    is_inlier = np.logical_not(is_valid)  # points without a direction are not tested
    is_inlier[is_valid] = epipolar_inliers(
        left[is_valid].astype(np.float32), right[is_valid].astype(np.float32), tolerance
    )
    return is_inlier
