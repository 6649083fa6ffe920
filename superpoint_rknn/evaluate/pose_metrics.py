"""Metrics of the features of two images whose relative pose is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from superpoint_rknn.evaluate.metrics import CONFIDENCE, ITERATIONS, Features, mutual_neighbours
from superpoint_rknn.evaluate.statistics import without_nan

POSE_LIMITS = (5, 10, 20)  # [degrees] of the AUC
RIGHT = 2.0  # [px] epipolar error up to which a match counts as right
RANSAC_THRESHOLD = 1.0  # [px] distance from the epipolar line
FAR = 1e9  # [baselines] points beyond do not help to select the pose; none is


def measure_posed(
    first: Features, second: Features, matrices: Sequence[np.ndarray], pose: np.ndarray
) -> dict[str, float]:
    """
    Compute the metrics of one pair from its mutual nearest neighbours.

    matrices: K of both images, (3, 3) each. pose: (4, 4) from the first camera to the second.

    Returns, by name:
    pose_error: of the estimated pose [degrees], see `pose_error`; infinite without a pose.
    precision: share of matches with an epipolar error up to RIGHT.
    epipolar_error: its median over these matches [px], NaN without one.
    inliers: number of matches that agree with the estimated pose.
    points: mean number of points of both images. matches: number of mutual nearest neighbours.
    """
    i, j = mutual_neighbours(first.descriptors, second.descriptors)
    p0, p1 = first.points[i].astype(np.float64), second.points[j].astype(np.float64)
    errors = epipolar_errors(p0, p1, matrices, pose)
    right = errors[errors <= RIGHT]
    estimated, inliers = estimate_pose(p0, p1, matrices)
    return {
        'pose_error': pose_error(estimated, pose),
        'precision': len(right) / len(errors) if len(errors) else 0.0,
        'epipolar_error': float(np.median(right)) if len(right) else float('nan'),
        'inliers': float(inliers),
        'matches': float(len(i)),
        'points': (len(first.points) + len(second.points)) / 2,
    }


def epipolar_errors(
    p0: np.ndarray, p1: np.ndarray, matrices: Sequence[np.ndarray], pose: np.ndarray
) -> np.ndarray:
    """Mean distance of both points of each match, (N, 2) each, from their lines, (N,) [px]."""
    x, y, z = pose[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ pose[:3, :3]
    inverse = [np.linalg.inv(matrix) for matrix in matrices]
    fundamental = inverse[1].T @ essential @ inverse[0]
    h0, h1 = (np.column_stack([points, np.ones(len(points))]) for points in (p0, p1))
    lines_1, lines_0 = h0 @ fundamental.T, h1 @ fundamental
    residual = np.abs(np.sum(lines_1 * h1, axis=1))
    lengths = [np.linalg.norm(lines[:, :2], axis=1) for lines in (lines_0, lines_1)]
    with np.errstate(divide='ignore', invalid='ignore'):  # an epipole has no line
        return (residual / lengths[0] + residual / lengths[1]) / 2


def estimate_pose(
    p0: np.ndarray, p1: np.ndarray, matrices: Sequence[np.ndarray]
) -> tuple[np.ndarray | None, int]:
    """
    Estimate the relative pose from matches, (N, 2) each, by the essential matrix (USAC).

    Returns the pose (3, 4) from the first to the second camera, its translation of length 1, None
    if there is none, and the number of inliers.
    """
    if len(p0) < 5:
        return None, 0
    n0, n1 = (
        cv2.undistortPoints(points[:, None], matrix, None)[:, 0]
        for points, matrix in zip((p0, p1), matrices, strict=True)
    )
    focal_length = np.mean([matrix[axis, axis] for matrix in matrices for axis in (0, 1)])
    essential, mask = cv2.findEssentialMat(
        n0,
        n1,
        np.eye(3),
        cv2.USAC_ACCURATE,
        CONFIDENCE,
        RANSAC_THRESHOLD / focal_length,
        ITERATIONS,
    )
    if essential is None or essential.shape != (3, 3):
        return None, 0
    inliers = int(np.count_nonzero(mask))
    _, rotation, translation, *_ = cv2.recoverPose(
        essential, n0, n1, np.eye(3), distanceThresh=FAR, mask=mask
    )
    return np.hstack([rotation, translation]), inliers


def pose_error(estimated: np.ndarray | None, pose: np.ndarray) -> float:
    """
    Larger one of the angles between the rotations and between the translations [degrees].

    Translations of opposite directions count as equal, as is usual (P.-E. Sarlin et al.,
    SuperGlue, 2020). Infinite without an estimated pose.
    """
    if estimated is None:
        return float('inf')
    vector, _ = cv2.Rodrigues(estimated[:, :3] @ pose[:3, :3].T)
    a, b = estimated[:, 3], pose[:3, 3]
    angle = np.arctan2(np.linalg.norm(np.cross(a, b)), abs(a @ b))
    return float(np.degrees(max(np.linalg.norm(vector), angle)))


def summary(measured: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """
    Mean of each metric over pairs; of the pose errors, AUC and median.

    auc5, auc10, auc20: area under the share of pairs over their pose error, up to 5, 10, 20
    degrees, divided by the limit: the mean of max(0, 1 - error / limit).
    """
    values = {name: np.array([pair[name] for pair in measured]) for name in measured[0]}
    errors = values.pop('pose_error')
    row = {f'auc{limit}': float(np.clip(1 - errors / limit, 0, 1).mean()) for limit in POSE_LIMITS}
    row['pose_error'] = float(np.median(errors))
    for name, column in values.items():
        known = column[~np.isnan(column)]
        row[name] = float(known.mean()) if len(known) else float('nan')
    return without_nan(row)
