"""Pyramidal Lucas-Kanade optical flow between two images, and the epipolar outlier test."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel
from superpoint_rknn.tracking.light import match_light

WINDOW = (17, 17)  # [px]
MAX_LEVEL = 3  # of the image pyramid
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)  # iterations, step [px]
TEXTURE_SAMPLE = 4  # every fourth track is among the points that candidates are compared with
MIN_TEXTURE = 1e-7  # of any new track
MIN_POINTS = 16  # minimum number of points, and of inliers, of an epipolar test
CONFIDENCE = 0.99  # of RANSAC
MAX_ITERATIONS = 500  # of RANSAC


def lucas_kanade(
    before: np.ndarray, now: np.ndarray, points: np.ndarray, forward_backward: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Track points to the next image by pyramidal Lucas-Kanade, with a forward-backward test.

    before, now: (height, width) uint8. points: (N, 2) float32 (x, y) [px].
    forward_backward: maximum distance of a point from its start after tracking it back [px].
    Returns positions in `now`, (N, 2) float32, and True for points that passed, (N,) bool.
    """
    if not len(points):
        return points.copy(), np.zeros(0, bool)
    before, now = match_light(before, now)
    search: dict[str, Any] = {'winSize': WINDOW, 'criteria': CRITERIA}
    # None: no initial flow, which OpenCV's stubs don't allow.
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, points, cast(np.ndarray, None), maxLevel=MAX_LEVEL, **search
    )
    # The backward search starts at the original points: wrong positions do not lead there. Without
    # its coarser levels the lengths and errors of tracks are the same; it costs half.
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        now, before, moved, points.copy(), maxLevel=0, flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **search
    )
    height, width = now.shape
    is_good = (found[:, 0] != 0) & (found_back[:, 0] != 0)
    with np.errstate(invalid='ignore', over='ignore'):
        is_good &= np.square(back - points).sum(axis=1) <= forward_backward**2
        is_good &= ((moved >= 0) & (moved <= (width - 1, height - 1))).all(axis=1)
    return np.asarray(moved), is_good


def min_eigenvalues(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """
    Return the minimum eigenvalue of the gradient matrix around each point (texture), (N,) float32.

    See Shi and Tomasi, Good Features to Track, 1994. Scaled as in calcOpticalFlowPyrLK; near 0 on
    uniform areas and straight edges.
    image: (height, width) uint8. points: (N, 2) float32 (x, y) [px].
    """
    if not len(points):
        return np.zeros(0, np.float32)
    _, _, eigenvalues = cv2.calcOpticalFlowPyrLK(
        image,
        image,
        points,
        points.copy(),
        winSize=WINDOW,
        maxLevel=0,
        criteria=(cv2.TERM_CRITERIA_COUNT, 1, 0),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW | cv2.OPTFLOW_LK_GET_MIN_EIGENVALS,
    )
    return eigenvalues[:, 0]


def has_texture(
    image: np.ndarray, candidates: np.ndarray, tracked: np.ndarray, min_texture: float
) -> np.ndarray:
    """
    Return True for candidates with enough texture, relative to the best point, (N,) bool.

    image: (height, width) uint8. candidates: (N, 2), tracked: (M, 2), float32 (x, y) [px]; the
    best point is one of both. min_texture: share of its minimum eigenvalue; 0: all are True.
    """
    if not min_texture:
        return np.ones(len(candidates), bool)
    points = np.concatenate([candidates, tracked[::TEXTURE_SAMPLE]])
    texture = min_eigenvalues(image, points)
    limit = max(min_texture * texture.max(initial=0), MIN_TEXTURE)
    return np.asarray(texture[: len(candidates)] >= limit)


def epipolar_inliers(
    before: np.ndarray, now: np.ndarray, tolerance: float, camera_model: CameraModel | None = None
) -> np.ndarray:
    """
    Epipolar outlier test: return True for inliers of one camera motion, (N,) bool.

    before, now: (N, 2) float32 positions in two images [px].
    tolerance: maximum distance from the epipolar line [px]; 0: all are inliers.
    camera_model: if given, an essential matrix is estimated, else a fundamental matrix.
    All are inliers if there are fewer than MIN_POINTS points or fewer than MIN_POINTS inliers.
    """
    all_inliers = np.ones(len(before), bool)
    if tolerance <= 0 or len(before) < MIN_POINTS:
        return all_inliers
    is_valid, matrix = all_inliers, None
    if camera_model is not None:
        directions = camera_model.undistort(*np.concatenate([before, now]).T)
        before, now = directions[: len(before)], directions[len(before) :]
        is_valid = np.isfinite(before).all(axis=1) & np.isfinite(now).all(axis=1)
        if is_valid.sum() < MIN_POINTS:
            return all_inliers
        matrix = np.eye(3)
        tolerance /= camera_model.focal
    is_inlier = _ransac(before[is_valid], now[is_valid], tolerance, matrix)
    if is_inlier is None or is_inlier.sum() < MIN_POINTS:
        return all_inliers
    result = ~is_valid  # points without a direction are not tested
    result[is_valid] = is_inlier
    return result


def _ransac(
    before: np.ndarray, now: np.ndarray, tolerance: float, matrix: np.ndarray | None
) -> np.ndarray | None:
    """Return the inliers of an essential (given `matrix`) or fundamental matrix; None if none."""
    try:
        if matrix is not None:
            essential, _ = cv2.findEssentialMat(
                before, now, matrix, cv2.USAC_FAST, CONFIDENCE, tolerance
            )
            if essential is None or essential.shape != (3, 3):
                return None
            # Not the mask: OpenCV 4.5.4 to 4.7 compares twice this distance with the tolerance.
            return _is_near_epipolar_lines(before, now, essential, tolerance)
        _, mask = cv2.findFundamentalMat(
            before, now, cv2.USAC_FAST, tolerance, CONFIDENCE, MAX_ITERATIONS
        )
    except cv2.error:  # raised by OpenCV 4.14 if it finds no matrix, for a camera almost at rest
        return None
    return None if mask is None else mask[:, 0] != 0


def _is_near_epipolar_lines(
    before: np.ndarray, now: np.ndarray, matrix: np.ndarray, tolerance: float
) -> np.ndarray:
    """
    Return True where the Sampson distance is at most the tolerance, (N,) bool.

    before, now: (N, 2). matrix: essential or fundamental, (3, 3). See Hartley and Zisserman,
    Multiple View Geometry, equation 11.9.
    """
    before, now = (cv2.convertPointsToHomogeneous(points)[:, 0] for points in (before, now))
    lines_now, lines_before = before @ matrix.T, now @ matrix
    residuals = (now * lines_now).sum(axis=1)
    scales = np.square(lines_now[:, :2]).sum(axis=1) + np.square(lines_before[:, :2]).sum(axis=1)
    return np.asarray(np.square(residuals) <= tolerance**2 * scales)
