"""The topics of one camera of the superpoint node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.extractor import Detection
from superpoint_rknn.features.input_range import InputRange
from superpoint_rknn.msg import Descriptors, DescriptorsRaw, Keypoints
from superpoint_rknn.nodes.common.camera_names import topic_of
from superpoint_rknn.nodes.common.diagnostics import ImageCounters, ImageWarnings
from superpoint_rknn.nodes.common.image_subscription import ImageSubscription
from superpoint_rknn.nodes.common.in_process import InProcessTopics
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.messages import (
    ReceivedImage,
    descriptors_message,
    image_message,
    keypoints_message,
    raw_descriptors_message,
)
from superpoint_rknn.nodes.common.overlay import draw_points
from superpoint_rknn.nodes.common.qos import FEATURES, OVERLAYS


class Camera:
    """
    Subscription to `image`; publishers of `keypoints`, `descriptors`, `descriptors_raw` and
    `overlay`.

    name: prefix of the topic names; empty: no prefix.
    transport: auto, raw or compressed.
    in_process: channels of this process, to which images, keypoints and descriptors are sent,
    too; None: there are none.
    """

    def __init__(
        self, node: ManagedNode, name: str, transport: str, in_process: InProcessTopics | None
    ):
        self.name = name
        self.counters = ImageCounters()
        self.active = False
        self.input_warning: str | None = None  # of the last check
        self.warnings = ImageWarnings(
            node.get_logger(), node.resolve_topic_name(topic_of(name, 'image')), self.counters
        )
        self._input_range = InputRange(warn=self.warnings.warn)
        self._node = node
        self._transport = transport
        self._in_process = in_process
        self._on_image: Callable[[ReceivedImage], None] | None = None
        self._subscription: ImageSubscription | None = None
        self._publishers: list[LifecyclePublisher] = []
        self._keypoints = self._publisher(Keypoints, 'keypoints', FEATURES)
        self._descriptors = self._publisher(Descriptors, 'descriptors', FEATURES)
        self._raw_descriptors = self._publisher(DescriptorsRaw, 'descriptors_raw', FEATURES)
        self._overlay = self._publisher(Image, 'overlay', OVERLAYS)

    def _publisher(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        publisher = self._node.advertise(kind, topic_of(self.name, topic), qos)
        self._publishers.append(publisher)
        return publisher

    def activate(self, on_image: Callable[[ReceivedImage], None], depth: int) -> None:
        """
        Subscribe to images.

        on_image: called in the executor's thread with each image.
        depth: queue depth of the subscription.
        """
        self._on_image = on_image
        self._subscription = ImageSubscription(
            self._node,
            topic_of(self.name, 'image'),
            self._transport,
            self.receive,
            self.counters,
            depth,
        )
        self.active = True
        self._node.get_logger().info(
            f'active: {self._subscription} -> {self._keypoints.topic_name}'
        )

    def deactivate(self) -> None:
        """Unsubscribe; images that are being processed are dropped."""
        self.active = False
        self.input_warning = None
        if self._subscription is not None:
            self._subscription.destroy()
            self._subscription = None

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def check_images(self) -> None:
        """Update `input_warning`, see ImageSubscription.check; call once a second."""
        if self._subscription is not None:
            self.input_warning = self._subscription.check()

    @property
    def has_descriptor_subscribers(self) -> bool:
        """True if `descriptors` or `descriptors_raw` has a subscriber, in any process."""
        return self._needs_float or self._raw_descriptors.get_subscription_count() > 0

    @property
    def _needs_float(self) -> bool:
        """True if `descriptors` has a subscriber, in this process or another."""
        in_process = self._in_process is not None and bool(self._in_process.descriptors)
        return in_process or self._descriptors.get_subscription_count() > 0

    @property
    def has_overlay_subscribers(self) -> bool:
        """True if `overlay` has a subscriber."""
        return self._overlay.get_subscription_count() > 0

    def publish_keypoints(self, image: ReceivedImage, detection: Detection) -> Keypoints:
        """Publish the keypoints of an image; return the message."""
        self.warnings.check_size(detection.image_size)
        message = keypoints_message(
            image.message.header, detection.image_size, detection.keypoints
        )
        self._keypoints.publish(message)
        if self._in_process is not None:
            self._in_process.keypoints.send(message)
        return message

    def publish_descriptors(self, keypoints: Keypoints, data: np.ndarray, model: str) -> None:
        """
        Publish the descriptors of an image, in the forms that have subscribers, and count them.

        keypoints: message of the same N points. data: (N, dim) float32. model: name of the model.
        """
        if self._needs_float:
            message = descriptors_message(keypoints, data, model)
            self._descriptors.publish(message)
            if self._in_process is not None:
                self._in_process.descriptors.send(message)
        if self._raw_descriptors.get_subscription_count() > 0:
            self._raw_descriptors.publish(raw_descriptors_message(keypoints, data, model))
        self.counters.count('descriptors')

    def publish_overlay(self, image: ReceivedImage, detection: Detection) -> None:
        """Draw the keypoints over their image and publish the overlay."""
        points = detection.keypoints
        canvas = draw_points(image.grey(), points.x, points.y, points.score)
        self._overlay.publish(image_message(image.message.header, canvas))

    def receive(self, message: Image | CompressedImage) -> None:
        """Count an image and pass it on, with its time of arrival (subscription callback)."""
        self.counters.arrive()
        self._input_range.values = self._node.values['input_range']
        image = ReceivedImage(message, self._input_range)
        self.warnings.check_stamp(image.stamp)
        if self._in_process is not None:
            self._in_process.images.send(image)
        if self._on_image is not None:
            self._on_image(image)
