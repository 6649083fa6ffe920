"""A subscription to a camera that also counts what was lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from superpoint_rknn.nodes.diagnostics import Accounting
from superpoint_rknn.nodes.executor import NO_SUBSCRIPTION_EVENTS

# Callbacks may take a second argument, on the message, from Iron on.
TELLS_SEQUENCE = hasattr(Subscription, 'CallbackType')


class ImageSubscription:
    """
    Images on a topic, `image` of some camera.

    Lost images are counted by gaps in the publisher's numbers, where rclpy and the middleware
    tell them and there is one publisher; elsewhere `lost` is unknown.
    compressed: they are taken from the topic beside it.
    depth: images that may wait for the executor; 1: the newest only.
    reliable: have the publisher send again what got lost; one that can't isn't heard.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        compressed: bool,
        on_image: Callable[[Image | CompressedImage], None],
        accounting: Accounting,
        depth: int = 1,
        reliable: bool = False,
    ):
        self.topic = node.resolve_topic_name(topic) + ('/compressed' if compressed else '')
        self._node = node
        self._on_image = on_image
        self._accounting = accounting
        self._last_sequence: int | None = None
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        self._subscription = node.create_subscription(
            CompressedImage if compressed else Image,
            self.topic,
            _taking_pairs(self._on_image_and_info) if TELLS_SEQUENCE else on_image,
            QoSProfile(depth=depth, reliability=reliability),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def destroy(self) -> None:
        """Take no more images."""
        self._node.destroy_subscription(self._subscription)

    def _on_image_and_info(self, message: Image | CompressedImage, info: dict[str, Any]) -> None:
        self._count_lost(info.get('publication_sequence_number'))
        self._on_image(message)

    def _count_lost(self, sequence: int | None) -> None:
        if sequence is None:
            return
        self._accounting.lost_is_known = True
        last, self._last_sequence = self._last_sequence, sequence
        if last is None or sequence <= last + 1:
            return
        # Numbers are each publisher's own: with several, a gap says nothing.
        if self._node.count_publishers(self.topic) > 1:
            self._accounting.lost_is_known = False
        else:
            self._accounting.count('lost', sequence - last - 1)


def _taking_pairs(callback: Callable[[Any, dict[str, Any]], None]) -> Callable[..., None]:
    """The callback; message and information may come as one pair, as the EventsExecutor's do."""

    @wraps(callback)  # rclpy asks for the parameters to know what is wanted
    def call(*received: Any) -> None:
        message, info = received[0] if len(received) == 1 else received
        callback(message, info)

    return call
