"""Re-association of lost tracks by their descriptors."""

from __future__ import annotations

import numpy as np

CAPACITY = 2048  # [tracks] new tracks evict the oldest
MIN_COSINE = 0.8  # of a match
MAX_RATIO = 0.9  # of the distances of the best and the second-best match (Lowe's ratio test)


class DescriptorMemory:
    """
    Descriptors of live and lost tracks by key: 0, 1, 2, ... in the order of birth.

    Ring buffer: key k is in row k % CAPACITY; a new track evicts the old one in its row.
    """

    def __init__(self) -> None:
        self._described = np.full(CAPACITY, -1, np.int64)  # key of the descriptor in each row
        self._descriptors = np.zeros((CAPACITY, 0), np.float32)
        self._lost = np.full(CAPACITY, -1, np.int64)  # key of the lost track in each row
        self._id = np.zeros(CAPACITY, np.int64)
        self._born = np.zeros(CAPACITY, np.int64)
        self._lost_at = np.zeros(CAPACITY, np.int64)
        self._model = ''

    def add_lost(self, key: np.ndarray, ids: np.ndarray, born: np.ndarray, image: int) -> None:
        """Add lost tracks, (N,) each; image: index of the first image without them."""
        row = key % CAPACITY
        self._lost[row] = key
        self._id[row] = ids
        self._born[row] = born
        self._lost_at[row] = image

    def add_descriptors(self, key: np.ndarray, descriptors: np.ndarray, model: str) -> np.ndarray:
        """
        Store descriptors, (N, C) float32 of unit length.

        The newer of two tracks keeps the row. A new `model` discards all stored descriptors.
        Returns True for tracks that had no descriptor and are not evicted, (N,) bool.
        """
        if model != self._model or descriptors.shape[1] != self._descriptors.shape[1]:
            self._model = model
            self._described[:] = -1
            self._descriptors = np.zeros((CAPACITY, descriptors.shape[1]), np.float32)
        row = key % CAPACITY
        before = self._described[row]
        np.maximum.at(self._described, row, key)
        stay = self._described[row] == key
        self._descriptors[row[stay]] = descriptors[stay]
        return before < key

    def match(
        self, descriptors: np.ndarray, born: np.ndarray, oldest: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Match new tracks one to one to the lost tracks that they continue.

        A match is a mutual nearest neighbour that passes MIN_COSINE and the ratio test. The lost
        track must have ended before the new one began.

        descriptors: (N, C) float32 of unit length. born: (N,) index of the first image of each.
        oldest: index of an image; tracks lost before it are ignored.
        Returns the indices of the K matched new tracks, and `id` and `born` of their lost tracks.
        """
        none = np.zeros(0, np.intp)
        row = np.flatnonzero(
            (self._described >= 0) & (self._described == self._lost) & (self._lost_at >= oldest)
        )
        if not len(row) or not len(descriptors):
            return none, none, none
        cosine = descriptors @ self._descriptors[row].T
        cosine[self._lost_at[row] > born[:, None]] = -1
        new = np.arange(len(cosine))
        best = cosine.argmax(axis=1)
        mutual = cosine.argmax(axis=0)[best] == new
        first = cosine[new, best].copy()
        cosine[new, best] = -1
        second = cosine.max(axis=1)
        # |a - b|^2 = 2 - 2 cos for unit vectors; the floor is far above float32 rounding errors.
        is_distinct = np.maximum(1 - first, 1e-5) < MAX_RATIO**2 * (1 - second)
        matched = np.flatnonzero(mutual & is_distinct & (first >= MIN_COSINE))
        row = row[best[matched]]
        self._lost[row] = -1
        return matched, self._id[row], self._born[row]
