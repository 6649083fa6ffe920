"""Subscription to a camera's images that follows what their publishers offer."""

from __future__ import annotations

from collections.abc import Callable
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
from superpoint_rknn.nodes.common.image_topics import candidates, expected, offered
from superpoint_rknn.nodes.common.lost_images import LostImages, remedy
from superpoint_rknn.nodes.common.message_numbers import MessageNumbers, with_info
from superpoint_rknn.nodes.common.missing_images import reason_for_missing_images

SILENCE = 5.0  # [s] without images after which the reason is looked for
LOSS_PAUSE = 60.0  # [s] between two warnings of lost images


class ImageSubscription:
    """
    Subscription to the images of a camera, raw or compressed.

    Gaps in the publication sequence numbers are counted as lost images, if the middleware numbers
    messages and the topic has one publisher; otherwise `lost` is unknown.

    The subscription is RELIABLE while all publishers are, since large images are lost otherwise,
    else BEST_EFFORT, which matches every publisher. The parameter
    qos_overrides.TOPIC.subscription.reliability overrides that.
    name: `image`, or that of one camera, before remapping.
    transport: auto, raw or compressed, see `candidates`.
    depth: queue depth; 1: only the newest image waits for the executor.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        transport: str,
        on_image: Callable[[Image | CompressedImage], None],
        counters: ImageCounters,
        depth: int = 1,
    ):
        self._node = node
        self._name = name
        self._transport = transport
        self._candidates = candidates(node.resolve_topic_name(name), transport)
        self._on_image = on_image
        self._counters = counters
        self._depth = depth
        self._losses = LostImages()
        self._next_loss_warning = 0.0  # [s]
        self._size = 0  # [bytes] of the newest image
        self._last_image = monotonic()  # [s]; at first the time of subscription
        self._reported = False  # the reason for the present silence
        self._reported_mixture = False  # of the images of several publishers
        self._topic = offered(node, self._candidates) or expected(self._candidates)
        self._numbers = MessageNumbers(node, self._topic.name)
        self._subscription = self._subscribe(self._is_offered_reliably() or False)

    def __str__(self) -> str:
        """Topic, transport and reliability."""
        reliability = 'reliable' if self._is_reliable else 'best effort'
        return f'{self._topic.name} [{self._topic.transport}, {reliability}]'

    def check(self) -> str | None:
        """
        Follow what the publishers offer; return why no images arrive, or how many are lost.

        Called once a second. It polls the graph: QoS event callbacks crash the EventsExecutor of
        rclpy 9 (ros2/rclpy#1641). The reason is logged once for each silence. None: nothing is
        wrong.
        """
        self._follow_publishers()
        silence = monotonic() - self._last_image
        if silence < SILENCE:
            return self._check_publishers() or self._check_losses()
        reason = reason_for_missing_images(
            self._node, self._name, self._transport, self._topic, self._subscription.qos_profile
        )
        if not self._reported:
            self._reported = True
            self._node.get_logger().warning(f'no images for {silence:.0f} s: {reason}')
        return f'no images: {reason}'

    def _check_publishers(self) -> str | None:
        """Return which publishers send images on the topic if several do; log it once."""
        if not self._numbers.are_mixed or self._node.count_publishers(self._topic.name) < 2:
            self._reported_mixture = False
            return None
        self._losses.clear()  # mixed stamps do not show losses
        warning = (
            f'images of several publishers are mixed: {self._topic.publisher_names(self._node)}; '
            'let each camera publish its own topic'
        )
        if not self._reported_mixture:
            self._reported_mixture = True
            self._node.get_logger().warning(f'{self._topic.name}: {warning}')
        return warning

    def _check_losses(self) -> str | None:
        warning = self._losses.warning()
        if warning is None:
            return None
        warning = f'{warning}: {remedy(self._is_reliable, self._size)}'
        if monotonic() >= self._next_loss_warning:
            self._next_loss_warning = monotonic() + LOSS_PAUSE
            self._node.get_logger().warning(f'{self._topic.name}: {warning}')
        return warning

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    @property
    def _is_reliable(self) -> bool:
        return self._subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE

    @property
    def _is_overridden(self) -> bool:
        return qos.is_overridden(self._node, self._topic.name, 'subscription', 'reliability')

    def _is_offered_reliably(self) -> bool | None:
        """Whether all publishers are RELIABLE; None if there are none, or if QoS is overridden."""
        publishers = self._topic.publishers(self._node)
        if self._is_overridden or not publishers:
            return None
        reliable = ReliabilityPolicy.RELIABLE
        return all(publisher.qos_profile.reliability == reliable for publisher in publishers)

    def _follow_publishers(self) -> None:
        """Subscribe again if the publishers offer another topic, type or reliability."""
        topic = offered(self._node, self._candidates) or self._topic
        has_moved, self._topic = topic != self._topic, topic
        reliable = self._is_offered_reliably()
        if has_moved or reliable not in (None, self._is_reliable):
            self.destroy()
            if has_moved:  # else the publisher goes on numbering, also what is lost meanwhile
                self._numbers = MessageNumbers(self._node, self._topic.name)
            self._losses.clear()
            self._subscription = self._subscribe(reliable or False)
            self._node.get_logger().info(f'subscribed to {self}, as its publishers offer')

    def _subscribe(self, reliable: bool) -> Subscription:
        policies = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if self._is_overridden:  # else the first subscription's value would stay for later ones
            policies.append(QoSPolicyKind.RELIABILITY)
        return self._node.create_subscription(
            self._topic.kind,
            self._topic.name,
            with_info(self._receive),
            qos.images(self._depth, reliable),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            qos_overriding_options=QoSOverridingOptions(policies),
        )

    def _receive(self, message: Image | CompressedImage, info: dict[str, Any] | None) -> None:
        lost = None
        if info is not None:
            lost = self._numbers.lost_before(info)
            self._counters.lost_is_known = self._numbers.are_known
            if lost:
                self._counters.count('lost', lost)
        self._losses.add(message.header.stamp, lost)
        self._size = len(message.data)
        now = monotonic()
        if self._reported:
            self._reported = False
            self._node.get_logger().info(
                f'{self._topic.name}: images again after {now - self._last_image:.0f} s'
            )
        self._last_image = now
        self._on_image(message)
