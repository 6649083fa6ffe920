"""Hand-over between the executor and the worker thread: bounded, never blocking the executor."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.msg import Keypoints

T = TypeVar('T')


class Mailbox(Generic[T]):
    """One slot: a newer item replaces one that still waits. One thread takes."""

    def __init__(self):
        self._changed = threading.Condition()
        self._item: T | None = None
        self._busy_since: float | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Leave an item; returns the one that it replaced, if any, or itself once closed."""
        with self._changed:
            if self._closed:
                return item
            replaced, self._item = self._item, item
            self._changed.notify_all()
            return replaced

    def take(self) -> T | None:
        """Wait for an item; None once closed. The item taken before counts as done."""
        with self._changed:
            self._busy_since = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            self._busy_since = time.monotonic()
            return self._empty()

    def clear(self) -> T | None:
        """Take a waiting item back; None if there is none."""
        with self._changed:
            return self._empty()

    def wait_done(self, timeout: float) -> bool:
        """Wait until the item taken last is done; False if it isn't after `timeout` [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy_since is None, timeout)

    def busy_for(self) -> float:
        """How long the item taken last is being worked on [s]; 0 if it is done."""
        with self._changed:
            return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def close(self) -> T | None:
        """End `take` for good; returns the item that still waited, if any."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._empty()

    def _empty(self) -> T | None:
        item, self._item = self._item, None
        return item


@dataclass(frozen=True)
class Undescribed:
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
        self._newest: Undescribed | None = None
        self._reading: Undescribed | None = None

    def writable(self) -> np.ndarray:
        """Buffer that the next inference may overwrite; not taken until `complete`."""
        with self._lock:
            return self._free[-1]

    def complete(self, undescribed: Undescribed) -> None:
        """Make a filled buffer of `writable` the newest set."""
        with self._lock:
            self._free = [b for b in self._free if b is not undescribed.detection.raw]
            if self._newest is not None:
                self._free.append(self._newest.detection.raw)
            self._newest = undescribed

    def take_newest(self) -> Undescribed | None:
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
