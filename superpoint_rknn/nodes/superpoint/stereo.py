"""The image pipeline of a stereo pair: keypoints of both images are published, or of neither."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import cv2

from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.nodes.common.pair_watch import PairWatch
from superpoint_rknn.nodes.common.stereo_pairs import StereoPairs
from superpoint_rknn.nodes.superpoint.descriptor_timer import DescriptorSchedule
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.pipeline import Detected, ImagePipeline
from superpoint_rknn.runtimes.runtime import Runtime

# [ns] difference of stamps beyond which the cameras do not use the same clock: the maximum of
# sync_tolerance
OTHER_CLOCK = 1_000_000_000
PAIR_DEPTH = 8  # images of one camera that wait for their partners; 0.27 s at 30 Hz

Pair = tuple[ReceivedImage, ReceivedImage]  # left, right


class StereoPipeline:
    """
    Detect and publish the keypoints and descriptors of stereo pairs.

    sides: the pipelines of the left and the right camera.
    tolerance: maximum difference between the stamps of a pair [ns].
    watch: says when the images of one camera are processed alone, since the other one is silent.
    """

    def __init__(
        self, sides: Sequence[ImagePipeline], mailbox: Mailbox, tolerance: int, watch: PairWatch
    ):
        self._sides = sides
        self._mailbox = mailbox
        self._tolerance = tolerance
        self._logged_difference = 0  # [ns]
        self._pairs: StereoPairs[ReceivedImage] = StereoPairs(tolerance, PAIR_DEPTH)
        self._watch = watch
        self.schedule = DescriptorSchedule()
        for side in sides:
            side.schedule = self.schedule  # for images that are processed alone
        self._completing = (
            threading.Lock()
        )  # keeps the newest maps of both sides those of one pair

    def activate(self, depth: int) -> None:
        """Subscribe to the images of both cameras; depth: queue depth of each subscription."""
        self._watch.start()
        for number, side in enumerate(self._sides):
            side.camera.activate(partial(self.on_image, number), depth)

    def deactivate(self) -> None:
        """Unsubscribe; drop images that wait for their partners."""
        for side in self._sides:
            side.deactivate()
        self._drop_unpaired(self._pairs.clear())

    def on_image(self, number: int, image: ReceivedImage) -> None:
        """Put the pair that an image of camera 0 or 1 completes, if any, into the mailbox."""
        self._watch.arrive(number)
        if self._watch.is_alone(number):
            self._drop_unpaired(self._pairs.clear())
            self._sides[number].on_image(image)
            return
        pair, *unpaired = self._pairs.add(number, image.stamp, image)
        self._drop_unpaired(unpaired)
        if pair is not None:
            replaced = self._mailbox.put(self, pair)
            if replaced is not None:
                self.drop(replaced)

    def check_images(self) -> None:
        """Update the warnings of both cameras; call once a second."""
        for side in self._sides:
            side.check_images()
        waiting = self._watch.check()
        for side in self._sides:
            side.camera.input_warning = side.camera.input_warning or waiting
        difference = self._pairs.take_difference()
        if difference is None:
            return
        reason = self._unpaired_reason(difference)
        for side in self._sides:
            side.camera.input_warning = side.camera.input_warning or f'no pair: {reason}'
        if abs(difference - self._logged_difference) > abs(self._logged_difference) / 4:
            self._logged_difference = difference
            self._sides[0].camera.warnings.warn(f'no stereo pairs: {reason}')

    def _unpaired_reason(self, difference: int) -> str:
        """Say by how much the stamps of the cameras differ [ns], and what to do."""
        apart = abs(difference)
        later = self._sides[difference > 0].camera.name
        if apart > OTHER_CLOCK:
            return (
                f'stamps differ by {apart / 1e9:.3g} s ({later} is later): the stamps of both '
                'cameras must be of the same clock'
            )
        return (
            f'stamps differ by {apart / 1e6:.3g} ms ({later} is later), sync_tolerance is '
            f'{self._tolerance / 1e6:.3g} ms: synchronize the cameras; if they expose at the '
            'same time, set sync_tolerance above the difference'
        )

    def drop(self, pair: Pair) -> None:
        """Count both images of a pair as dropped."""
        for side, image in zip(self._sides, pair, strict=True):
            side.drop(image)

    def check_inference(self, is_hung: bool) -> None:
        """Count the images that are being processed as failed if an inference hangs."""
        for side in self._sides:
            side.check_inference(is_hung)

    def process(self, pair: Pair, runtime: Runtime) -> bool:
        """
        Detect the keypoints of both images and publish them, or of neither.

        Returns and raises as ImagePipeline.process.
        """
        outcomes = ['dropped', 'dropped']
        pending = [side.begin() for side in self._sides]
        found: list[Detected] = []
        has_map = all(side.has_pending for side in self._sides)
        with_maps = self.schedule.start(has_map)
        try:
            for i, (side, image) in enumerate(zip(self._sides, pair, strict=True)):
                if not side.camera.active:  # deactivated, perhaps during the first inference
                    return bool(found)
                outcomes[i] = 'failed'
                found.append(side.detect(image, runtime, with_maps))
                outcomes[i] = 'dropped'
            if not all(side.camera.active for side in self._sides):
                return True
            if any(each.finished for each in pending):  # too late
                return True
            keypoints = []
            for i, side in enumerate(self._sides):
                keypoints.append(side.publish_keypoints(found[i]))
                outcomes[i] = 'published'
        except (ValueError, cv2.error) as error:
            side.camera.warnings.warn_refused(error)
            return bool(found)
        finally:
            for each, outcome in zip(pending, outcomes, strict=True):
                each.finish(outcome)
        with self._completing:
            for side, detected, message in zip(self._sides, found, keypoints, strict=True):
                side.keep_descriptor_map(detected, message)
        self.schedule.complete()
        for side, detected in zip(self._sides, found, strict=True):
            side.finish(detected)
        return True

    def publish_descriptors(self) -> bool:
        """Sample the newest maps of a pair and publish its descriptors; return False if none."""
        with self._completing:
            pending = [side.take_pending() for side in self._sides]
        for side, taken in zip(self._sides, pending, strict=True):
            if taken is not None:
                side.describe(taken)
        return any(taken is not None for taken in pending)

    def discard_pending(self) -> None:
        """Discard the pending raw descriptor maps."""
        for side in self._sides:
            side.discard_pending()

    def _drop_unpaired(self, images: Sequence[list[ReceivedImage]]) -> None:
        for side, unpaired in zip(self._sides, images, strict=True):
            for image in unpaired:
                side.drop(image)
                side.camera.counters.count('unpaired')
