"""Where points went from one image to the next."""

from __future__ import annotations

import cv2
import numpy as np

from superpoint_rknn.tracking.camera_model import CameraModel

WINDOW = (17, 17)  # [px] that must look alike
LEVELS = 3  # of halved images above the full one
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)  # steps, the last [px]
ENOUGH = 16  # points that a camera's motion can be judged by
CONFIDENCE = 0.99  # that the motion found is the right one
MOST_ITERATIONS = 500


def follow(
    before: np.ndarray, now: np.ndarray, points: np.ndarray, forward_backward: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Find points of an image in the next one, by pyramidal Lucas-Kanade, there and back.

    before, now: (height, width) uint8. points: (N, 2) float32 (x, y) [px].
    forward_backward: how far from its start a point may end when it is followed back [px].
    Returns the places, (N, 2) float32, and which of them are sound, (N,) bool.
    """
    if not len(points):
        return points.copy(), np.zeros(0, bool)
    search = {'winSize': WINDOW, 'criteria': CRITERIA}
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, points, None, maxLevel=LEVELS, **search
    )
    # The way back is sought near the start: a wrong place doesn't lead there.
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        now, before, there, points.copy(), maxLevel=1, flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **search
    )
    height, width = now.shape
    sound = (found[:, 0] != 0) & (found_back[:, 0] != 0)
    with np.errstate(invalid='ignore', over='ignore'):
        sound &= np.square(back - points).sum(axis=1) <= forward_backward**2
        sound &= ((there >= 0) & (there <= (width - 1, height - 1))).all(axis=1)
    return there, sound


def texture(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """
    How firmly the image around each point holds it in every direction, (N,) float32.

    The lesser eigenvalue of the gradients' products in the window (Shi and Tomasi, Good Features
    to Track, 1994), as calcOpticalFlowPyrLK scales it; near 0 on plain areas and straight edges.
    image: (height, width) uint8. points: (N, 2) float32 (x, y) [px].
    """
    if not len(points):
        return np.zeros(0, np.float32)
    _, _, least = cv2.calcOpticalFlowPyrLK(
        image,
        image,
        points,
        points.copy(),
        winSize=WINDOW,
        maxLevel=0,
        criteria=(cv2.TERM_CRITERIA_COUNT, 1, 0),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW | cv2.OPTFLOW_LK_GET_MIN_EIGENVALS,
    )
    return least[:, 0]


def move_together(
    before: np.ndarray, now: np.ndarray, tolerance: float, camera_model: CameraModel | None = None
) -> np.ndarray:
    """
    Which points agree with one motion of the camera past a rigid scene, (N,) bool.

    before, now: (N, 2) float32 places in two images [px].
    tolerance: distance from the epipolar line [px]; 0: all agree.
    lens: of the camera; with it an essential matrix is estimated, else a fundamental one.
    All agree where there are fewer than ENOUGH points, or no motion explains that many.
    """
    everyone = np.ones(len(before), bool)
    if tolerance <= 0 or len(before) < ENOUGH:
        return everyone
    matters, matrix = everyone, None
    if camera_model is not None:
        before, now = camera_model.undistort(*before.T), camera_model.undistort(*now.T)
        matters = np.isfinite(before).all(axis=1) & np.isfinite(now).all(axis=1)
        if matters.sum() < ENOUGH:
            return everyone
        matrix = np.eye(3)
        tolerance /= camera_model.focal
    agrees = _inliers(before[matters], now[matters], tolerance, matrix)
    if agrees is None or agrees.sum() < ENOUGH:
        return everyone
    result = ~matters  # what the lens can't tell of is not judged
    result[matters] = agrees
    return result


def _inliers(
    before: np.ndarray, now: np.ndarray, tolerance: float, matrix: np.ndarray | None
) -> np.ndarray | None:
    """Points that an essential (given a camera matrix) or fundamental matrix explains."""
    try:
        if matrix is not None:
            _, mask = cv2.findEssentialMat(
                before, now, matrix, cv2.USAC_FAST, CONFIDENCE, tolerance
            )
        else:
            _, mask = cv2.findFundamentalMat(
                before, now, cv2.USAC_FAST, tolerance, CONFIDENCE, MOST_ITERATIONS
            )
    except cv2.error:  # OpenCV 4.14's way to say that it found none, of a camera almost at rest
        return None
    return None if mask is None else mask[:, 0] != 0
