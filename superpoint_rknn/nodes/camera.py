"""One camera of the superpoint node: its topics, its buffers, its accounting."""

from __future__ import annotations

import time
from typing import Any

import cv2
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.extractor import Extractor
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.diagnostics import Accounting
from superpoint_rknn.nodes.mailbox import DescriptorBuffers, Undescribed
from superpoint_rknn.nodes.messages import (
    descriptors_message,
    grey_image,
    image_message,
    keypoints_message,
)
from superpoint_rknn.nodes.overlay import draw_points
from superpoint_rknn.nodes.worker import Worker

IMAGES = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
FEATURES = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
OVERLAYS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # as RViz asks for
THROTTLE = 5.0  # [s] between two warnings of a kind


class Camera:
    """
    From `image` to `keypoints`, `descriptors` and `overlay`.

    `on_image` and `publish_descriptors` run in the executor, `process` in the worker's thread.
    """

    def __init__(self, node: LifecycleNode, values: dict[str, Any]):
        self.accounting = Accounting()
        self.values = values
        self._node = node
        self._log = node.get_logger()
        self._active = False
        self._subscription = None
        self._buffers: DescriptorBuffers | None = None
        self._buffers_of: Extractor | None = None
        self._last_stamp = (0, 0)
        self._last_size: tuple[int, int] | None = None
        self._last_sequence: int | None = None
        self._next_overlay = 0.0
        self._publishers = [
            node.create_lifecycle_publisher(
                kind,
                topic,
                qos,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for kind, topic, qos in (
                (Keypoints, 'keypoints', FEATURES),
                (Descriptors, 'descriptors', FEATURES),
                (Image, 'overlay', OVERLAYS),
            )
        ]
        self._keypoints, self._descriptors, self._overlay = self._publishers

    def activate(self, worker: Worker) -> None:
        """Begin to take images."""
        self._worker = worker
        self._active = True
        topic = self._node.resolve_topic_name('image')
        compressed = self.values['image_transport'] == 'compressed'
        self.topic = topic + '/compressed' if compressed else topic
        self._subscription = self._node.create_subscription(
            CompressedImage if compressed else Image,
            self.topic,
            self._on_image_with_info,
            IMAGES,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def deactivate(self) -> None:
        """Take no more images; what still waits or is being processed is dropped."""
        self._active = False
        self._node.destroy_subscription(self._subscription)
        self._last_sequence = None
        if self._worker.mailbox.clear() is not None:
            self.accounting.count('dropped')

    def destroy(self) -> None:
        """Take the publishers down."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _on_image_with_info(self, message: Image | CompressedImage, info: Any) -> None:
        self._count_lost(info)
        self.on_image(message)

    def on_image(self, message: Image | CompressedImage) -> None:
        """Leave an image for the worker; a waiting older one gives way."""
        stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
        if stamp < self._last_stamp:
            self.accounting.count('stamps_back')
            self._log.warning(
                f'{self.topic}: header.stamp runs back from {self._last_stamp} to {stamp} '
                f'[s, ns] (seen {self.accounting["stamps_back"]} times)',
                throttle_duration_sec=THROTTLE,
            )
        self._last_stamp = stamp
        if self._worker.mailbox.put((self, message, time.perf_counter())) is not None:
            self.accounting.count('dropped')

    def _count_lost(self, info: Any) -> None:
        """Count gaps in the publisher's sequence, where the middleware tells it."""
        sequence = info.get('publication_sequence_number') if isinstance(info, dict) else None
        if sequence is None:
            return
        if self._last_sequence is not None and sequence > self._last_sequence + 1:
            self.accounting.count('lost', sequence - self._last_sequence - 1)
        self._last_sequence = sequence

    def process(
        self, message: Image | CompressedImage, arrived: float, extractor: Extractor
    ) -> None:
        """
        Extract the features of one image and publish its keypoints.

        Raises RuntimeError if the engine failed; a bad image is warned of and counted.
        """
        start = time.perf_counter()
        try:
            image = grey_image(message)
            converted = time.perf_counter()
            raw = self._raw_buffer(extractor)
            detection = extractor.detect(image, raw)
        except (ValueError, cv2.error) as error:
            self.accounting.count('failed')
            self._log.warning(
                f'{self.topic}: image refused: {error} '
                f'({self.accounting["failed"]} images failed so far)',
                throttle_duration_sec=THROTTLE,
            )
            return
        except Exception:
            self.accounting.count('failed')
            raise
        if not self._active:
            self.accounting.count('dropped')
            return
        self._note_size(detection.image_size)
        found = time.perf_counter()
        keypoints = keypoints_message(message.header, detection.image_size, detection.keypoints)
        self._keypoints.publish(keypoints)
        self.accounting.count('published')
        if raw is not None:
            self._buffers.complete(Undescribed(detection, keypoints, extractor))
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
        newest = self._buffers.take_newest() if self._buffers else None
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

    def _raw_buffer(self, extractor: Extractor):
        """Where the descriptor map goes; None while nobody wants descriptors."""
        if self.values['descriptors.rate'] <= 0 or not self._descriptors.get_subscription_count():
            return None
        if self._buffers_of is not extractor:  # new, or the engine was reopened
            self._buffers = DescriptorBuffers([extractor.new_raw() for _ in range(3)])
            self._buffers_of = extractor
        return self._buffers.writable()

    def _note_size(self, size: tuple[int, int]) -> None:
        if self._last_size not in (None, size):
            self.accounting.count('size_changes')
            self._log.warning(
                f'{self.topic}: size (height, width) changed from {self._last_size} to {size}'
            )
        self._last_size = size

    def _draw_overlay(self, message, image, detection) -> None:
        now = time.monotonic()
        if now < self._next_overlay or not self._overlay.get_subscription_count():
            return
        self._next_overlay = now + 1.0 / self.values['overlay.rate']
        points = detection.keypoints
        canvas = draw_points(image, points.x, points.y, points.score)
        self._overlay.publish(image_message(message.header, canvas))
