"""Subscription to a camera's images that counts images lost in transport."""

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

# From Iron on, a callback may take the message info (sequence number) as a second argument.
HAS_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')


class ImageSubscription:
    """
    Subscription to `image` of a camera, or to `image/compressed`.

    Gaps in the publication sequence numbers are counted as lost images, if the middleware numbers
    messages and the topic has one publisher; otherwise `lost` is unknown.
    transport: raw or compressed.
    depth: queue depth; 1: only the newest image waits for the executor.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        transport: str,
        on_image: Callable[[Image | CompressedImage], None],
        counters: ImageCounters,
        depth: int = 1,
    ):
        self.topic = image_topic(node, topic, transport)
        self._node = node
        self._on_image = on_image
        self._counters = counters
        self._last_sequence: int | None = None
        self._had_several = False  # publishers
        self._subscription = node.create_subscription(
            CompressedImage if transport == 'compressed' else Image,
            self.topic,
            _accept_pairs(self._on_image_and_info) if HAS_MESSAGE_INFO else on_image,
            qos.images(depth),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def error_message(self) -> str | None:
        """Reason why no images arrive: incompatible reliability (QoS) of a publisher; or None."""
        if self._subscription.qos_profile.reliability != ReliabilityPolicy.RELIABLE:
            return None
        for publisher in self._node.get_publishers_info_by_topic(self.topic):
            if publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                return (
                    f'{self.topic}: its publisher is BEST_EFFORT, which a RELIABLE subscription '
                    'does not match: set the parameter '
                    f'qos_overrides.{self.topic}.subscription.reliability to best_effort'
                )
        return None

    def destroy(self) -> None:
        """Unsubscribe."""
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
        # Each publisher numbers its own messages: with several, a gap means nothing.
        several = self._node.count_publishers(self.topic) > 1
        had_several, self._had_several = self._had_several, several
        self._counters.lost_is_known = not several
        if several or had_several or last is None or sequence <= last:
            return
        self._counters.count('lost', sequence - last - 1)


def image_topic(node: Node, topic: str, transport: str) -> str:
    """Return the full name of the topic for a transport, raw or compressed."""
    return node.resolve_topic_name(topic) + ('/compressed' if transport == 'compressed' else '')


def _accept_pairs(callback: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """Adapt a callback (message, info) to the EventsExecutor, which passes them as one tuple."""

    @wraps(callback)  # rclpy inspects the parameters
    def call(*received: Any) -> None:
        message, info = received[0] if len(received) == 1 else received
        callback(message, info)

    return call
