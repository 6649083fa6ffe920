"""Subscription to a camera's images that counts images lost in transport."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.nodes.common import qos
from superpoint_rknn.nodes.common.diagnostics import ImageCounters
from superpoint_rknn.nodes.common.executor import NO_SUBSCRIPTION_EVENTS
from superpoint_rknn.nodes.common.missing_images import reason_for_missing_images

# From Iron on, a callback may take the message info (sequence number) as a second argument.
HAS_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')
SILENCE = 5.0  # [s] without images after which the reason is looked for


class ImageSubscription:
    """
    Subscription to `image` of a camera, or to `image/compressed`.

    Gaps in the publication sequence numbers are counted as lost images, if the middleware numbers
    messages and the topic has one publisher; otherwise `lost` is unknown.

    The subscription is RELIABLE while all publishers are, since large images are lost otherwise,
    else BEST_EFFORT, which matches every publisher. The parameter
    qos_overrides.TOPIC.subscription.reliability overrides that.
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
        self._kind = CompressedImage if transport == 'compressed' else Image
        self._depth = depth
        self._last_sequence: int | None = None
        self._had_several = False  # publishers
        self._last_image = monotonic()  # [s]; at first the time of subscription
        self._reported = False  # the reason for the present silence
        self._subscription = self._subscribe(reliable=False)

    @property
    def is_reliable(self) -> bool:
        """True if the subscription is RELIABLE, false if it is BEST_EFFORT."""
        return self._subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE

    def check(self) -> str | None:
        """
        Follow the publishers' reliability; return why no images arrive, if they do not.

        Called once a second. It polls the graph: QoS event callbacks crash the EventsExecutor of
        rclpy 9 (ros2/rclpy#1641). The reason is logged once for each silence.
        """
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        all_reliable = bool(publishers) and all(
            publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for publisher in publishers
        )
        if publishers and not self._is_overridden and all_reliable != self.is_reliable:
            self.destroy()
            self._last_sequence = None
            self._subscription = self._subscribe(all_reliable)
        silence = monotonic() - self._last_image
        if silence < SILENCE:
            return None
        reason = reason_for_missing_images(self._node, self.topic, self._kind, self.is_reliable)
        if not self._reported:
            self._reported = True
            self._node.get_logger().warning(f'no images for {silence:.0f} s: {reason}')
        return reason

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    @property
    def _is_overridden(self) -> bool:
        # The only place where rclpy keeps values of parameters that are not declared yet.
        name = f'qos_overrides.{self.topic}.subscription.reliability'
        return name in self._node._parameter_overrides

    def _subscribe(self, reliable: bool) -> Subscription:
        policies = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if self._is_overridden:  # else the first subscription's value would stay for later ones
            policies.append(QoSPolicyKind.RELIABILITY)
        return self._node.create_subscription(
            self._kind,
            self.topic,
            _accept_pairs(self._on_image_and_info) if HAS_MESSAGE_INFO else self._receive,
            qos.images(self._depth, reliable),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            qos_overriding_options=QoSOverridingOptions(policies),
        )

    def _on_image_and_info(self, message: Image | CompressedImage, info: dict[str, Any]) -> None:
        self._count_lost(info.get('publication_sequence_number'))
        self._receive(message)

    def _receive(self, message: Image | CompressedImage) -> None:
        self._last_image = monotonic()
        self._reported = False
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
