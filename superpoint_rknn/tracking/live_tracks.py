"""Tracks alive, as the tracker keeps them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class LiveTracks:
    """Tracks alive, oldest first; rows of all arrays belong together."""

    key: np.ndarray  # (N,) int64, in the order of birth; unlike the id it never changes
    id: np.ndarray  # (N,) int64
    born: np.ndarray  # (N,) int64, number of the track's first image
    points: np.ndarray  # (N, 2) float32 [px]
    score: np.ndarray  # (N,) float32

    @classmethod
    def new(cls, key: int, image: int, points: np.ndarray, score: np.ndarray) -> LiveTracks:
        keys = np.arange(key, key + len(points), dtype=np.int64)
        return cls(keys, keys.copy(), np.full(len(points), image, np.int64), points, score)

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, index: np.ndarray | slice) -> LiveTracks:
        return LiveTracks(*(getattr(self, f.name)[index] for f in fields(self)))

    def __add__(self, other: LiveTracks) -> LiveTracks:
        return LiveTracks(
            *(
                np.concatenate([getattr(self, f.name), getattr(other, f.name)])
                for f in fields(self)
            )
        )


NOBODY = LiveTracks.new(0, 0, np.empty((0, 2), np.float32), np.empty(0, np.float32))
