"""Queue from the executor to the tracker thread: joins images, keypoints and right images."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from superpoint_rknn.features.rate import MAX_GAP
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.messages import ReceivedImage, nanoseconds
from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs

IMAGES = 16  # maximum number of waiting images; more evict the oldest
KEYPOINTS = 32  # maximum number of keypoint messages that wait for their images
DESCRIPTORS = 2  # maximum number of waiting descriptor messages


@dataclass
class ImageJob:
    """An image to be tracked, with its keypoints and its right image if they have arrived."""

    image: ReceivedImage
    deadline: float  # end of the wait for keypoints and right image, time.perf_counter [s]
    expects_keypoints: bool
    expects_right: bool
    camera: int = 0  # of the stereo pair; 1: the right one, while the left one is silent
    keypoints: Keypoints | None = None
    right: ReceivedImage | None = None  # of the same stereo pair
    is_taken: bool = False  # no longer in the queue

    def images(self) -> tuple[list[ReceivedImage], list[ReceivedImage]]:
        """Return its images of the left and of the right camera."""
        if self.camera == 1:
            return [], [self.image]
        return [self.image], [] if self.right is None else [self.right]


@dataclass
class LateKeypoints:
    """Keypoints of an image that was taken without them."""

    message: Keypoints
    delay: float  # after the image [s]


class TrackerQueue:
    """
    FIFO of images that joins each with its keypoints and right image by stamp. Thread-safe.

    Keypoints have the stamp of their image. The oldest image is ready
    - when its keypoints, or those of a later image (the detector dropped this one), and its right
      image, or a later one, have arrived;
    - at its deadline;
    - when the queue is full.
    One thread calls `take`.

    tolerance: maximum difference between the stamps of a stereo pair [ns]; None: there is no
    right camera.
    """

    def __init__(self, tolerance: int | None = None):
        self._changed = threading.Condition()
        self._images: deque[ImageJob] = deque()
        self._pairs: StereoPairs[Any] | None = None  # ImageJob left, ReceivedImage right
        if tolerance is not None:
            self._pairs = StereoPairs(tolerance, IMAGES)
        self._keypoints: dict[int, Keypoints] = {}
        # Images that were taken without keypoints: stamp [ns] -> time of arrival [s].
        self._without_keypoints: dict[int, float] = {}
        self._late: LateKeypoints | None = None  # newer ones replace it
        self._descriptors: deque[Descriptors] = deque(maxlen=DESCRIPTORS)
        self._last_image: int | None = None  # stamp of the last image that arrived [ns]
        self._last_keypoints: int | None = None  # the same of keypoints
        self._closed = False

    def put_image(
        self,
        image: ReceivedImage,
        wait: float,
        expects_keypoints: bool = True,
        camera: int = 0,
        is_alone: bool = False,
    ) -> tuple[list[ReceivedImage], list[ReceivedImage]]:
        """
        Add an image that waits at most `wait` [s] for its keypoints and its right image.

        camera: of the stereo pair; 1 only if it is alone. is_alone: the other camera is silent.
        Returns the dropped images of the left and of the right camera.
        """
        deadline = time.perf_counter() + wait
        waits = self._pairs is not None and not is_alone
        job = ImageJob(image, deadline, expects_keypoints, waits, camera)
        with self._changed:
            if self._last_image is not None and image.stamp < self._last_image:
                self._discard_keypoints_after(image.stamp)
            self._last_image = image.stamp
            rights = self._join(0, image.stamp, job) if waits else self._end_waits()
            self._images.append(job)
            self._changed.notify_all()
            if len(self._images) <= IMAGES:
                return [], rights
            lefts, evicted = self._leave().images()
            return lefts, rights + evicted

    def put_right(self, image: ReceivedImage) -> list[ReceivedImage]:
        """Add an image of the right camera; return the dropped ones of this camera."""
        with self._changed:
            rights = self._join(1, image.stamp, image)
            self._changed.notify_all()
            return rights

    def put_keypoints(self, message: Keypoints) -> bool:
        """
        Add the keypoints of an image, before or after the image itself.

        Returns True if they are late: their image was taken without them.
        """
        stamp = nanoseconds(message.header.stamp)
        with self._changed:
            if self._last_keypoints is not None and stamp < self._last_keypoints - MAX_GAP:
                self._discard_keypoints_after(stamp)
            self._last_keypoints = max(stamp, self._last_keypoints or stamp)
            self._changed.notify_all()
            arrived = self._without_keypoints.pop(stamp, None)
            if arrived is not None:
                self._late = LateKeypoints(message, time.perf_counter() - arrived)
                return True
            self._keypoints[stamp] = message
            while len(self._keypoints) > KEYPOINTS:
                del self._keypoints[next(iter(self._keypoints))]
            return False

    def put_descriptors(self, message: Descriptors) -> None:
        """Add descriptors; they are taken after their image. The oldest are evicted."""
        with self._changed:
            self._descriptors.append(message)
            self._changed.notify_all()

    def take(self) -> ImageJob | LateKeypoints | Descriptors | None:
        """Wait for the next image, late keypoints or descriptors; None once closed."""
        with self._changed:
            while not self._closed:
                if self._images and self._is_ready(self._images[0]):
                    job = self._leave()
                    if job.expects_keypoints and job.keypoints is None:
                        self._note_without_keypoints(job.image)
                    return job
                if self._late is not None:
                    late, self._late = self._late, None
                    return late
                if self._descriptors and not self._waits_for_image(self._descriptors[0]):
                    return self._descriptors.popleft()
                timeout = None
                if self._images:
                    timeout = max(self._images[0].deadline - time.perf_counter(), 0.0)
                self._changed.wait(timeout)
            return None

    def clear(self) -> tuple[list[ReceivedImage], list[ReceivedImage]]:
        """Discard all waiting items; return the images of the left and of the right camera."""
        with self._changed:
            lefts, rights = [], self._end_waits()
            while self._images:
                left, right = self._leave().images()
                lefts += left
                rights += right
            self._keypoints.clear()
            self._without_keypoints.clear()
            self._late = None
            self._descriptors.clear()
            self._last_image = self._last_keypoints = None
            return lefts, rights

    def close(self) -> None:
        """Close the queue: `take` returns None from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _join(
        self, camera: int, stamp: int, item: ImageJob | ReceivedImage
    ) -> list[ReceivedImage]:
        """Join an image with its stereo partner; return right images that have none."""
        if self._pairs is None:
            return []
        pair, lefts, rights = self._pairs.add(camera, stamp, item)
        for job in lefts:
            job.expects_right = False
        if pair is not None:
            job, right = pair
            if job.is_taken:
                return [*rights, right]
            job.right, job.expects_right = right, False
        return rights

    def _end_waits(self) -> list[ReceivedImage]:
        """Let no left image wait for its right one; return the waiting right images."""
        if self._pairs is None:
            return []
        jobs, rights = self._pairs.clear()
        for job in jobs:
            job.expects_right = False
        return rights

    def _is_ready(self, job: ImageJob) -> bool:
        overtaken = self._last_keypoints is not None and self._last_keypoints >= job.image.stamp
        complete = (overtaken or not job.expects_keypoints) and not job.expects_right
        return complete or len(self._images) >= IMAGES or time.perf_counter() >= job.deadline

    def _leave(self) -> ImageJob:
        """Remove the oldest image, with its keypoints if they have arrived, and return it."""
        job = self._images.popleft()
        job.is_taken = True
        job.keypoints = self._keypoints.pop(job.image.stamp, None)
        return job

    def _note_without_keypoints(self, image: ReceivedImage) -> None:
        self._without_keypoints[image.stamp] = image.arrived
        while len(self._without_keypoints) > KEYPOINTS:
            del self._without_keypoints[next(iter(self._without_keypoints))]

    def _waits_for_image(self, message: Descriptors) -> bool:
        stamp = nanoseconds(message.header.stamp)
        return any(job.image.stamp <= stamp for job in self._images)

    def _discard_keypoints_after(self, stamp: int) -> None:
        """Discard keypoints with later stamps, since stamps ran backwards."""
        self._keypoints = {s: k for s, k in self._keypoints.items() if s <= stamp}
        self._without_keypoints.clear()
        self._late = None
        if self._last_keypoints is not None and self._last_keypoints > stamp:
            self._last_keypoints = stamp if stamp in self._keypoints else None
