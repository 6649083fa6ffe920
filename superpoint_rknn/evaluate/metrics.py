"""How well the features of two views agree, where the homography between them is known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

RADIUS = 3.0  # [px] points this near are the same one
CORRECT = (1, 3, 5)  # [px] mean error of the corners within which a homography is correct
ITERATIONS = 5000  # of RANSAC
CONFIDENCE = 0.9999  # of RANSAC, that it may stop before


@dataclass(frozen=True)
class Features:
    """Keypoints and descriptors of one image; row i of the one belongs to row i of the other."""

    points: np.ndarray  # (N, 2) float32, x and y [px], 0 at the centre of the first pixel
    descriptors: np.ndarray  # (N, C) float32, compared by L2, or uint8 bits, by Hamming distance


def measure(
    first: Features, second: Features, homography: np.ndarray, size: tuple[int, int]
) -> dict[str, float]:
    """
    All metrics of one pair.

    homography: (3, 3) from the first image to the second. size: height, width of both [px].
    rep3, localization_error: see `repeatability`. mma3: share of the mutual nearest neighbours
    whose place in the second image is within RADIUS of the true one. h1, h3, h5: 1 if the
    homography estimated from them has an error of its corners within 1, 3, 5 px. auc1, auc3,
    auc5: area under the share of such pairs over the error, up to 1, 3, 5 px, and relative to
    that; of one pair max(0, 1 - error / limit), whose mean over pairs is the area. points: of
    both images on average. matches: mutual nearest neighbours.
    """
    repeated, localization_error = repeatability(first.points, second.points, homography, size)
    i, j = mutual_neighbours(first.descriptors, second.descriptors)
    here, there = first.points[i], second.points[j]
    distance = np.linalg.norm(warped(homography, here) - there, axis=1)
    error = corner_error(estimated_homography(here, there), homography, size)
    return {
        'rep3': repeated,
        'mma3': float(np.mean(distance <= RADIUS)) if len(distance) else 0.0,
        **{f'h{limit}': float(error <= limit) for limit in CORRECT},
        **{f'auc{limit}': max(0.0, 1 - error / limit) for limit in CORRECT},
        'localization_error': localization_error,
        'points': (len(first.points) + len(second.points)) / 2,
        'matches': float(len(distance)),
    }


def repeatability(
    first: np.ndarray, second: np.ndarray, homography: np.ndarray, size: tuple[int, int]
) -> tuple[float, float]:
    """
    Share of points with a point of the other image within RADIUS, both ways together.

    Only points that are visible in the other image count; distances are pixels of the second
    image (the definition of the SuperPoint article, appendix B).
    first, second: (N, 2), (M, 2). Returns that, and the mean distance of those found again
    [px]; NaN if there are none.
    """
    there = warped(homography, first)
    there = there[inside(there, size)]
    second = second[inside(warped(np.linalg.inv(homography), second), size)]
    if not len(there) or not len(second):
        return 0.0, float('nan')
    distance = np.linalg.norm(there[:, None] - second[None], axis=2)
    nearest = np.concatenate([distance.min(1), distance.min(0)])
    found = nearest[nearest <= RADIUS]
    return len(found) / len(nearest), float(found.mean()) if len(found) else float('nan')


def mutual_neighbours(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the first and the second descriptors that are nearest to each other, both (K,)."""
    if not len(first) or not len(second):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    norm = cv2.NORM_HAMMING if first.dtype == np.uint8 else cv2.NORM_L2
    matches = cv2.BFMatcher(norm, crossCheck=True).match(first, second)
    pairs = np.array([(m.queryIdx, m.trainIdx) for m in matches], np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def estimated_homography(here: np.ndarray, there: np.ndarray) -> np.ndarray | None:
    """Homography (3, 3) from matched points (K, 2) by RANSAC; None where none is found."""
    if len(here) < 4:
        return None
    cv2.setRNGSeed(0)
    homography, _ = cv2.findHomography(
        here.astype(np.float32),
        there.astype(np.float32),
        cv2.RANSAC,
        RADIUS,
        maxIters=ITERATIONS,
        confidence=CONFIDENCE,
    )
    return homography


def corner_error(
    estimated: np.ndarray | None, homography: np.ndarray, size: tuple[int, int]
) -> float:
    """Mean distance of the image's four corner pixels under both homographies [px]."""
    if estimated is None:
        return float('inf')
    right, bottom = size[1] - 1, size[0] - 1
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], float)
    difference = warped(estimated, corners) - warped(homography, corners)
    error = float(np.linalg.norm(difference, axis=1).mean())
    return error if np.isfinite(error) else float('inf')


def warped(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) under a homography (3, 3), float64; infinite where they vanish."""
    x, y, w = homography @ np.vstack([points.T, np.ones(len(points))])
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.stack([x / w, y / w], axis=1)


def inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which points (N, 2) lie on an image of a height and width, (N,) bool."""
    height, width = size
    return ((points >= -0.5) & (points < (width - 0.5, height - 0.5))).all(1)
