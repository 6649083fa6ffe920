"""One camera of the superpoint node: its topics, its buffers, its accounting."""

from __future__ import annotations

import time
from functools import partial

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.diagnostics import Accounting
from superpoint_rknn.nodes.image_subscription import ImageSubscription
from superpoint_rknn.nodes.mailbox import DescriptorBuffers, Undescribed
from superpoint_rknn.nodes.messages import (
    descriptors_message,
    grey_image,
    image_message,
    keypoints_message,
)
from superpoint_rknn.nodes.overlay import draw_points
from superpoint_rknn.nodes.parameter_table import Parameters
from superpoint_rknn.nodes.worker import Worker

FEATURES = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
OVERLAYS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # as RViz asks for
THROTTLE = 5.0  # [s] between two warnings of a kind


class Camera:
    """
    From `image` to `keypoints`, `descriptors` and `overlay`.

    Images arrive and descriptors are published in the executor; the worker's thread does the rest.
    """

    def __init__(self, node: LifecycleNode, parameters: Parameters):
        self.accounting = Accounting()
        self.active = False
        self._node = node
        self._log = node.get_logger()
        self._parameters = parameters
        self._worker: Worker | None = None
        self._subscription: ImageSubscription | None = None
        self._buffers: DescriptorBuffers | None = None
        self._buffers_of: Extractor | None = None
        self._last_stamp = (0, 0)
        self._last_size: tuple[int, int] | None = None
        self._next_overlay = 0.0
        self._publishers = []
        self._keypoints = self._publisher(Keypoints, 'keypoints', FEATURES)
        self._descriptors = self._publisher(Descriptors, 'descriptors', FEATURES)
        self._overlay = self._publisher(Image, 'overlay', OVERLAYS)

    def _publisher(self, kind: type, topic: str, qos: QoSProfile):
        overridable = QoSOverridingOptions.with_default_policies()
        publisher = self._node.create_lifecycle_publisher(
            kind, topic, qos, qos_overriding_options=overridable
        )
        self._publishers.append(publisher)
        return publisher

    def activate(self, worker: Worker) -> None:
        """Begin to take images."""
        self._worker = worker
        self._subscription = ImageSubscription(
            self._node,
            self._parameters['image_transport'] == 'compressed',
            self._on_image,
            self.accounting,
        )
        self.active = True

    def deactivate(self) -> None:
        """Take no more images; what still waits or is being processed is dropped."""
        self.active = False
        self._subscription.destroy()
        if self._worker.mailbox.clear() is not None:
            self.accounting.settle('dropped')

    def destroy(self) -> None:
        """Take the publishers down."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def forget_descriptors(self) -> None:
        """Let what was not described until now stay undescribed."""
        self._buffers = self._buffers_of = None

    def _on_image(self, message: Image | CompressedImage) -> None:
        """Leave an image for the worker; a waiting older one gives way."""
        self.accounting.arrive()
        self._note_stamp(message)
        job = partial(self._process, message, time.perf_counter())
        if self._worker.mailbox.put(job) is not None:
            self.accounting.settle('dropped')

    def _process(
        self, message: Image | CompressedImage, arrived: float, extractor: Extractor
    ) -> None:
        """
        Extract the features of one image and publish its keypoints.

        Raises RuntimeError if the engine failed; a bad image is warned of and counted.
        """
        fate = 'failed'
        try:
            start = time.perf_counter()
            image = grey_image(message)
            converted = time.perf_counter()
            buffers = self._wanted_buffers(extractor)
            raw = None if buffers is None else buffers.writable()
            detection = extractor.detect(image, raw)
            if not self.active:
                fate = 'dropped'
                return
            self._note_size(detection.image_size)
            found = time.perf_counter()
            keypoints = keypoints_message(
                message.header, detection.image_size, detection.keypoints
            )
            self._keypoints.publish(keypoints)
            fate = 'published'
        except (ValueError, cv2.error) as error:
            self._log.warning(
                f'{self._subscription.topic}: image refused: {error} '
                f'({self.accounting["failed"] + 1} images failed so far)',
                throttle_duration_sec=THROTTLE,
            )
            return
        finally:
            self.accounting.settle(fate)
        if raw is not None:
            buffers.complete(Undescribed(detection, keypoints, extractor))
        end = time.perf_counter()
        self.accounting.stages(
            {
                'convert': 1e3 * (converted - start),
                **extractor.stages_ms,
                'publish': 1e3 * (end - found),
                'total': 1e3 * (end - arrived),
            }
        )
        self._draw_overlay(message, image, detection)

    def publish_descriptors(self) -> None:
        """Describe the points of the newest image that has not been described, and publish."""
        buffers = self._buffers
        newest = None if buffers is None else buffers.take_newest()
        if newest is None:
            return
        start = time.perf_counter()
        data = newest.extractor.describe(newest.detection)
        described = time.perf_counter()
        model = newest.extractor.runtime.model
        self._descriptors.publish(descriptors_message(newest.keypoints, data, model))
        self.accounting.count('descriptors')
        self.accounting.stages(
            {
                'describe': 1e3 * (described - start),
                'publish_descriptors': 1e3 * (time.perf_counter() - described),
            }
        )

    def _wanted_buffers(self, extractor: Extractor) -> DescriptorBuffers | None:
        """Where the descriptor map goes; None while nobody wants descriptors."""
        wanted = self._parameters['descriptors.rate'] > 0
        if not wanted or not self._descriptors.get_subscription_count():
            return None
        if self._buffers is None or self._buffers_of is not extractor:  # the engine was reopened
            self._buffers = DescriptorBuffers([extractor.new_raw() for _ in range(3)])
            self._buffers_of = extractor
        return self._buffers

    def _note_stamp(self, message: Image | CompressedImage) -> None:
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if stamp < self._last_stamp:
            times = self.accounting.count('stamps_back')
            self._log.warning(
                f'{self._subscription.topic}: header.stamp runs back from {self._last_stamp} to '
                f'{stamp} [s, ns] (seen {times} times)',
                throttle_duration_sec=THROTTLE,
            )
        self._last_stamp = stamp

    def _note_size(self, size: tuple[int, int]) -> None:
        if self._last_size not in (None, size):
            times = self.accounting.count('size_changes')
            self._log.warning(
                f'{self._subscription.topic}: height, width changed from {self._last_size} to '
                f'{size} (seen {times} times)',
                throttle_duration_sec=THROTTLE,
            )
        self._last_size = size

    def _draw_overlay(
        self, message: Image | CompressedImage, image: np.ndarray, detection: Detection
    ) -> None:
        now = time.monotonic()
        if now < self._next_overlay or not self._overlay.get_subscription_count():
            return
        self._next_overlay = now + 1.0 / self._parameters['overlay.rate']
        points = detection.keypoints
        canvas = draw_points(image, points.x, points.y, points.score)
        self._overlay.publish(image_message(message.header, canvas))
