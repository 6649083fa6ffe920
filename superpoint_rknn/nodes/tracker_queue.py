"""Images that wait for their keypoints, on the way from the executor to the tracker's thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.msg import Descriptors, Keypoints

IMAGES = 16  # that wait; the oldest gives way
KEYPOINTS = 32  # that wait for their image
DESCRIPTORS = 2


def nanoseconds(stamp: Time) -> int:
    """Time since the epoch [ns]."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


@dataclass
class ImageJob:
    """An image to be tracked, with its keypoints where it has any."""

    message: Image | CompressedImage
    arrived: float  # by time.perf_counter [s]
    deadline: float  # to wait until for keypoints, by the same clock [s]
    keypoints: Keypoints | None = None

    @property
    def stamp(self) -> int:
        """Of the image [ns]."""
        return nanoseconds(self.message.header.stamp)


class TrackerQueue:
    """
    Joins images and keypoints by exact stamp; images leave in the order in which they came.

    An image leaves with its keypoints, or without once keypoints of a later image have come (the
    detector skipped this one), its wait is over, or the queue is full. One thread takes.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._images: deque[ImageJob] = deque()
        self._keypoints: dict[int, Keypoints] = {}
        self._descriptors: deque[Descriptors] = deque(maxlen=DESCRIPTORS)
        self._last_image: int | None = None  # stamps, in the order of arrival [ns]
        self._last_keypoints: int | None = None
        self._closed = False

    def put_image(self, message: Image | CompressedImage, wait: float) -> ImageJob | None:
        """Add an image that waits `wait` [s] for its keypoints; returns one that gave way."""
        now = time.perf_counter()
        job = ImageJob(message, now, now + wait)
        with self._changed:
            if self._last_image is not None and job.stamp < self._last_image:
                self._forget_keypoints_after(job.stamp)
            self._last_image = job.stamp
            self._images.append(job)
            self._changed.notify_all()
            return self._images.popleft() if len(self._images) > IMAGES else None

    def put_keypoints(self, message: Keypoints) -> None:
        """Add the keypoints of an image, which may have come already or not."""
        stamp = nanoseconds(message.header.stamp)
        with self._changed:
            if self._last_keypoints is not None and stamp < self._last_keypoints:
                self._forget_keypoints_after(stamp)
            self._last_keypoints = stamp
            self._keypoints[stamp] = message
            while len(self._keypoints) > KEYPOINTS:
                del self._keypoints[next(iter(self._keypoints))]
            self._changed.notify_all()

    def put_descriptors(self, message: Descriptors) -> None:
        """Add descriptors; they are taken once their image was."""
        with self._changed:
            self._descriptors.append(message)
            self._changed.notify_all()

    def take(self) -> ImageJob | Descriptors | None:
        """Wait for the next thing to do; None once closed."""
        with self._changed:
            while not self._closed:
                if self._images and self._is_ready(self._images[0]):
                    return self._joined(self._images.popleft())
                if self._descriptors and not self._waits_for_image(self._descriptors[0]):
                    return self._descriptors.popleft()
                timeout = None
                if self._images:
                    timeout = max(self._images[0].deadline - time.perf_counter(), 0.0)
                self._changed.wait(timeout)
            return None

    def clear(self) -> int:
        """Forget all that waits; returns how many images that were."""
        with self._changed:
            count = len(self._images)
            self._images.clear()
            self._keypoints.clear()
            self._descriptors.clear()
            self._last_image = self._last_keypoints = None
            return count

    def close(self) -> None:
        """End `take` for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_ready(self, job: ImageJob) -> bool:
        overtaken = self._last_keypoints is not None and self._last_keypoints >= job.stamp
        return overtaken or len(self._images) >= IMAGES or time.perf_counter() >= job.deadline

    def _joined(self, job: ImageJob) -> ImageJob:
        job.keypoints = self._keypoints.pop(job.stamp, None)
        return job

    def _waits_for_image(self, message: Descriptors) -> bool:
        stamp = nanoseconds(message.header.stamp)
        return any(job.stamp <= stamp for job in self._images)

    def _forget_keypoints_after(self, stamp: int) -> None:
        """Time ran back: what is stamped later belongs to before."""
        self._keypoints = {s: k for s, k in self._keypoints.items() if s <= stamp}
        if self._last_keypoints is not None and self._last_keypoints > stamp:
            self._last_keypoints = stamp if stamp in self._keypoints else None
