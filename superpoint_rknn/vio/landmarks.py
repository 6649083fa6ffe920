"""Landmarks: reprojection errors, and triangulation of new ones from their rays."""

from __future__ import annotations

import gtsam
import numpy as np

DEPTH = (0.1, 100.0)  # [m], of a landmark in front of a camera
TRIANGULATION_RANK = 1e-9  # singular values below are 0

Camera = tuple[np.ndarray, np.ndarray]  # rotation (3, 3), world from camera, and position (3,) [m]


def camera_of(body: gtsam.Pose3, body_from_camera: gtsam.Pose3) -> Camera:
    """Rotation and position of the camera in the world."""
    pose = body.compose(body_from_camera)
    return pose.rotation().matrix(), pose.translation()


def reprojection_errors(
    points: np.ndarray, cameras: list[Camera], directions: np.ndarray
) -> np.ndarray:
    """
    Distances between projections of landmarks and their observations, normalised, (N,).

    points: (N, 3) in the world [m], or (3,), the same for all. cameras: N.
    directions: (N, 2) X / Z, Y / Z.
    Infinite where the landmark is not in front of the camera, within DEPTH.
    """
    rotations = np.array([rotation for rotation, _ in cameras])
    positions = np.array([position for _, position in cameras])
    seen = np.einsum('nji,nj->ni', rotations, points - positions)
    is_in_front = (seen[:, 2] > DEPTH[0]) & (seen[:, 2] < DEPTH[1])
    depth = np.where(is_in_front, seen[:, 2], 1.0)
    errors = np.linalg.norm(seen[:, :2] / depth[:, None] - directions, axis=1)
    return np.where(is_in_front, errors, np.inf)


def rays(cameras: list[Camera], directions: np.ndarray) -> np.ndarray:
    """Unit vectors in the world of the observations, (N, 3); directions: (N, 2)."""
    seen = np.column_stack([directions, np.ones(len(directions))])
    world = np.einsum('nij,nj->ni', np.array([rotation for rotation, _ in cameras]), seen)
    return world / np.linalg.norm(world, axis=1, keepdims=True)


def triangulate(
    cameras: list[Camera], directions: np.ndarray, min_angle: float, max_error: float
) -> np.ndarray | None:
    """
    Position of a landmark in the world, (3,) [m]; None if it is uncertain or does not fit.

    directions: (N, 2), one per camera. min_angle: [rad], between the last ray and another.
    max_error: of the reprojection, in normalised coordinates.
    """
    seen = rays(cameras, directions)
    if np.min(seen @ seen[-1]) > np.cos(min_angle):
        return None
    poses = [gtsam.Pose3(gtsam.Rot3(rotation), position) for rotation, position in cameras]
    try:
        point = gtsam.triangulatePoint3(
            poses, gtsam.Cal3_S2(), list(directions), TRIANGULATION_RANK, True
        )
    except RuntimeError:  # behind a camera, or its depth is not determined
        return None
    is_good = reprojection_errors(point, cameras, directions).max() <= max_error
    return point if is_good else None
