"""The definition of keypoints, pixel by pixel, with a tolerance for the scores."""

import cv2
import numpy as np
from native_cases import TOLERANCE


def score_map(logits):
    """Scores (H, W) of logits (65, H/8, W/8) in double precision; 0 in cells that have none."""
    real = logits.astype(np.float64)
    with np.errstate(invalid='ignore', over='ignore'):
        exponentials = np.exp(real - real.max(axis=0))
        share = exponentials / exponentials.sum(axis=0)
    share = np.where(np.isfinite(share), share, 0)
    rows, cols = logits.shape[1:]
    cells = share[:64].reshape(8, 8, rows, cols)
    return np.ascontiguousarray(cells.transpose(2, 0, 3, 1)).reshape(8 * rows, 8 * cols)


def strongest_around(scores, radius):
    """Maximum of the window around each pixel."""
    return cv2.dilate(scores, np.ones((2 * radius + 1,) * 2, np.uint8))


def may_hold_keypoints(size, border, allowed):
    """Pixels inside the border that are allowed, (H, W) bool."""
    inside = np.zeros(size, bool)
    inside[border : max(size[0] - border, 0), border : max(size[1] - border, 0)] = True
    return inside if allowed is None else inside & (allowed != 0)


def assert_valid(found, scores, settings, allowed=None):
    """
    Check keypoints, without a grid, against the score of each pixel.

    Each choice may be either where scores, or score and threshold, differ by less than TOLERANCE.
    """
    threshold = float(np.float32(settings.threshold))
    y, x = found.y.astype(int), found.x.astype(int)
    exact, window = scores[y, x], strongest_around(scores, settings.nms_radius)
    places = may_hold_keypoints(scores.shape, settings.border, allowed)
    assert len(set(zip(y, x, strict=True))) == len(found) <= settings.max_keypoints
    assert np.abs(found.score - exact).max(initial=0) < TOLERANCE
    assert places[y, x].all()
    assert (exact > threshold - TOLERANCE).all()
    assert (found.score > np.float32(settings.threshold)).all()
    assert (window[y, x] < exact + TOLERANCE).all()
    order = np.lexsort((x, y, -found.score))
    assert order.tolist() == list(range(len(found)))
    lowest = threshold
    if len(found) == settings.max_keypoints:
        lowest = max(lowest, float(found.score[-1]))
    certain = places & (scores > lowest + TOLERANCE)
    certain &= strictly_strongest(scores, settings.nms_radius)
    assert certain.sum() == certain[y, x].sum()


def strictly_strongest(scores, radius):
    """Pixels that exceed all others of their window by TOLERANCE, (H, W) bool."""
    if not radius:
        return np.ones(scores.shape, bool)
    window = np.ones((2 * radius + 1,) * 2, np.uint8)
    window[radius, radius] = 0
    return scores > cv2.dilate(scores, window) + TOLERANCE


def is_decided(scores, threshold):
    """True if no two different scores, and no score and the threshold, are within TOLERANCE."""
    threshold = float(np.float32(threshold))
    if np.any(np.abs(scores - threshold) < TOLERANCE):
        return False
    # Double precision tells equal sums in another order apart by less than 1e-12.
    steps = np.diff(np.unique(scores[scores > threshold]))
    return not np.any((steps > 1e-12) & (steps < TOLERANCE))
