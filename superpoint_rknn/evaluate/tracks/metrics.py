"""How long points are followed, and how well they keep to the camera's motion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WITHIN = 1.0  # [px] of the true epipolar line
ENOUGH = 8  # points that an essential matrix is estimated from
CONFIDENCE = 0.999
ITERATIONS = 5000


@dataclass(frozen=True)
class Seen:
    """Points that are followed, in one image; row by row a point."""

    id: np.ndarray  # (N,) integers
    points: np.ndarray  # (N, 2) float32 (x, y) [px]


@dataclass(frozen=True)
class Estimate:
    """A motion of the camera estimated from points."""

    inliers: float  # share of the points within WITHIN of it
    rotation: np.ndarray | None = None  # (3, 3) from the first camera to the second


NOTHING = Estimate(0.0)


def lengths(history: list[Seen]) -> np.ndarray:
    """In how many images each id was seen, (T,), in the order of ids."""
    if not history:
        return np.zeros(0, np.intp)
    return np.unique(np.concatenate([seen.id for seen in history]), return_counts=True)[1]


def common(before: Seen, now: Seen) -> tuple[np.ndarray, np.ndarray]:
    """Places of the points that both images show, (N, 2) each, row by row the same point."""
    _, i, j = np.intersect1d(before.id, now.id, assume_unique=True, return_indices=True)
    return before.points[i], now.points[j]


def motion(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """From the first camera to the second, (4, 4); poses, (4, 4), go from world to camera."""
    return now @ np.linalg.inv(before)


def epipolar_distances(
    before: np.ndarray, now: np.ndarray, moved: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """
    How far points lie from the epipolar lines of their places before, in the image of now, (N,).

    before, now: (N, 2) [px]. moved: (4, 4) from the first camera to the second. matrix: K of both.
    The line of x is F x with F = K^-T [t] R K^-1 (Hartley and Zisserman, 9.2.4).
    """
    x, y, z = moved[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    inverse = np.linalg.inv(matrix)
    lines = _rays(before) @ (inverse.T @ cross @ moved[:3, :3] @ inverse).T
    return np.abs((lines * _rays(now)).sum(1)) / np.hypot(lines[:, 0], lines[:, 1])


def inliers(before: np.ndarray, now: np.ndarray, matrix: np.ndarray | None) -> Estimate:
    """
    The camera's motion that most points agree with, by OpenCV's USAC.

    before, now: (N, 2) [px]. matrix: K of both: an essential matrix is estimated; None where it
    isn't known: a fundamental one, which tells no rotation.
    """
    if len(before) < ENOUGH:
        return NOTHING
    before, now = before.astype(np.float64), now.astype(np.float64)
    try:
        if matrix is None:
            _, mask = cv2.findFundamentalMat(
                before, now, cv2.USAC_ACCURATE, WITHIN, CONFIDENCE, ITERATIONS
            )
            return NOTHING if mask is None else Estimate(float(np.mean(mask != 0)))
        essential, mask = cv2.findEssentialMat(
            before, now, matrix, cv2.USAC_ACCURATE, CONFIDENCE, WITHIN
        )
    except cv2.error:  # OpenCV 4.14's way to say that it found none, of a camera almost at rest
        return NOTHING
    if essential is None or essential.shape != (3, 3):
        return NOTHING
    share = float(np.mean(mask != 0))
    _, rotation, _, _ = cv2.recoverPose(essential, before, now, matrix, mask=mask)
    return Estimate(share, rotation)


def rotation_angle(rotation: np.ndarray, other: np.ndarray) -> float:
    """Angle between two rotations, (3, 3) each [degrees]."""
    vector, _ = cv2.Rodrigues(rotation.T @ other)
    return float(np.rad2deg(np.linalg.norm(vector)))


def _rays(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.astype(np.float64), np.ones((len(points), 1))], axis=1)
