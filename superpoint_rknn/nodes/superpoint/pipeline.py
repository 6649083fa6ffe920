"""
The image pipeline of one camera, from top to bottom.

  on_image             executor thread: put the image into the mailbox
  process              inference thread: grey image -> Extractor.detect (model input, inference,
                       decode) -> publish keypoints -> keep the raw descriptor map -> overlay
  publish_descriptors  descriptor timer: convertTo step for the keypoints -> publish descriptors

stereo.py does the same for the two cameras of a stereo pair.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.features.rate import RateLimiter
from superpoint_rknn.msg import Keypoints
from superpoint_rknn.nodes.common.diagnostics import PendingImage
from superpoint_rknn.nodes.common.messages import ReceivedImage
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.superpoint.camera import Camera
from superpoint_rknn.nodes.superpoint.descriptor_buffers import (
    DescriptorBuffers,
    PendingDescriptors,
)
from superpoint_rknn.nodes.superpoint.descriptor_timer import DescriptorSchedule
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.runtimes.runtime import Runtime


@dataclass
class Detected:
    """An image and its detection."""

    image: ReceivedImage
    detection: Detection
    extractor: Extractor
    buffers: DescriptorBuffers | None  # of its raw descriptor map; None: not fetched
    stages_ms: dict[str, float]


class ImagePipeline:
    """Detect and publish the keypoints and descriptors of one camera's images."""

    def __init__(self, camera: Camera, parameters: Parameters, mailbox: Mailbox):
        self.camera = camera
        self._parameters = parameters
        self._mailbox = mailbox
        self._extractor: Extractor | None = None  # of the runtime that was used last
        self._buffers: DescriptorBuffers | None = None  # of that extractor
        self.is_hung = False  # True while the inference takes longer than its timeout
        self._running: PendingImage | None = None  # the last image that was begun
        self.schedule = DescriptorSchedule()
        self._overlays = RateLimiter()

    def activate(self, depth: int) -> None:
        """Subscribe to images; depth: queue depth of the subscription."""
        self.camera.activate(self.on_image, depth)

    def deactivate(self) -> None:
        """Unsubscribe."""
        self.camera.deactivate()

    def check_images(self) -> None:
        """Check what arrives, see Camera.check_images; call once a second."""
        self.camera.check_images()

    def on_image(self, image: ReceivedImage) -> None:
        """Put an image into the mailbox; drop the older image that it replaces."""
        replaced = self._mailbox.put(self, image)
        if replaced is not None:
            self.drop(replaced)

    def drop(self, image: ReceivedImage) -> None:
        """Count an image as dropped, or as failed if the inference hangs."""
        self.camera.counters.finish('failed' if self.is_hung else 'dropped')

    def check_inference(self, is_hung: bool) -> None:
        """Count the image that is being processed as failed if its inference hangs."""
        self.is_hung = is_hung
        if is_hung and self._running is not None:
            self._running.finish('failed')

    def begin(self) -> PendingImage:
        """Return the outcome of the image whose processing begins."""
        self._running = running = PendingImage(self.camera.counters)
        return running

    def process(self, image: ReceivedImage, runtime: Runtime) -> bool:
        """
        Detect the keypoints of an image, publish them and count the image.

        Returns True if the runtime was used; False if the image was invalid (logged and counted as
        failed) or the camera is inactive. Raises RuntimeError if the inference failed.
        """
        outcome = 'dropped'
        pending = self.begin()
        try:
            if not self.camera.active:
                return False
            outcome = 'failed'
            with_map = self.schedule.start(self.has_pending)
            detected = self.detect(image, runtime, with_map)
            outcome = 'dropped'
            if pending.finished or not self.camera.active:  # too late, or deactivated meanwhile
                return True
            keypoints = self.publish_keypoints(detected)
            outcome = 'published'
        except (ValueError, cv2.error) as error:
            self.camera.warnings.warn_refused(error)
            return False
        finally:
            pending.finish(outcome)
        self.keep_descriptor_map(detected, keypoints)
        self.schedule.complete()
        self.finish(detected)
        return True

    def detect(self, image: ReceivedImage, runtime: Runtime, with_map: bool) -> Detected:
        """
        Detect the keypoints of an image.

        with_map: fetch the raw descriptor map, if `descriptors` has a subscriber.
        Raises ValueError or cv2.error for an invalid image, RuntimeError if the inference failed.
        """
        start = time.perf_counter()
        grey = image.grey()
        converted = time.perf_counter()
        extractor = self._extractor
        if (
            extractor is None or extractor.runtime is not runtime
        ):  # first image, or the runtime was reopened
            self._extractor = extractor = Extractor(runtime)
            self._buffers = None
        extractor.settings = self._parameters.settings[self.camera.name]
        buffers = self._wanted_buffers(extractor) if with_map else None
        raw = None if buffers is None else buffers.writable()
        detection = extractor.detect(grey, raw)
        stages_ms = {'convert': 1e3 * (converted - start), **extractor.stages_ms}
        return Detected(image, detection, extractor, buffers, stages_ms)

    def publish_keypoints(self, detected: Detected) -> Keypoints:
        """Publish the keypoints of an image; return the message."""
        start = time.perf_counter()
        message = self.camera.publish_keypoints(detected.image, detected.detection)
        detected.stages_ms['publish'] = 1e3 * (time.perf_counter() - start)
        return message

    def keep_descriptor_map(self, detected: Detected, keypoints: Keypoints) -> None:
        """Pass the raw descriptor map of an image to the descriptor timer, if it was fetched."""
        if detected.buffers is not None:
            self.camera.counters.count('descriptor_maps')
            detected.buffers.complete(
                PendingDescriptors(detected.detection, keypoints, detected.extractor)
            )

    def finish(self, detected: Detected) -> None:
        """Do the less urgent work after publishing the keypoints: stage timings, overlay."""
        total = 1e3 * (time.perf_counter() - detected.image.arrived)
        self.camera.counters.stages({**detected.stages_ms, 'total': total})
        due = self._overlays.select_if_due(time.monotonic_ns(), self._parameters['overlay.rate'])
        if due and self.camera.has_overlay_subscribers:
            self.camera.publish_overlay(detected.image, detected.detection)

    def publish_descriptors(self) -> bool:
        """Sample the newest map and publish its descriptors; return False if there is none."""
        pending = self.take_pending()
        if pending is not None:
            self.describe(pending)
        return pending is not None

    @property
    def has_pending(self) -> bool:
        """True if there is a complete descriptor map that was not described yet."""
        buffers = self._buffers
        return buffers is not None and buffers.has_newest

    def take_pending(self) -> PendingDescriptors | None:
        """Return the newest raw descriptor map, with its keypoints, once; None if none is new."""
        buffers = self._buffers
        return None if buffers is None else buffers.take_newest()

    def describe(self, pending: PendingDescriptors) -> None:
        """Do the convertTo step for the keypoints of an image, normalise and publish."""
        start = time.perf_counter()
        data = pending.extractor.describe(pending.detection)
        described = time.perf_counter()
        self.camera.publish_descriptors(pending.keypoints, data, pending.extractor.runtime.model)
        self.camera.counters.stages(
            {
                'describe': 1e3 * (described - start),
                'publish_descriptors': 1e3 * (time.perf_counter() - described),
            }
        )

    def discard_pending(self) -> None:
        """Discard the pending raw descriptor map, also that of the running inference."""
        self._buffers = None

    def _wanted_buffers(self, extractor: Extractor) -> DescriptorBuffers | None:
        """Return the buffers for raw descriptor maps; None if `descriptors` has no subscriber."""
        if self._parameters['descriptors.rate'] <= 0 or not self.camera.has_descriptor_subscribers:
            return None
        buffers = self._buffers
        if buffers is None:
            self._buffers = buffers = DescriptorBuffers(
                [extractor.new_descriptor_map() for _ in range(3)]
            )
        return buffers
