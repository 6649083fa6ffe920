"""A step's pairs of views, and what losses compare with; seed and step alone make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from training.labels import LabelledImage
from training.pairs import PairMaker, Views, correspondences, inside
from training.targets import agreed_points, cell_target

PLACES = 280  # of a pair, whose descriptors are compared
LABELLED = 1.0  # how much a labelled corner raises the views' agreement


class BatchMaker:
    """Makes the batch of each step."""

    def __init__(self, images: Sequence[LabelledImage], settings):
        """Take images, and a run's seed, pairs and side."""
        self._maker = PairMaker(images, settings.side)
        self._seed, self._pairs = settings.seed, settings.pairs

    def make(self, step: int) -> Batch:
        """Batch of a step."""
        rng = np.random.default_rng([self._seed, step])
        return Batch([self._maker.make(rng) for _ in range(self._pairs)], rng)


class Batch:
    """Some pairs of views of side S."""

    def __init__(self, pairs: list[Views], rng: np.random.Generator):
        """Take pairs, and the generator of what is still to be drawn."""
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
        """All views, (S, S) uint8, those of a pair one after the other."""
        return (image for views in self._pairs for image in views.images)

    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """What labelled corners tell of each view: (2 N, 65, S/8, S/8), (2 N, S/8, S/8)."""
        cells = [
            cell_target(views.corners[i], views.seen[i]) for views in self._pairs for i in (0, 1)
        ]
        return tuple(map(np.stack, zip(*cells, strict=True)))

    def agreed_target(self, heat: np.ndarray, weakest: float) -> tuple[np.ndarray, np.ndarray]:
        """What both views agree on, where both see; heat: probabilities (2 N, S, S)."""
        cells = []
        for number, views in enumerate(self._pairs):
            shown = heat[2 * number : 2 * number + 2]
            first, second, shared = agreed_points(views, shown, LABELLED, weakest)
            self._points[number] = first
            cells += [cell_target(first, shared[0]), cell_target(second, shared[1])]
        return tuple(map(np.stack, zip(*cells, strict=True)))

    def places(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Places of each pair whose descriptors to compare, (K, 2) in either view."""
        return [
            correspondences(views, points, PLACES, self._rng)
            for views, points in zip(self._pairs, self._points, strict=True)
        ]
