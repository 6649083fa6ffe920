"""Metrics of the features of two views whose homography is known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

RADIUS = 3.0  # [px] within which two points are the same
CORNER_LIMITS = (1, 3, 5)  # [px] mean corner error up to which a homography is correct
ITERATIONS = 5000  # of RANSAC
CONFIDENCE = 0.9999  # of RANSAC, at which it stops early


@dataclass(frozen=True)
class Features:
    """Keypoints of one image and their descriptors, row by row."""

    points: np.ndarray  # (N, 2) float32, x and y [px], 0 at the centre of the first pixel
    descriptors: np.ndarray  # (N, C) float32, compared by L2, or uint8 bits, by Hamming distance


def measure(
    first: Features, second: Features, homography: np.ndarray, size: tuple[int, int]
) -> dict[str, float]:
    """
    Compute all metrics of one pair.

    homography: (3, 3) from the first image to the second. size: height, width of both [px].

    Returns, by name:
    rep3, localization_error: see `repeatability`.
    mma3: share of the mutual nearest neighbours within RADIUS of the true position.
    h1, h3, h5: 1 if the homography estimated from them has a corner error up to 1, 3, 5 px.
    auc1, auc3, auc5: max(0, 1 - corner error / limit); its mean over pairs is the area under the
    share of correct homographies over the corner error, up to the limit, divided by the limit.
    points: mean number of points of both images. matches: number of mutual nearest neighbours.
    """
    repeated, localization_error = repeatability(first.points, second.points, homography, size)
    i, j = mutual_neighbours(first.descriptors, second.descriptors)
    matched, target = first.points[i], second.points[j]
    distance = np.linalg.norm(warp(homography, matched) - target, axis=1)
    error = corner_error(estimate_homography(matched, target), homography, size)
    return {
        'rep3': repeated,
        'mma3': float(np.mean(distance <= RADIUS)) if len(distance) else 0.0,
        **{f'h{limit}': float(error <= limit) for limit in CORNER_LIMITS},
        **{f'auc{limit}': max(0.0, 1 - error / limit) for limit in CORNER_LIMITS},
        'localization_error': localization_error,
        'points': (len(first.points) + len(second.points)) / 2,
        'matches': float(len(distance)),
    }


def repeatability(
    first: np.ndarray, second: np.ndarray, homography: np.ndarray, size: tuple[int, int]
) -> tuple[float, float]:
    """
    Share of points with a point of the other image within RADIUS, in both directions together.

    Only points that are visible in the other image count; distances are measured in the second
    image (DeTone et al., SuperPoint, 2018, appendix B).
    first, second: (N, 2), (M, 2). Returns the share and the mean distance of the repeated points
    [px], NaN if there are none.
    """
    first = warp(homography, first)
    first = first[inside(first, size)]
    second = second[inside(warp(np.linalg.inv(homography), second), size)]
    if not len(first) or not len(second):
        return 0.0, float('nan')
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    nearest = np.concatenate([distance.min(1), distance.min(0)])
    found = nearest[nearest <= RADIUS]
    return len(found) / len(nearest), float(found.mean()) if len(found) else float('nan')


def mutual_neighbours(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the first and second descriptors that are nearest to each other, (K,) each."""
    if not len(first) or not len(second):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    norm = cv2.NORM_HAMMING if first.dtype == np.uint8 else cv2.NORM_L2
    matches = cv2.BFMatcher(norm, crossCheck=True).match(first, second)
    pairs = np.array([(m.queryIdx, m.trainIdx) for m in matches], np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def estimate_homography(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Homography (3, 3) from matched points, (K, 2) each, by RANSAC; None if there is none."""
    if len(first) < 4:
        return None
    cv2.setRNGSeed(0)
    homography, _ = cv2.findHomography(
        first.astype(np.float32),
        second.astype(np.float32),
        cv2.RANSAC,
        RADIUS,
        maxIters=ITERATIONS,
        confidence=CONFIDENCE,
    )
    return homography


def corner_error(
    estimated: np.ndarray | None, homography: np.ndarray, size: tuple[int, int]
) -> float:
    """Mean distance of the four corner pixels under both homographies [px]; infinite for None."""
    if estimated is None:
        return float('inf')
    right, bottom = size[1] - 1, size[0] - 1
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], float)
    difference = warp(estimated, corners) - warp(homography, corners)
    error = float(np.linalg.norm(difference, axis=1).mean())
    return error if np.isfinite(error) else float('inf')


def warp(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a homography (3, 3) to points (N, 2); float64, infinite on the horizon."""
    x, y, w = homography @ np.vstack([points.T, np.ones(len(points))])
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.stack([x / w, y / w], axis=1)


def inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask (N,) bool of the points (N, 2) that lie on an image of size (height, width)."""
    height, width = size
    return np.all((points >= -0.5) & (points < (width - 0.5, height - 0.5)), axis=1)
