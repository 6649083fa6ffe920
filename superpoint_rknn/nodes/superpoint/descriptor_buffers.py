"""Buffers that pass raw descriptor maps from the inference thread to the descriptor timer."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.msg import Keypoints


@dataclass(frozen=True)
class PendingDescriptors:
    """A raw descriptor map to be sampled at keypoints, with the keypoints of the same image."""

    detection: Detection  # with the raw descriptor map
    keypoints: Keypoints  # the published message
    extractor: Extractor


class DescriptorBuffers:
    """
    Triple buffer of raw descriptor maps: one being written, the newest complete, one being read.

    The writer (one thread) and the reader (another) never block each other. A complete map is
    discarded if a newer one is complete before it is read.
    maps: three arrays of the raw map's shape and dtype.
    """

    def __init__(self, maps: list[np.ndarray]):
        if len(maps) != 3:
            raise ValueError(f'maps: {len(maps)}, expected three')
        self._lock = threading.Lock()
        self._writing, *self._free = maps
        self._newest: PendingDescriptors | None = None
        self._reading: PendingDescriptors | None = None

    @property
    def has_newest(self) -> bool:
        """True if there is a complete map that was not taken yet."""
        return self._newest is not None

    def writable(self) -> np.ndarray:
        """Map that the writer may overwrite, until it calls `complete`."""
        return self._writing

    def complete(self, pending: PendingDescriptors) -> None:
        """Mark the map of `writable`, which `pending` holds, as the newest complete one."""
        with self._lock:
            self._release(self._newest)
            self._newest = pending
            self._writing = self._free.pop()

    def take_newest(self) -> PendingDescriptors | None:
        """Return the newest map once, valid until the next call; None if there is no new one."""
        with self._lock:
            if self._newest is None:
                return None
            self._release(self._reading)
            self._reading, self._newest = self._newest, None
            return self._reading

    def _release(self, pending: PendingDescriptors | None) -> None:
        if pending is not None and pending.detection.raw is not None:
            self._free.append(pending.detection.raw)
