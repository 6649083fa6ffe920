"""Targets of the detector for a pair of views."""

from __future__ import annotations

import cv2
import numpy as np

from training.labels import refined
from training.views import Views, inside, precise_places

CELL = 8
SIGMA = 0.5  # [px] of the Gaussian of a corner: its logarithm is a parabola
RADIUS = 4  # [px] non-maximum suppression of agreed points
GAP = 2.0  # [px] between the places of a corner in both images: 0.6 of the probability
AREA = 450.0  # [px^2] of the overlap of both views for each agreed point


def cell_target(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Distribution of each cell over its 64 pixels and "no point", and mask of the valid cells.

    points: (N, 2) x and y [px]. seen: (S, S) uint8. Returns (65, S/8, S/8) and (S/8, S/8) float32.
    """
    side = len(seen)
    points = points[inside(points, side)]
    base = np.floor(points).astype(int) - 1
    x, y = base[:, None, :1] + np.arange(4), base[:, None, 1:] + np.arange(4)
    weights_x, weights_y = (
        np.exp(-((at - points[:, None, i : i + 1]) ** 2) / (2 * SIGMA**2))
        for i, at in enumerate((x, y))
    )
    weights = weights_y.transpose(0, 2, 1) * weights_x
    weights /= weights.sum((1, 2), keepdims=True)
    heat = np.zeros((side + 4, side + 4), np.float32)
    rows = np.broadcast_to(y.transpose(0, 2, 1), weights.shape)
    np.add.at(heat, (rows + 2, np.broadcast_to(x, weights.shape) + 2), weights)
    cells = side // CELL
    target = heat[2:-2, 2:-2].reshape(cells, CELL, cells, CELL).transpose(1, 3, 0, 2)
    target = np.concatenate([target.reshape(-1, cells, cells), np.zeros((1, cells, cells))])
    target[-1] = np.maximum(1 - target.sum(0), 0)
    known = cv2.erode(seen, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE)
    known = known.reshape(cells, CELL, cells, CELL).min((1, 3))
    return (target / target.sum(0)).astype(np.float32), known.astype(np.float32)


def labelled_points(views: Views) -> list[np.ndarray]:
    """Labelled corners that each view shows, (N, 2) x and y [px], at their precise places."""
    points = [corners.copy() for corners in views.corners]
    rows, *places, _ = precise_places(views, points[0])
    for view, (found, place) in enumerate(zip(points, places, strict=True)):
        alone = np.setdiff1d(np.flatnonzero(inside(found, views.side)), rows)
        found[alone] = views.refined(view, found[alone])
        found[rows] = place
    return [
        found[views.layer_at(view, found) == views.corner_layers]
        for view, found in enumerate(points)
    ]


def agreed_points(
    views: Views, heat: np.ndarray, labelled: float, weakest: float
) -> tuple[np.ndarray, np.ndarray]:
    """
    Points that the detector finds in both views: homographic adaptation with two views.

    The detector says which corners, the images where they are. Corners whose places differ
    between the images are less probable.

    heat: (2, S, S) float32, probabilities in both views.
    labelled: factor by which a labelled corner increases the agreement around it.
    weakest: minimum agreed probability of a point, blurred by 1 px.
    Returns the points of the first and second view, (N, 2) x and y [px].
    """
    here, there = (cv2.GaussianBlur(values, (0, 0), 1.0) for values in heat)
    shared = views.shared(0)
    agreed = np.sqrt(here * views.warped(0, there)) * shared
    if labelled:
        marks = np.zeros(here.shape, np.float32)
        corners = views.corners[0][views.layer_at(0, views.corners[0]) == views.corner_layers]
        x, y = np.rint(corners).astype(int).T
        marks[y, x] = 1
        agreed *= 1 + labelled * 6.28 * cv2.GaussianBlur(marks, (0, 0), 1.0)
    strongest = cv2.dilate(agreed, np.ones((2 * RADIUS + 1,) * 2, np.uint8))
    margin = cv2.erode(shared, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_REPLICATE)
    found = (agreed == strongest) & (agreed > weakest) & (margin > 0)
    found[[0, -1]] = found[:, [0, -1]] = False
    y, x = np.nonzero(found)
    peaks = refined(np.log(agreed + 1e-6), x, y)
    rows, first, second, gap = precise_places(views, peaks)
    probability = agreed[y[rows], x[rows]] * np.exp(-(gap**2) / (2 * GAP**2))
    order = np.argsort(-probability, kind='stable')[: int(shared.sum() / AREA)]
    order = order[probability[order] > weakest]
    return first[order], second[order]
