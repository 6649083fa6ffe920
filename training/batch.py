"""Batch of a step: pairs of views and their targets; depends on seed and step only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from training.labels import LabelledImage
from training.pairs import PairMaker
from training.targets import agreed_points, cell_target, labelled_points
from training.views import Views, inside

POINTS = 280  # per pair, for the descriptor loss
OVERLAP_MARGIN = 2.0  # [px] of corresponding points from the border of a view
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
        self._labelled = [labelled_points(views) for views in pairs]
        self._agreed: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def images(self) -> Iterator[np.ndarray]:
        """All views, (S, S) uint8, the two of a pair in succession."""
        return (image for views in self._pairs for image in views.images)

    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """Targets and masks from labelled corners: (2 N, 65, S/8, S/8), (2 N, S/8, S/8)."""
        return _stacked(
            cell_target(found[view], (views.layers[view] > 0).astype(np.uint8))
            for views, found in zip(self._pairs, self._labelled, strict=True)
            for view in (0, 1)
        )

    def agreed_target(self, heat: np.ndarray, weakest: float) -> tuple[np.ndarray, np.ndarray]:
        """Targets and masks from agreed points; heat: probabilities (2 N, S, S)."""
        self._agreed = [
            agreed_points(views, heat[2 * n : 2 * n + 2], LABELLED, weakest)
            for n, views in enumerate(self._pairs)
        ]
        return _stacked(
            cell_target(found[view], views.shared(view))
            for views, found in zip(self._pairs, self._agreed, strict=True)
            for view in (0, 1)
        )

    def points(self) -> list[np.ndarray]:
        """Precise places of the agreed points, or else of the labelled ones, of each view."""
        return [found[view] for found in self._agreed or self._labelled for view in (0, 1)]

    def correspondences(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Corresponding points of each pair for the descriptor loss, (K, 2) in each view."""
        return [
            correspondences(views, found[0], POINTS, self._rng)
            for views, found in zip(self._pairs, self._agreed or self._labelled, strict=True)
        ]


def _stacked(cells: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    targets, masks = zip(*cells, strict=True)
    return np.stack(targets), np.stack(masks)


def correspondences(
    views: Views, points: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """
    Corresponding points: at most three quarters near the given ones, then random ones.

    points: (N, 2) in the first view. Returns at most `count` points of each view, (K, 2) float32.
    """
    side = views.side
    chosen = rng.permutation(points)[: count * 3 // 4]
    chosen = chosen + rng.normal(0, 0.5, chosen.shape)
    here = np.concatenate([chosen, rng.uniform(4, side - 5, (2 * count, 2))])
    there, good = views.across(0, here)
    good &= inside(here, side, OVERLAP_MARGIN) & inside(there, side, OVERLAP_MARGIN)
    rows = np.flatnonzero(good)
    rows = np.concatenate([rows[rows < len(chosen)], rows[rows >= len(chosen)][: count // 4]])
    return here[rows].astype(np.float32), there[rows].astype(np.float32)
