"""Tracked points in the other image of a stereo pair."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.optical_flow import follow, move_together
from superpoint_rknn.tracking.tracker import Tracks, TrackSettings


def in_right_image(
    left: np.ndarray,
    right: np.ndarray,
    tracks: Tracks,
    settings: TrackSettings,
    lenses: tuple[CameraModel | None, CameraModel | None] = (None, None),
) -> Tracks:
    """
    Those tracks of the left image that are found in the right one, with their places there.

    By Lucas-Kanade there and back; of these, points that disagree with one fundamental matrix of
    the two cameras are left out.
    left, right: (height, width) uint8, of one moment.
    settings: of which `forward_backward` and `epipolar` count.
    lenses: of the left and the right camera, so that the test is made without distortion.
    Raises ValueError if the images are of different sizes.
    """
    if right.shape != left.shape:
        raise ValueError(f'height, width: {right.shape}, the left image has {left.shape}')
    before = np.stack([tracks.x, tracks.y], axis=1)
    there, sound = follow(left, right, before, settings.forward_backward)
    sound[sound] = _on_epipolar_lines(before[sound], there[sound], settings.epipolar, lenses)
    found = {field.name: getattr(tracks, field.name)[sound] for field in fields(Tracks)}
    return Tracks(**found | {'x': there[sound, 0], 'y': there[sound, 1]})


def _on_epipolar_lines(
    left: np.ndarray,
    right: np.ndarray,
    tolerance: float,
    lenses: tuple[CameraModel | None, CameraModel | None],
) -> np.ndarray:
    """Which points, (N, 2) [px] each, agree with one fundamental matrix, (N,) bool."""
    if None in lenses:
        return move_together(left, right, tolerance)
    left, right = (
        camera_model.focal * camera_model.undistort(*points.T)
        for camera_model, points in zip(lenses, (left, right), strict=True)
    )
    judged = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    agrees = ~judged  # what a lens can't tell of is not judged
    agrees[judged] = move_together(
        left[judged].astype(np.float32), right[judged].astype(np.float32), tolerance
    )
    return agrees
