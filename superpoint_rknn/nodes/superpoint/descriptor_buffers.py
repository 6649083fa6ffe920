"""Raw descriptor maps on their way from the inference thread to the descriptor timer."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.msg import Keypoints


@dataclass(frozen=True)
class PendingDescriptors:
    """What the descriptor step needs, all of one image."""

    detection: Detection  # with its raw descriptor map
    keypoints: Keypoints  # the message that published the points
    extractor: Extractor


class DescriptorBuffers:
    """
    Triple buffer of raw descriptor maps: one being written, the newest complete, one being read.

    The writer (one thread) and the reader (another) never wait for each other's work. A complete
    map that was not read before a newer one is complete is discarded.
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
        """True if a complete map waits to be taken."""
        return self._newest is not None

    def writable(self) -> np.ndarray:
        """Map that the next inference may overwrite, until `complete`; for the writer alone."""
        return self._writing

    def complete(self, pending: PendingDescriptors) -> None:
        """Make the map of `writable`, which `pending` holds, the newest."""
        with self._lock:
            self._release(self._newest)
            self._newest = pending
            self._writing = self._free.pop()

    def take_newest(self) -> PendingDescriptors | None:
        """Take the newest map, once; it is valid until the next call. None if there is none."""
        with self._lock:
            if self._newest is None:
                return None
            self._release(self._reading)
            self._reading, self._newest = self._newest, None
            return self._reading

    def _release(self, pending: PendingDescriptors | None) -> None:
        if pending is not None and pending.detection.raw is not None:
            self._free.append(pending.detection.raw)
