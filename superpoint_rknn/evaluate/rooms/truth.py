"""Where the surface points of tracks truly are in the images of a rendered sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from superpoint_rknn.evaluate.rooms.sequences import RenderedSequence
from superpoint_rknn.evaluate.tracks.metrics import TrackedPoints

CANDIDATES = 9  # observations of a track, evenly spread, that may define its surface point
FAR = 3.0  # [px] an observation at a larger distance from the truth is wrong


def true_positions(
    sequence: RenderedSequence, history: Sequence[TrackedPoints], first: int = 0
) -> list[np.ndarray]:
    """
    Return where the surface point of each track truly is in each image, (N, 2) [px] each.

    history: the tracks of consecutive images, the first of which has the index `first`. The rows
    are those of `history`; NaN if the point is behind the camera.

    The surface point of a track is the one on which its observations agree most: of the points of
    the room that CANDIDATES of them show, the one with the smallest sum of distances, each limited
    to FAR. Not that of its first observation: at an edge of a panel it may lie on the wall behind.
    """
    numbers = np.repeat(np.arange(len(history)), [len(points.id) for points in history])
    ids = np.concatenate([points.id for points in history])
    pixels = np.concatenate([points.points for points in history]).astype(np.float64)
    surface = np.concatenate(
        [
            sequence.surface_points(first + number, points.points.astype(np.float64))
            for number, points in enumerate(history)
        ]
    )
    truth = np.full_like(pixels, np.nan)
    order = np.argsort(ids, kind='stable')
    _, starts = np.unique(ids[order], return_index=True)
    for rows in np.split(order, starts[1:]):
        chosen = np.unique(np.linspace(0, len(rows) - 1, CANDIDATES).round().astype(int))
        images = [first + number for number in numbers[rows]]
        projected = [sequence.project_each(images, point) for point in surface[rows[chosen]]]
        costs = [
            np.minimum(np.nan_to_num(np.linalg.norm(p - pixels[rows], axis=1), nan=FAR), FAR).sum()
            for p in projected
        ]
        truth[rows] = projected[int(np.argmin(costs))]
    return np.split(truth, np.cumsum([len(points.id) for points in history])[:-1])


def share_of_far_observations(
    sequence: RenderedSequence, history: Sequence[TrackedPoints], first: int = 0
) -> float:
    """Return the share of observations more than FAR from the truth; see true_positions."""
    truth = np.concatenate(true_positions(sequence, history, first))
    pixels = np.concatenate([points.points for points in history])
    near = np.linalg.norm(truth - pixels, axis=1) <= FAR  # False for NaN
    return float(1 - near.mean()) if len(near) else 0.0
