"""Batch of a step: pairs of views and their targets; depends on seed and step only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from training.labels import LabelledImage
from training.pairs import PairMaker, Views, correspondences, inside
from training.targets import agreed_points, cell_target

POINTS = 280  # per pair, for the descriptor loss
LABELLED = 1.0  # factor by which a labelled corner increases the agreement


class BatchMaker:
    """Make the batch of each step."""

    def __init__(self, images: Sequence[LabelledImage], settings):
        """Use the images and the seed, pairs and side of a run's settings."""
        self._maker = PairMaker(images, settings.side)
        self._seed, self._pairs = settings.seed, settings.pairs

    def make(self, step: int) -> Batch:
        """Batch of a step."""
        rng = np.random.default_rng([self._seed, step])
        return Batch([self._maker.make(rng) for _ in range(self._pairs)], rng)


class Batch:
    """Pairs of views of side S."""

    def __init__(self, pairs: list[Views], rng: np.random.Generator):
        """Use pairs, and a generator for random points."""
        self._pairs, self._rng = pairs, rng
        self._points = [
            views.corners[0][
                inside(views.corners[0], views.images.shape[1])
                & inside(views.corners[1], views.images.shape[1])
            ]
            for views in pairs
        ]

    @property
    def images(self) -> Iterator[np.ndarray]:
        """All views, (S, S) uint8, the two of a pair in succession."""
        return (image for views in self._pairs for image in views.images)

    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """Targets and masks from labelled corners: (2 N, 65, S/8, S/8), (2 N, S/8, S/8)."""
        cells = [
            cell_target(views.corners[i], views.seen[i]) for views in self._pairs for i in (0, 1)
        ]
        return tuple(map(np.stack, zip(*cells, strict=True)))

    def agreed_target(self, heat: np.ndarray, weakest: float) -> tuple[np.ndarray, np.ndarray]:
        """Targets and masks from agreed points; heat: probabilities (2 N, S, S)."""
        cells = []
        for number, views in enumerate(self._pairs):
            shown = heat[2 * number : 2 * number + 2]
            first, second, shared = agreed_points(views, shown, LABELLED, weakest)
            self._points[number] = first
            cells += [cell_target(first, shared[0]), cell_target(second, shared[1])]
        return tuple(map(np.stack, zip(*cells, strict=True)))

    def points(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Corresponding points of each pair for the descriptor loss, (K, 2) in each view."""
        return [
            correspondences(views, points, POINTS, self._rng)
            for views, points in zip(self._pairs, self._points, strict=True)
        ]
