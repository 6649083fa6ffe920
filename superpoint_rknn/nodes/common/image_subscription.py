"""A subscription to a camera that also counts what was lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.nodes.common import qos
from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.executor import NO_SUBSCRIPTION_EVENTS
from superpoint_rknn.nodes.common.image_warnings import THROTTLE

# Callbacks may take a second argument, on the message, from Iron on.
TELLS_SEQUENCE = hasattr(Subscription, 'CallbackType')


class ImageSubscription:
    """
    Images on a topic, `image` of some camera.

    Lost images are counted by gaps in the publisher's numbers, where rclpy and the middleware
    tell them and there is one publisher; elsewhere `lost` is unknown.
    transport: raw, or compressed: images are taken from the topic beside it.
    depth: images that may wait for the executor; 1: the newest only.
    reliable: have the publisher send again what got lost; one that can't isn't heard. What is
    lost all the same is an error.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        transport: str,
        on_image: Callable[[Image | CompressedImage], None],
        counters: ImageCounters,
        depth: int = 1,
        reliable: bool = False,
    ):
        self.topic = image_topic(node, topic, transport)
        self._node = node
        self._on_image = on_image
        self._counters = counters
        self._tells_lost = reliable
        self._last_sequence: int | None = None
        self._had_several = False  # publishers
        self._subscription = node.create_subscription(
            CompressedImage if transport == 'compressed' else Image,
            self.topic,
            _taking_pairs(self._on_image_and_info) if TELLS_SEQUENCE else on_image,
            qos.images(depth, reliable),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def error_message(self) -> str | None:
        """Why images don't come: one that asks for lost ones hears nobody who can't send again."""
        if self._reliability() != ReliabilityPolicy.RELIABLE:
            return None
        for publisher in self._node.get_publishers_info_by_topic(self.topic):
            if publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                return (
                    f'{self.topic}: its publisher is best effort, so that nothing is heard of it: '
                    'play the bag with --qos-profile-overrides-path, or set the parameter '
                    f'qos_overrides.{self.topic}.subscription.reliability to best_effort'
                )
        return None

    def destroy(self) -> None:
        """Take no more images."""
        self._node.destroy_subscription(self._subscription)

    def _on_image_and_info(self, message: Image | CompressedImage, info: dict[str, Any]) -> None:
        self._count_lost(info.get('publication_sequence_number'))
        self._on_image(message)

    def _count_lost(self, sequence: int | None) -> None:
        if sequence is None:
            return
        last, self._last_sequence = self._last_sequence, sequence
        if last is not None and sequence == last + 1:
            return
        # Numbers are each publisher's own: with several, a gap says nothing.
        several = self._node.count_publishers(self.topic) > 1
        had_several, self._had_several = self._had_several, several
        self._counters.lost_is_known = not several
        if several or had_several or last is None or sequence <= last:
            return
        lost = self._counters.count('lost', sequence - last - 1)
        if self._tells_lost:
            self._node.get_logger().error(
                f'{self.topic}: {lost} images were lost on the way: results are no longer '
                'repeatable; play slower (ros2 bag play --rate 0.5)',
                throttle_duration_sec=THROTTLE,
            )

    def _reliability(self) -> ReliabilityPolicy:
        """As it came out of the parameters."""
        return self._subscription.qos_profile.reliability


def image_topic(node: Node, topic: str, transport: str) -> str:
    """Full name of the topic on which images of `topic` come by a transport."""
    return node.resolve_topic_name(topic) + ('/compressed' if transport == 'compressed' else '')


def _taking_pairs(callback: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """The callback; message and information may come as one pair, as the EventsExecutor's do."""

    @wraps(callback)  # rclpy asks for the parameters to know what is wanted
    def call(*received: Any) -> None:
        message, info = received[0] if len(received) == 1 else received
        callback(message, info)

    return call
