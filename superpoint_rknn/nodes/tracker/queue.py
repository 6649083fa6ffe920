"""Images that wait for what belongs to them, on the way from the executor to the tracker."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage, nanoseconds
from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs

IMAGES = 16  # that wait; the oldest gives way
KEYPOINTS = 32  # that wait for their image
DESCRIPTORS = 2


@dataclass
class ImageJob:
    """An image to be tracked, with what belongs to it where that has come."""

    image: ReceivedImage
    deadline: float  # to wait until for the rest, by time.perf_counter [s]
    expects_keypoints: bool
    expects_right: bool
    keypoints: Keypoints | None = None
    right: ReceivedImage | None = None  # of the same moment
    gone: bool = False  # out of the queue


class TrackerQueue:
    """
    Joins images, keypoints and right images by stamp; images leave in the order of arrival.

    Keypoints have the exact stamp. An image leaves with its keypoints, or without once keypoints
    of a later image have come (the detector skipped this one); with the right image of its moment,
    or without once the right camera is past it; or when its wait is over, or the queue is full.
    One thread takes.

    tolerance: most difference between the stamps of a stereo pair [ns]; None: there is no right
    camera.
    """

    def __init__(self, tolerance: int | None = None):
        self._changed = threading.Condition()
        self._images: deque[ImageJob] = deque()
        self._pairs: StereoPairs[ImageJob | ReceivedImage] | None = None
        if tolerance is not None:
            self._pairs = StereoPairs(tolerance, IMAGES)
        self._keypoints: dict[int, Keypoints] = {}
        self._alone: dict[int, float] = {}  # stamps of images that left without: when they came
        self._descriptors: deque[Descriptors] = deque(maxlen=DESCRIPTORS)
        self._last_image: int | None = None  # stamps, in the order of arrival [ns]
        self._last_keypoints: int | None = None
        self._closed = False

    def put_image(
        self, image: ReceivedImage, wait: float, expects_keypoints: bool = True
    ) -> tuple[list[ReceivedImage], list[ReceivedImage]]:
        """
        Add an image that waits at most `wait` [s] for what belongs to it.

        Returns the images that gave way, of this and of the right camera.
        """
        deadline = time.perf_counter() + wait
        job = ImageJob(image, deadline, expects_keypoints, self._pairs is not None)
        with self._changed:
            if self._last_image is not None and image.stamp < self._last_image:
                self._forget_keypoints_after(image.stamp)
            self._last_image = image.stamp
            rights = self._join(0, image.stamp, job)
            self._images.append(job)
            self._changed.notify_all()
            if len(self._images) <= IMAGES:
                return [], rights
            oldest = self._leave()
            return [oldest.image], rights + ([oldest.right] if oldest.right else [])

    def put_right(self, image: ReceivedImage) -> list[ReceivedImage]:
        """Add an image of the right camera; returns those that gave way."""
        with self._changed:
            rights = self._join(1, image.stamp, image)
            self._changed.notify_all()
            return rights

    def put_keypoints(self, message: Keypoints) -> float | None:
        """
        Add the keypoints of an image, which may have come already or not.

        Returns how long after it they came, if it has left without them [s].
        """
        stamp = nanoseconds(message.header.stamp)
        with self._changed:
            if self._last_keypoints is not None and stamp < self._last_keypoints:
                self._forget_keypoints_after(stamp)
            self._last_keypoints = stamp
            self._keypoints[stamp] = message
            while len(self._keypoints) > KEYPOINTS:
                del self._keypoints[next(iter(self._keypoints))]
            self._changed.notify_all()
            arrived = self._alone.pop(stamp, None)
            return None if arrived is None else time.perf_counter() - arrived

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
                    job = self._leave()
                    if job.expects_keypoints and job.keypoints is None:
                        self._remember_alone(job.image)
                    return job
                if self._descriptors and not self._waits_for_image(self._descriptors[0]):
                    return self._descriptors.popleft()
                timeout = None
                if self._images:
                    timeout = max(self._images[0].deadline - time.perf_counter(), 0.0)
                self._changed.wait(timeout)
            return None

    def clear(self) -> tuple[list[ReceivedImage], list[ReceivedImage]]:
        """Forget all that waits; returns the images, of this and of the right camera."""
        with self._changed:
            rights = [] if self._pairs is None else self._pairs.clear()[1]
            jobs = [self._leave() for _ in range(len(self._images))]
            self._keypoints.clear()
            self._alone.clear()
            self._descriptors.clear()
            self._last_image = self._last_keypoints = None
            rights += [job.right for job in jobs if job.right is not None]
            return [job.image for job in jobs], rights

    def close(self) -> None:
        """End `take` for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _join(
        self, camera: int, stamp: int, item: ImageJob | ReceivedImage
    ) -> list[ReceivedImage]:
        """Find the partner of an image; returns right images that will have none."""
        if self._pairs is None:
            return []
        pair, lefts, rights = self._pairs.add(camera, stamp, item)
        for job in lefts:
            job.expects_right = False
        if pair is not None:
            job, right = pair
            if job.gone:
                return [*rights, right]
            job.right, job.expects_right = right, False
        return rights

    def _is_ready(self, job: ImageJob) -> bool:
        overtaken = self._last_keypoints is not None and self._last_keypoints >= job.image.stamp
        complete = (overtaken or not job.expects_keypoints) and not job.expects_right
        return complete or len(self._images) >= IMAGES or time.perf_counter() >= job.deadline

    def _leave(self) -> ImageJob:
        """The oldest image, with what has come of what belongs to it."""
        job = self._images.popleft()
        job.gone = True
        job.keypoints = self._keypoints.pop(job.image.stamp, None)
        return job

    def _remember_alone(self, image: ReceivedImage) -> None:
        self._alone[image.stamp] = image.arrived
        while len(self._alone) > KEYPOINTS:
            del self._alone[next(iter(self._alone))]

    def _waits_for_image(self, message: Descriptors) -> bool:
        stamp = nanoseconds(message.header.stamp)
        return any(job.image.stamp <= stamp for job in self._images)

    def _forget_keypoints_after(self, stamp: int) -> None:
        """Time ran back: what is stamped later belongs to before."""
        self._keypoints = {s: k for s, k in self._keypoints.items() if s <= stamp}
        self._alone.clear()
        if self._last_keypoints is not None and self._last_keypoints > stamp:
            self._last_keypoints = stamp if stamp in self._keypoints else None
