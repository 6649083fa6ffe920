"""The topics of one camera of the tracker node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from superpoint_rknn.features.input_range import InputRange
from superpoint_rknn.features.rate import RateLimiter, StampOrder
from superpoint_rknn.msg import Descriptors, Keypoints
from superpoint_rknn.nodes.common.camera_names import topic_of
from superpoint_rknn.nodes.common.diagnostics import ImageCounters, ImageWarnings
from superpoint_rknn.nodes.common.executor import NO_SUBSCRIPTION_EVENTS
from superpoint_rknn.nodes.common.image_subscription import SILENCE, ImageSubscription
from superpoint_rknn.nodes.common.in_process import Channel, InProcessTopics
from superpoint_rknn.nodes.common.managed_node import ManagedNode
from superpoint_rknn.nodes.common.message_numbers import MessageNumbers, with_info
from superpoint_rknn.nodes.common.messages import ReceivedImage, image_message
from superpoint_rknn.nodes.common.overlay import Tails
from superpoint_rknn.nodes.common.parameters import Parameters
from superpoint_rknn.nodes.common.qos import FEATURES, OVERLAYS
from superpoint_rknn.nodes.tracker.calibration import CalibrationSource, rectification_warning
from superpoint_rknn.nodes.tracker.camera_info import CameraInfoSubscription
from superpoint_rknn.nodes.tracker.messages import tracks_message
from superpoint_rknn.tracking.calibration import Calibration
from superpoint_rknn.tracking.tracker import Tracks

IMAGES_DEPTH = 5  # queue depth: images that arrive at the same time are all tracked


class TrackerCamera:
    """
    Subscriptions to `image`, `camera_info`, `keypoints` and `descriptors`; publishers of `tracks`
    and `tracks_overlay`.

    name: prefix of the topic names; empty: no prefix.
    in_process: channels that replace the topics image, keypoints and descriptors; None: topics.
    calibration: of a file, and its path; None: of camera_info.
    """

    def __init__(
        self,
        node: ManagedNode,
        parameters: Parameters,
        name: str,
        in_process: InProcessTopics | None,
        calibration: tuple[Calibration, str] | None = None,
    ):
        self.name = name
        self.counters = ImageCounters()
        camera_info = node.resolve_topic_name(topic_of(name, 'camera_info'))
        self.calibration = CalibrationSource(camera_info, calibration)
        self._uses_camera_info = calibration is None
        if calibration is not None:
            node.get_logger().info(f'calibration from {calibration[1]}; {camera_info} is ignored')
        topic = node.resolve_topic_name(topic_of(name, 'image'))
        if warning := rectification_warning(topic, parameters['rectified']):
            node.get_logger().warning(warning)
        self.warnings = ImageWarnings(node.get_logger(), topic, self.counters)
        self._input_range = InputRange(warn=self.warnings.warn)
        self.input_warning: str | None = None  # of the last check
        self.alive = 0  # tracks in the newest image
        self._node = node
        self._parameters = parameters
        self._in_process = in_process
        self._on_received: Callable[[ReceivedImage], None] | None = None
        self._order = StampOrder()
        self._images: ImageSubscription | None = None
        self._needs_keypoints = False
        self._waits_since: float | None = None  # [s]: the first image after the last keypoints
        self._is_reported = False  # that keypoints do not arrive
        self._camera_info: CameraInfoSubscription | None = None
        self._subscriptions: list[Subscription] = []
        self._channels: list[tuple[Channel, Callable]] = []
        self._tails = Tails()
        self._overlays = RateLimiter()
        self._tracks = self._publisher(Keypoints, 'tracks', FEATURES)
        self._overlay = self._publisher(Image, 'tracks_overlay', OVERLAYS)

    @property
    def has_detector(self) -> bool:
        """True if `keypoints` has a publisher."""
        # count_publishers does not apply remapping
        topic = self._node.resolve_topic_name(topic_of(self.name, 'keypoints'))
        return self._in_process is not None or self._node.count_publishers(topic) > 0

    def activate(
        self,
        on_image: Callable[[ReceivedImage], None],
        on_keypoints: Callable[[Keypoints], None] | None = None,
        on_descriptors: Callable[[Descriptors], None] | None = None,
    ) -> None:
        """
        Subscribe to images, to camera_info unless there is a calibration file, and to the topics
        whose callbacks are given.
        """
        self._on_received = on_image
        self._needs_keypoints = on_keypoints is not None
        self._waits_since, self._is_reported = None, False
        self._order = StampOrder()
        if self._uses_camera_info:
            self._camera_info = CameraInfoSubscription(
                self._node, topic_of(self.name, 'camera_info'), self._on_camera_info
            )
        if self._in_process is not None:
            channels: tuple[tuple[Channel, Callable | None], ...] = (
                (self._in_process.images, self._receive),
                (self._in_process.keypoints, on_keypoints),
                (self._in_process.descriptors, on_descriptors),
            )
            for channel, callback in channels:
                if callback is not None:
                    channel.subscribe(callback)
                    self._channels.append((channel, callback))
            return
        if on_keypoints is not None:
            self._subscribe(Keypoints, 'keypoints', on_keypoints)
        if on_descriptors is not None:
            self._subscribe(Descriptors, 'descriptors', on_descriptors)
        self._images = ImageSubscription(
            self._node,
            topic_of(self.name, 'image'),
            self._parameters['image_transport'],
            self._on_image,
            self.counters,
            IMAGES_DEPTH,
        )
        self._node.get_logger().info(f'active: {self._images} -> {self._tracks.topic_name}')

    def check_publishers(self) -> None:
        """
        Call once a second: follow the publishers of images and camera_info.

        Updates `input_warning`, see ImageSubscription.check.
        """
        if self._camera_info is not None:
            self._camera_info.check()
        self.input_warning = None if self._images is None else self._images.check()
        if self._images is not None and self._needs_keypoints:
            self.input_warning = self.input_warning or self._check_detector()

    def _check_detector(self) -> str | None:
        """Return why no keypoints arrive while images do; log it once."""
        waits = 0.0 if self._waits_since is None else time.monotonic() - self._waits_since
        if waits < SILENCE:
            self._is_reported = False
            return None
        name = topic_of(self.name, 'keypoints')
        topic = self._node.resolve_topic_name(name)
        reason = (
            f'{topic} has a publisher, but none arrive: /diagnostics has the state of the '
            'superpoint node'
            if self.has_detector
            else f'{topic} has no publisher: start the superpoint node, or remap {name}:=TOPIC'
        )
        if not self._is_reported:
            self._is_reported = True
            self._node.get_logger().warning(f'no keypoints: {reason}')
        return f'no keypoints: {reason}'

    def deactivate(self) -> None:
        """Unsubscribe."""
        self.input_warning = None
        if self._images is not None:
            self._images.destroy()
            self._images = None
        if self._camera_info is not None:
            self._camera_info.destroy()
            self._camera_info = None
        while self._channels:
            channel, callback = self._channels.pop()
            channel.unsubscribe(callback)
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._tracks, self._overlay):
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, image: ReceivedImage, tracks: Tracks) -> None:
        """Publish the tracks of an image, and the overlay."""
        header, size = image.message.header, image.grey().shape
        message = tracks_message(header, size, tracks)
        self._tracks.publish(message)
        if self._in_process is not None:
            self._in_process.tracks.send(message)
        self.alive = len(tracks)
        self._draw_overlay(image, tracks)

    def _draw_overlay(self, image: ReceivedImage, tracks: Tracks) -> None:
        """Draw the tracks with their tails and publish the overlay, if it has a subscriber."""
        if not self._overlay.get_subscription_count():
            self._tails.clear()
            return
        self._tails.update(tracks)
        rate = self._parameters['overlay.rate']
        if self._overlays.select_if_due(time.monotonic_ns(), rate):
            canvas = self._tails.draw(image.grey())
            self._overlay.publish(image_message(image.message.header, canvas))

    def _publisher(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        return self._node.advertise(kind, topic_of(self.name, topic), qos)

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        """Subscribe to an output of the superpoint node; count what arrives and what is lost."""
        name = topic_of(self.name, topic)
        numbers = MessageNumbers(self._node, self._node.resolve_topic_name(name))

        def receive(message: Any, info: dict[str, Any] | None) -> None:
            if kind is Keypoints:
                self._waits_since = None
            self.counters.count(f'{topic}_received')
            if info is not None and (lost := numbers.lost_before(info)):
                self.counters.count(f'{topic}_lost', lost)
            callback(message)

        subscription = self._node.create_subscription(
            kind,
            name,
            with_info(receive),
            FEATURES,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
        )
        self._subscriptions.append(subscription)

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._input_range.values = self._parameters['input_range']
        self._receive(ReceivedImage(message, self._input_range))

    def _receive(self, image: ReceivedImage) -> None:
        self.counters.arrive()
        if self._waits_since is None:
            self._waits_since = time.monotonic()
        late = self._order.late_by(image.stamp)
        if late:
            self.counters.finish('dropped')
            self.warnings.warn_late(late)
        elif self._on_received is not None:
            self._on_received(image)

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.calibration.info = message
