"""One camera of the superpoint node: its topics, its buffers, its accounting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.extractor import Detection, Extractor
from superpoint_rknn.features.rate import RateLimiter
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.camera_names import topic_of
from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.image_subscription import ImageSubscription, image_topic
from superpoint_rknn.nodes.common.image_warnings import ImageWarnings
from superpoint_rknn.nodes.common.in_process import InProcessTopics
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.messages import (
    descriptors_message,
    image_message,
    keypoints_message,
)
from superpoint_rknn.nodes.common.overlay import draw_points
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.common.qos import FEATURES, OVERLAYS
from superpoint_rknn.nodes.common.received_image import ReceivedImage
from superpoint_rknn.nodes.superpoint.descriptor_buffers import (
    DescriptorBuffers,
    PendingDescriptors,
)
from superpoint_rknn.runtimes.runtime import Runtime


@dataclass
class Features:
    """What was found in an image, on the way to its topics."""

    image: ReceivedImage
    detection: Detection
    extractor: Extractor
    moment: int  # of the image, and of those taken together with it [ns]
    stages_ms: dict[str, float]
    keypoints: Keypoints | None = None  # once published


class Camera:
    """
    From `image` to `keypoints`, `descriptors` and `overlay`.

    Images arrive in the executor; the worker's thread detects and publishes keypoints; whoever
    calls `take_newest` and `publish_descriptors` describes, in one thread at a time.
    name: before the names of its topics; empty: no prefix.
    feed: receives what arrives and what is published.
    """

    def __init__(
        self, node: ManagedNode, parameters: Parameters, name: str, in_process: InProcessTopics
    ):
        self.name = name
        self.counters = ImageCounters()
        self.active = False
        topic = image_topic(node, topic_of(name, 'image'), parameters['image_transport'])
        self.warnings = ImageWarnings(node.get_logger(), topic, self.counters)
        self._node = node
        self._parameters = parameters
        self._in_process = in_process
        self._on_image: Callable[[Camera, ReceivedImage], None] | None = None
        self._subscription: ImageSubscription | None = None
        self._extractor: Extractor | None = None
        self._buffers: DescriptorBuffers | None = None
        self._buffers_of: Extractor | None = None
        self._taken: PendingDescriptors | None = None
        self._described = RateLimiter()
        self._drawn = RateLimiter()
        self._publishers = []
        self._keypoints = self._publisher(Keypoints, 'keypoints', FEATURES)
        self._descriptors = self._publisher(Descriptors, 'descriptors', FEATURES)
        self._overlay = self._publisher(Image, 'overlay', OVERLAYS)

    def _publisher(self, kind: type, topic: str, qos: QoSProfile):
        publisher = self._node.advertise(kind, topic_of(self.name, topic), qos)
        self._publishers.append(publisher)
        return publisher

    def activate(
        self, on_image: Callable[[Camera, ReceivedImage], None], depth: int, reliable: bool
    ) -> None:
        """
        Begin to take images; `hand_on` gets each of them.

        depth, reliable: see ImageSubscription.
        """
        self._on_image = on_image
        self._subscription = ImageSubscription(
            self._node,
            topic_of(self.name, 'image'),
            self._parameters['image_transport'],
            self.receive,
            self.counters,
            depth,
            reliable,
        )
        self.active = True

    @property
    def error_message(self) -> str | None:
        """Why images don't come, where that is known."""
        return None if self._subscription is None else self._subscription.error_message

    def deactivate(self) -> None:
        """Take no more images; what is being processed will be dropped."""
        self.active = False
        self._subscription.destroy()

    def destroy(self) -> None:
        """Take the publishers down."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def forget_descriptors(self) -> None:
        """Let what was not described until now stay undescribed."""
        self._buffers = self._buffers_of = self._taken = None

    def receive(self, message: Image | CompressedImage) -> None:
        """Take an image on its way to the worker."""
        self.counters.arrive()
        image = ReceivedImage(message)
        self.warnings.look_at_stamp(image.stamp)
        if not self._parameters['deterministic']:
            self._in_process.images.send(image)
        self._on_image(self, image)

    def detect(self, image: ReceivedImage, runtime: Runtime, moment: int) -> Features:
        """
        Find the points of an image.

        moment: of those taken together with it, which decides whether they are described [ns].
        Raises ValueError or cv2.error for a bad image, RuntimeError if the engine failed.
        """
        start = time.perf_counter()
        grey = image.grey()
        converted = time.perf_counter()
        if self._extractor is None or self._extractor.runtime is not runtime:  # (re)opened
            self._extractor = Extractor(runtime)
        extractor = self._extractor
        extractor.settings = self._parameters.settings[self.name]
        buffers = self._wanted_buffers(extractor, moment)
        raw = None if buffers is None else buffers.writable()
        detection = extractor.detect(grey, raw)
        stages_ms = {'convert': 1e3 * (converted - start), **extractor.stages_ms}
        return Features(image, detection, extractor, moment, stages_ms)

    def publish_keypoints(self, features: Features) -> None:
        """Publish the points of an image."""
        start = time.perf_counter()
        detection = features.detection
        self.warnings.look_at_size(detection.image_size)
        features.keypoints = keypoints_message(
            features.image.message.header, detection.image_size, detection.keypoints
        )
        self._keypoints.publish(features.keypoints)
        if self._parameters['deterministic']:  # whoever joins both need not wait
            self._in_process.images.send(features.image)
        self._in_process.keypoints.send(features.keypoints)
        features.stages_ms['publish'] = 1e3 * (time.perf_counter() - start)

    def complete(self, features: Features) -> None:
        """Have an image, whose keypoints are published, described next."""
        buffers = self._buffers
        if features.detection.raw is not None and buffers is not None:
            buffers.complete(
                PendingDescriptors(features.detection, features.keypoints, features.extractor)
            )

    def finish(self, features: Features) -> None:
        """Do what is less urgent than the keypoints, which are published."""
        total = 1e3 * (time.perf_counter() - features.image.arrived)
        self.counters.stages({**features.stages_ms, 'total': total})
        if self._parameters['deterministic']:
            self._note_described(features.moment)
            self.take_newest()
            self.publish_descriptors()
        self._draw_overlay(features)

    def take_newest(self) -> None:
        """Choose the newest image that has not been described to be described."""
        buffers = self._buffers
        self._taken = None if buffers is None else buffers.take_newest()

    def publish_descriptors(self) -> None:
        """Describe the points of the image that was taken, if any, and publish."""
        newest, self._taken = self._taken, None
        if newest is None:
            return
        start = time.perf_counter()
        data = newest.extractor.describe(newest.detection)
        described = time.perf_counter()
        message = descriptors_message(newest.keypoints, data, newest.extractor.runtime.model)
        self._descriptors.publish(message)
        self._in_process.descriptors.send(message)
        self.counters.count('descriptors')
        self.counters.stages(
            {
                'describe': 1e3 * (described - start),
                'publish_descriptors': 1e3 * (time.perf_counter() - described),
            }
        )

    def _wanted_buffers(self, extractor: Extractor, moment: int) -> DescriptorBuffers | None:
        """Where the descriptor map goes; None if this image won't be described."""
        rate = self._parameters['descriptors.rate']
        if rate <= 0 or not (
            self._descriptors.get_subscription_count() or self._in_process.descriptors
        ):
            return None
        if self._parameters['deterministic'] and not self._described.is_due(moment, rate):
            return None
        if self._buffers is None or self._buffers_of is not extractor:  # the engine was reopened
            self._buffers = DescriptorBuffers([extractor.new_raw() for _ in range(3)])
            self._buffers_of = extractor
        return self._buffers

    def _note_described(self, moment: int) -> None:
        """Count from here, whether somebody listens or not."""
        rate = self._parameters['descriptors.rate']
        if rate > 0:
            self._described.select_if_due(moment, rate)

    def _draw_overlay(self, features: Features) -> None:
        by_stamp = self._parameters['deterministic']
        moment = features.image.stamp if by_stamp else time.monotonic_ns()
        if not self._drawn.select_if_due(moment, self._parameters['overlay.rate']):
            return
        if not self._overlay.get_subscription_count():
            return
        points = features.detection.keypoints
        canvas = draw_points(features.image.grey(), points.x, points.y, points.score)
        self._overlay.publish(image_message(features.image.message.header, canvas))
