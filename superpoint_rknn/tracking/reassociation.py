"""Lost tracks recognised by their descriptors."""

from __future__ import annotations

import numpy as np

CAPACITY = 2048  # tracks remembered: the newest
LIKENESS = 0.8  # least cosine of two descriptors of one point
DISTINCTION = 0.9  # most distance of a match, relative to that of the second best


class Memory:
    """
    Descriptors of tracks, alive and lost, by key: 0, 1, 2, ... in the order in which they began.

    A key's place in the tables is its remainder: the newest tracks push out the oldest.
    """

    def __init__(self):
        self._described = np.full(CAPACITY, -1, np.int64)  # key whose descriptor lies here
        self._descriptors = np.zeros((CAPACITY, 0), np.float32)
        self._lost = np.full(CAPACITY, -1, np.int64)  # key of the track that ended
        self._id = np.zeros(CAPACITY, np.int64)
        self._born = np.zeros(CAPACITY, np.int64)
        self._lost_at = np.zeros(CAPACITY, np.int64)
        self._model = ''

    def lose(self, key: np.ndarray, identity: np.ndarray, born: np.ndarray, image: int) -> None:
        """Tracks, (N,) each, whose last image was the one before number `image`."""
        place = key % CAPACITY
        self._lost[place] = key
        self._id[place] = identity
        self._born[place] = born
        self._lost_at[place] = image

    def describe(self, key: np.ndarray, descriptors: np.ndarray, model: str) -> np.ndarray:
        """
        Remember descriptors, (N, C) float32 of unit length; returns which tracks had none, (N,).

        Where a newer track has the place, it stays, and the older one counts as described.
        Descriptors of another model make all before them worthless.
        """
        if model != self._model or descriptors.shape[1] != self._descriptors.shape[1]:
            self._model = model
            self._described[:] = -1
            self._descriptors = np.zeros((CAPACITY, descriptors.shape[1]), np.float32)
        place = key % CAPACITY
        before = self._described[place]
        np.maximum.at(self._described, place, key)
        stay = self._described[place] == key
        self._descriptors[place[stay]] = descriptors[stay]
        return before < key

    def recognise(
        self, descriptors: np.ndarray, born: np.ndarray, oldest: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Find the lost tracks that new ones continue, each at most once.

        descriptors: (N, C) float32 of unit length. born: (N,) number of each one's first image.
        oldest: number of the image before which a track must not have been lost.
        Returns which of the N are recognised, (K,), and the id and birth of the track that each
        continues. A match is the best for both sides, alike enough and clearly better than the
        second; a track doesn't continue one that was still there at its birth.
        """
        none = np.zeros(0, np.intp)
        place = np.flatnonzero(
            (self._described >= 0) & (self._described == self._lost) & (self._lost_at >= oldest)
        )
        if not len(place) or not len(descriptors):
            return none, none, none
        likeness = descriptors @ self._descriptors[place].T
        likeness[self._lost_at[place] > born[:, None]] = -1
        rows = np.arange(len(likeness))
        best = likeness.argmax(axis=1)
        mutual = likeness.argmax(axis=0)[best] == rows
        first = likeness[rows, best].copy()
        likeness[rows, best] = -1
        second = likeness.max(axis=1)
        # |a - b|^2 = 2 - 2 cos for unit vectors; the floor is far above what float32 rounds off.
        distinct = np.maximum(1 - first, 1e-5) < DISTINCTION**2 * (1 - second)
        known = np.flatnonzero(mutual & distinct & (first >= LIKENESS))
        place = place[best[known]]
        self._lost[place] = -1
        return known, self._id[place], self._born[place]
