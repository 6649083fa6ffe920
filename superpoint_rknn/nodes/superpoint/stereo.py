"""The image pipeline of a stereo pair: keypoints of both images are published, or of neither."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import cv2

from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs
from superpoint_rknn.nodes.superpoint.descriptor_timer import DescriptorSchedule
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.pipeline import Detected, ImagePipeline
from superpoint_rknn.runtimes.runtime import Runtime

PAIR_DEPTH = 8  # images of one camera that may wait for their partners: at 30 Hz 0.27 s

Pair = tuple[ReceivedImage, ReceivedImage]  # left, right


class StereoPipeline:
    """
    From the images of a left and a right camera to keypoints and descriptors of both.

    sides: the pipelines of the left and the right camera.
    tolerance: largest difference between the stamps of a pair [ns].
    """

    def __init__(self, sides: Sequence[ImagePipeline], mailbox: Mailbox, tolerance: int):
        self._sides = sides
        self._mailbox = mailbox
        self._pairs: StereoPairs[ReceivedImage] = StereoPairs(tolerance, PAIR_DEPTH)
        self.schedule = DescriptorSchedule()
        self._completing = threading.Lock()  # the newest maps of both sides are of one pair

    def activate(self, depth: int) -> None:
        """Subscribe to images; `depth` of each camera may wait for the executor."""
        for number, side in enumerate(self._sides):
            side.camera.activate(partial(self.on_image, number), depth)

    def deactivate(self) -> None:
        """Unsubscribe; images that wait for their partners are dropped."""
        for side in self._sides:
            side.deactivate()
        self._drop_unpaired(self._pairs.clear())

    def on_image(self, number: int, image: ReceivedImage) -> None:
        """Leave an image of camera 0 or 1 for the inference thread once its partner is there."""
        pair, *unpaired = self._pairs.add(number, image.stamp, image)
        self._drop_unpaired(unpaired)
        if pair is not None:
            replaced = self._mailbox.put(self, pair)
            if replaced is not None:
                self.drop(replaced)

    def drop(self, pair: Pair) -> None:
        """Count a pair that is not processed."""
        for side, image in zip(self._sides, pair, strict=True):
            side.drop(image)

    def process(self, pair: Pair, runtime: Runtime) -> bool:
        """
        Find the keypoints of both images and publish them, or neither's.

        Returns and raises as ImagePipeline.process.
        """
        outcomes = ['dropped', 'dropped']
        found: list[Detected] = []
        has_map = all(side.has_pending for side in self._sides)
        with_maps = self.schedule.start(has_map)
        try:
            for i, (side, image) in enumerate(zip(self._sides, pair, strict=True)):
                if not side.camera.active:  # perhaps since the first inference
                    return bool(found)
                outcomes[i] = 'failed'
                found.append(side.detect(image, runtime, with_maps))
                outcomes[i] = 'dropped'
            if not all(side.camera.active for side in self._sides):
                return True
            keypoints = []
            for i, side in enumerate(self._sides):
                keypoints.append(side.publish_keypoints(found[i]))
                outcomes[i] = 'published'
        except (ValueError, cv2.error) as error:
            side.camera.warnings.refused(error)
            return bool(found)
        finally:
            for side, outcome in zip(self._sides, outcomes, strict=True):
                side.camera.counters.finish(outcome)
        with self._completing:
            for side, detected, message in zip(self._sides, found, keypoints, strict=True):
                side.keep_descriptor_map(detected, message)
        self.schedule.complete()
        for side, detected in zip(self._sides, found, strict=True):
            side.finish(detected)
        return True

    def publish_descriptors(self) -> bool:
        """Describe the newest pair with descriptor maps and publish; False if there is none."""
        with self._completing:
            pending = [side.take_pending() for side in self._sides]
        for side, taken in zip(self._sides, pending, strict=True):
            if taken is not None:
                side.describe(taken)
        return any(taken is not None for taken in pending)

    def discard_pending(self) -> None:
        """Discard the raw descriptor maps that were not described yet."""
        for side in self._sides:
            side.discard_pending()

    def _drop_unpaired(self, images: Sequence[list[ReceivedImage]]) -> None:
        for side, unpaired in zip(self._sides, images, strict=True):
            for image in unpaired:
                side.drop(image)
                side.camera.counters.count('unpaired')
