"""The definition of keypoints, pixel by pixel, with a tolerance for rounding."""

import cv2
import numpy as np
from native_cases import TOLERANCE


def probability_map(logits):
    """Probabilities (H, W) of logits (65, H/8, W/8) as float64; 0 in cells that have none."""
    real = logits.astype(np.float64)
    with np.errstate(invalid='ignore', over='ignore'):
        exponentials = np.exp(real - real.max(axis=0))
        share = exponentials / exponentials.sum(axis=0)
    share = np.where(np.isfinite(share), share, 0)
    rows, cols = logits.shape[1:]
    cells = share[:64].reshape(8, 8, rows, cols)
    return np.ascontiguousarray(cells.transpose(2, 0, 3, 1)).reshape(8 * rows, 8 * cols)


def sum_3x3(values):
    """Sum of the 3x3 numbers around each pixel, (H, W)."""
    padded = np.pad(values, 1)
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:-2] + rows[1:-1] + rows[2:]


def score_limits(probabilities, threshold):
    """
    Lowest and highest score of each pixel, (H, W), up to 1.

    Rounding may put pixels on either side of the threshold.
    """
    limits = ((threshold + TOLERANCE, -TOLERANCE), (threshold - TOLERANCE, TOLERANCE))
    return [
        np.minimum(sum_3x3(np.where(probabilities > limit, probabilities, 0)), 1) + error
        for limit, error in limits
    ]


def strongest_around(probabilities, radius):
    """Maximum of the window around each pixel."""
    return cv2.dilate(probabilities, np.ones((2 * radius + 1,) * 2, np.uint8))


def may_hold_keypoints(size, border, allowed):
    """Pixels inside the border that are allowed, (H, W) bool."""
    inside = np.zeros(size, bool)
    inside[border : max(size[0] - border, 0), border : max(size[1] - border, 0)] = True
    return inside if allowed is None else inside & (allowed != 0)


def assert_valid(found, probabilities, settings, allowed=None):
    """
    Check keypoints, without a grid, against the probability of each pixel.

    Where two numbers differ by less than TOLERANCE, either choice is valid.
    """
    threshold = float(np.float32(settings.threshold))
    y, x = found.y.astype(int), found.x.astype(int)
    exact, window = probabilities[y, x], strongest_around(probabilities, settings.nms_radius)
    places = may_hold_keypoints(probabilities.shape, settings.border, allowed)
    lowest, highest = score_limits(probabilities, threshold)
    assert len(set(zip(y, x, strict=True))) == len(found) <= settings.max_keypoints
    assert (found.score >= lowest[y, x]).all()
    assert (found.score <= highest[y, x]).all()
    assert places[y, x].all()
    assert (exact > threshold - TOLERANCE).all()
    assert (found.score > np.float32(settings.threshold)).all()
    assert (window[y, x] < exact + TOLERANCE).all()
    exceeding = int((found.score == 1).sum())  # scores are sorted before they are limited to 1
    order = np.lexsort((x, y, -found.score))
    assert order[exceeding:].tolist() == list(range(exceeding, len(found)))
    assert set(order[:exceeding]) == set(range(exceeding))
    certain = places & (probabilities > threshold + TOLERANCE)
    certain &= strictly_strongest(probabilities, settings.nms_radius)
    if len(found) == settings.max_keypoints:
        certain &= lowest > found.score[-1]
    assert certain.sum() == certain[y, x].sum()


def strictly_strongest(probabilities, radius):
    """Pixels that exceed all others of their window by TOLERANCE, (H, W) bool."""
    if not radius:
        return np.ones(probabilities.shape, bool)
    window = np.ones((2 * radius + 1,) * 2, np.uint8)
    window[radius, radius] = 0
    return probabilities > cv2.dilate(probabilities, window) + TOLERANCE


def is_decided(probabilities, threshold):
    """
    True if rounding cannot change the keypoints or their order.

    No two different probabilities, no probability and the threshold, and no two different scores
    are within TOLERANCE.
    """
    threshold = float(np.float32(threshold))
    if np.any(np.abs(probabilities - threshold) < TOLERANCE):
        return False
    # Double precision tells equal sums in another order apart by less than 1e-12.
    steps = np.diff(np.unique(probabilities[probabilities > threshold]))
    if np.any((steps > 1e-12) & (steps < TOLERANCE)):
        return False
    candidates = np.where(probabilities > threshold, probabilities, 0)
    steps = np.diff(np.unique(sum_3x3(candidates)[candidates > 0]))
    return not np.any(steps < TOLERANCE)
