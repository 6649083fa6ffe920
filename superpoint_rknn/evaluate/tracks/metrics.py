"""Length of tracks and their agreement with the camera's motion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

EPIPOLAR_LIMIT = 1.0  # [px] to the epipolar line
MIN_POINTS = 8  # for an estimate of the motion
CONFIDENCE = 0.999
ITERATIONS = 5000


@dataclass(frozen=True)
class TrackedPoints:
    """Tracked points of one image, row by row."""

    id: np.ndarray  # (N,) integers
    points: np.ndarray  # (N, 2) float32 (x, y) [px]


@dataclass(frozen=True)
class Estimate:
    """Camera motion estimated from points."""

    inliers: float  # share of the points within EPIPOLAR_LIMIT
    rotation: np.ndarray | None = None  # (3, 3) from the first camera to the second


NO_ESTIMATE = Estimate(0.0)


def track_lengths(history: list[TrackedPoints]) -> np.ndarray:
    """Number of images of each track, (T,), in the order of ids."""
    if not history:
        return np.zeros(0, np.intp)
    return np.unique(np.concatenate([points.id for points in history]), return_counts=True)[1]


def common_points(first: TrackedPoints, second: TrackedPoints) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the tracks that both images have, (N, 2) each, row by row the same track."""
    _, i, j = np.intersect1d(first.id, second.id, assume_unique=True, return_indices=True)
    return first.points[i], second.points[j]


def relative_motion(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Transform from the first camera to the second, (4, 4), of poses world to camera, (4, 4)."""
    return second @ np.linalg.inv(first)


def epipolar_distances(
    first: np.ndarray, second: np.ndarray, motion: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """
    Distances in the second image between points and the epipolar lines of the first, (N,) [px].

    first, second: (N, 2) [px]. motion: (4, 4) from the first camera to the second. matrix: K of
    both. The line of x is F x with F = K^-T [t] R K^-1 (Hartley and Zisserman, 9.2.4).
    """
    x, y, z = motion[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    inverse = np.linalg.inv(matrix)
    lines = _homogeneous(first) @ (inverse.T @ cross @ motion[:3, :3] @ inverse).T
    return np.abs((lines * _homogeneous(second)).sum(1)) / np.hypot(lines[:, 0], lines[:, 1])


def estimate_motion(first: np.ndarray, second: np.ndarray, matrix: np.ndarray | None) -> Estimate:
    """
    Estimate the camera's motion between two images by OpenCV's USAC.

    first, second: (N, 2) [px]. matrix: K of both, for an essential matrix; None if it is unknown,
    for a fundamental matrix, which gives no rotation.
    """
    if len(first) < MIN_POINTS:
        return NO_ESTIMATE
    first, second = first.astype(np.float64), second.astype(np.float64)
    try:
        if matrix is None:
            _, mask = cv2.findFundamentalMat(
                first, second, cv2.USAC_ACCURATE, EPIPOLAR_LIMIT, CONFIDENCE, ITERATIONS
            )
            return NO_ESTIMATE if mask is None else Estimate(float(np.mean(mask != 0)))
        essential, mask = cv2.findEssentialMat(
            first, second, matrix, cv2.USAC_ACCURATE, CONFIDENCE, EPIPOLAR_LIMIT
        )
    except cv2.error:  # OpenCV 4.14 raises if it finds none, for a camera almost at rest
        return NO_ESTIMATE
    if essential is None or essential.shape != (3, 3):
        return NO_ESTIMATE
    share = float(np.mean(mask != 0))
    _, rotation, _, _ = cv2.recoverPose(essential, first, second, matrix, mask=mask)
    return Estimate(share, rotation)


def rotation_angle(rotation: np.ndarray, other: np.ndarray) -> float:
    """Angle between two rotations, (3, 3) each [degrees]."""
    vector, _ = cv2.Rodrigues(rotation.T @ other)
    return float(np.rad2deg(np.linalg.norm(vector)))


def _homogeneous(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.astype(np.float64), np.ones((len(points), 1))], axis=1)
