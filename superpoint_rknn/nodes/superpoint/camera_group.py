"""From the executor to the worker: the images of one camera, or of two that see at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import cv2

from superpoint_rknn.nodes.common.image_warnings import THROTTLE
from superpoint_rknn.nodes.common.received_image import ReceivedImage
from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs
from superpoint_rknn.nodes.superpoint.camera import Camera
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.runtimes.runtime import Runtime


class ImageJob:
    """
    Images of one moment, of a camera each: keypoints of all are published, or of none.

    completing: held while their descriptor maps become the newest ones, so that nobody takes
    those of some only.
    """

    def __init__(self, images: Sequence[tuple[Camera, ReceivedImage]], completing: threading.Lock):
        self._images = images
        self._completing = completing

    def drop(self) -> None:
        """Give the images up."""
        for camera, _ in self._images:
            camera.counters.finish('dropped')

    def __call__(self, runtime: Runtime) -> bool:
        """
        Extract the features of all images, publish their keypoints.

        Returns whether the engine worked: it isn't needed for a bad image, which is warned of and
        counted. Raises RuntimeError if it failed.
        """
        outcomes = ['dropped'] * len(self._images)
        moment = self._images[0][1].stamp
        found = []
        try:
            for i, (camera, image) in enumerate(self._images):
                if not camera.active:  # by now; there may be a second inference to spare
                    return bool(found)
                outcomes[i] = 'failed'
                found.append(camera.detect(image, runtime, moment))
                outcomes[i] = 'dropped'
            if not all(camera.active for camera, _ in self._images):
                return True
            for i, (camera, _) in enumerate(self._images):
                camera.publish_keypoints(found[i])
                outcomes[i] = 'published'
        except (ValueError, cv2.error) as error:
            camera.warnings.refused(error)
            return bool(found)
        finally:
            for (camera, _), outcome in zip(self._images, outcomes, strict=True):
                camera.counters.finish(outcome)
        done = [(camera, found[i]) for i, (camera, _) in enumerate(self._images)]
        with self._completing:
            for camera, features in done:
                camera.complete(features)
        for camera, features in done:
            camera.finish(features)
        return True


class CameraGroup:
    """
    Cameras whose images are taken together: one, or the two of a stereo pair.

    tolerance: most difference between the stamps of a pair [ns]. depth: images of one camera that
    wait for their partners.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        mailbox: Mailbox[ImageJob],
        log: Any,
        tolerance: int,
        depth: int,
    ):
        self.cameras = cameras
        self._mailbox = mailbox
        self._log = log
        self._completing = threading.Lock()
        self._pairs: StereoPairs[ReceivedImage] | None = None
        if len(cameras) == 2:
            self._pairs = StereoPairs(tolerance, depth)

    def receive(self, camera: Camera, image: ReceivedImage) -> None:
        """Leave an image for the worker, once it has its partner."""
        if self._pairs is None:
            self._hand_over([(camera, image)])
            return
        pair, *given_up = self._pairs.add(self.cameras.index(camera), image.stamp, image)
        self._give_up(given_up)
        if pair is not None:
            self._hand_over(list(zip(self.cameras, pair, strict=True)))

    def publish_descriptors(self, camera: Camera) -> None:
        """
        Publish those of a camera; call it for one after another, beginning with the first.

        They are of the same moment in all cameras.
        """
        if camera is self.cameras[0]:
            with self._completing:
                for each in self.cameras:
                    each.take_newest()
        camera.publish_descriptors()

    def clear(self) -> None:
        """Give up what waits for its partner."""
        if self._pairs is not None:
            self._give_up(self._pairs.clear())

    def _give_up(self, images: Sequence[list[ReceivedImage]]) -> None:
        for camera, unpaired in zip(self.cameras, images, strict=True):
            for _ in unpaired:
                camera.counters.finish('dropped')
                camera.counters.count('unpaired')

    def _hand_over(self, images: list[tuple[Camera, ReceivedImage]]) -> None:
        job = ImageJob(images, self._completing)
        given_up = self._mailbox.put(self, job)
        if given_up is None:
            return
        given_up.drop()
        if given_up is job:
            self._log.error(
                'an image that came now was dropped, since too many wait: results are no longer '
                'repeatable; play slower (ros2 bag play --rate 0.5)',
                throttle_duration_sec=THROTTLE,
            )
