"""Arrays of tracks: Tracks, the result of the tracker, and LiveTracks, its state."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Tracks:
    """Tracks in one image, oldest first; all (N,)."""

    id: np.ndarray  # uint32, never reused
    age: np.ndarray  # uint32, images since the track began, 1 at its first
    x: np.ndarray  # float32 [px]
    y: np.ndarray  # float32 [px]
    score: np.ndarray  # float32, of the last keypoint that was matched
    key: np.ndarray  # int64, as the id, but new after a gap, for estimators that expect no gaps

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class LiveTracks:
    """Live tracks, oldest first; row i of every array belongs to track i."""

    key: np.ndarray  # (N,) int64, in the order of birth; unlike the id it never changes
    id: np.ndarray  # (N,) int64
    born: np.ndarray  # (N,) int64, index of the track's first image
    points: np.ndarray  # (N, 2) float32 [px]
    score: np.ndarray  # (N,) float32

    @classmethod
    def new(cls, key: int, image: int, points: np.ndarray, score: np.ndarray) -> LiveTracks:
        """Return new tracks from image number `image` on; ids and keys count from `key` on."""
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


NO_TRACKS = LiveTracks.new(0, 0, np.empty((0, 2), np.float32), np.empty(0, np.float32))
