"""Targets of the detector for a pair of views."""

from __future__ import annotations

import cv2
import numpy as np

from training.labels import refined
from training.pairs import Views, inside, warp

CELL = 8
SIGMA = 0.5  # [px] of the Gaussian of a corner: its logarithm is a parabola
RADIUS = 4  # [px] non-maximum suppression of agreed points
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


def agreed_points(
    views: Views, heat: np.ndarray, labelled: float, weakest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Points that the detector finds in both views: homographic adaptation with two views.

    heat: (2, S, S) float32, probabilities in both views.
    labelled: factor by which a labelled corner increases the agreement around it.
    weakest: minimum agreed probability of a point, blurred by 1 px.
    Returns the points of the first and second view, (N, 2) x and y [px], and the masks
    (2, S, S) uint8 of the overlap.
    """
    side = heat.shape[1]
    size = (side, side)
    back = {'flags': cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
    here, there = (cv2.GaussianBlur(values, (0, 0), 1.0) for values in heat)
    there = cv2.warpPerspective(there, views.homography, size, **back)
    shared = np.stack(
        [
            views.seen[0] & cv2.warpPerspective(views.seen[1], views.homography, size, **back),
            views.seen[1] & cv2.warpPerspective(views.seen[0], views.homography, size),
        ]
    )
    agreed = np.sqrt(here * there)
    if labelled:
        marks = np.zeros(size, np.float32)
        corners = views.corners[0]
        x, y = np.rint(corners[inside(corners, side)]).astype(int).T
        marks[y, x] = 1
        agreed *= 1 + labelled * 6.28 * cv2.GaussianBlur(marks, (0, 0), 1.0)
    strongest = cv2.dilate(agreed, np.ones((2 * RADIUS + 1,) * 2, np.uint8))
    margin = cv2.erode(shared[0], np.ones((7, 7), np.uint8), borderType=cv2.BORDER_REPLICATE)
    found = (agreed == strongest) & (agreed > weakest) & (margin > 0)
    found[[0, -1]] = found[:, [0, -1]] = False
    y, x = np.nonzero(found)
    count = int(shared[0].sum() / AREA)
    order = np.argsort(-agreed[y, x], kind='stable')[:count]
    points = refined(np.log(agreed + 1e-6), x[order], y[order])
    return points, warp(views.homography, points), shared
