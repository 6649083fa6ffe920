"""Raw descriptor maps between the thread that makes them and the one that describes points."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.msg import Keypoints


@dataclass(frozen=True)
class PendingDescriptors:
    """What the descriptor step needs, all of one image."""

    detection: Detection
    keypoints: Keypoints  # the message that published the points
    extractor: Extractor


class DescriptorBuffers:
    """
    Three raw descriptor maps: one being written, one newest and complete, one being read.

    The writer (one thread) and the reader (another) never wait for each other; a map that was
    complete but is overtaken by a newer one before it was read is given up.
    """

    def __init__(self, buffers: list[np.ndarray]):
        if len(buffers) != 3:
            raise ValueError(f'three buffers are needed, not {len(buffers)}')
        self._lock = threading.Lock()
        self._free = list(buffers)
        self._newest: PendingDescriptors | None = None
        self._reading: PendingDescriptors | None = None

    def writable(self) -> np.ndarray:
        """Buffer that the next inference may overwrite; not taken until `complete`."""
        with self._lock:
            return self._free[-1]

    def complete(self, pending: PendingDescriptors) -> None:
        """Make a filled buffer of `writable` the newest set."""
        with self._lock:
            self._free = [b for b in self._free if b is not pending.detection.raw]
            if self._newest is not None:
                self._free.append(self._newest.detection.raw)
            self._newest = pending

    def take_newest(self) -> PendingDescriptors | None:
        """
        Take the newest set, once; None if there is no new one.

        It stays untouched until the next call.
        """
        with self._lock:
            if self._newest is None:
                return None
            if self._reading is not None:
                self._free.append(self._reading.detection.raw)
            self._reading, self._newest = self._newest, None
            return self._reading
