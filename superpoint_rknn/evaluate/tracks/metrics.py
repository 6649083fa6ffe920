"""Length of tracks and their agreement with the camera's motion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

EPIPOLAR_LIMIT = 1.0  # [px] to the epipolar line
POINT_LIMIT = 3.0  # [px] to the projection of the true point
MIN_POINTS = 8  # for an estimate of the motion
MIN_VIEWS = 4  # of a track whose point is triangulated
MIN_PARALLAX = 1e-4  # smallest to largest eigenvalue of the information about the point
WEIGHT_SCALE = 1.0  # [px] of the robust (Cauchy) weights
FAR = 100.0  # [px] from which on weights are the same
ROUNDS = 8  # of reweighting
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


def distances_from_points(
    history: list[TrackedPoints], poses: list[np.ndarray], matrix: np.ndarray
) -> np.ndarray:
    """
    Return the distance of each observation from the projection of its track's point [px], (K,).

    The point is triangulated from all observations of the track and the true poses, with robust
    weights: it is the one that most of them agree on. A track that slides off its point is away
    from it from then on. Tracks with fewer than MIN_VIEWS observations or too little parallax are
    left out.

    poses: (4, 4) each, from the scene to the camera. matrix: K of all images, (3, 3).
    """
    views = [len(points.id) for points in history]
    ids = np.concatenate([points.id for points in history])
    image = np.repeat(np.arange(len(history)), views)
    places = _homogeneous(np.concatenate([points.points for points in history]))
    order = np.argsort(ids, kind='stable')
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    every_pose = np.stack(poses)
    distances = [
        _distances_from_point(places[rows], every_pose[image[rows]], matrix)
        for rows in np.split(order, starts[1:])
        if len(rows) >= MIN_VIEWS
    ]
    return np.concatenate([np.empty(0), *distances])


def _distances_from_point(places: np.ndarray, poses: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Distances of one track's observations, (N, 3) homogeneous; empty if it lacks parallax."""
    turn, shift = poses[:, :3, :3], poses[:, :3, 3]
    centres = -np.einsum('nji,nj->ni', turn, shift)
    rays = np.einsum('nji,nj->ni', turn, places @ np.linalg.inv(matrix).T)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]  # projects across the ray
    weight = np.ones(len(places))
    for _ in range(ROUNDS):
        information = np.einsum('n,nij->ij', weight, across)
        values = np.linalg.eigvalsh(information)
        if values[0] <= MIN_PARALLAX * values[2]:
            return np.empty(0)
        point = np.linalg.solve(information, np.einsum('n,nij,nj->i', weight, across, centres))
        seen = (np.einsum('nij,j->ni', turn, point) + shift) @ matrix.T
        depth = np.maximum(seen[:, 2], 0.1)
        with np.errstate(divide='ignore', invalid='ignore'):
            pixels = seen[:, :2] / seen[:, 2:]
        distance = np.hypot(*(pixels - places[:, :2]).T)
        distance[seen[:, 2] <= 0] = np.inf  # behind the camera
        weight = 1 / (depth**2 * (1 + (np.minimum(distance, FAR) / WEIGHT_SCALE) ** 2))
    return distance


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
