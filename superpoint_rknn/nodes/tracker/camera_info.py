"""Subscription to camera_info that also receives messages published once, before it."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo

from superpoint_rknn.nodes.common.executor import NO_SUBSCRIPTION_EVENTS
from superpoint_rknn.nodes.common.qos import CAMERA_INFOS, LATCHED_CAMERA_INFOS


class CameraInfoSubscription:
    """
    Subscription to camera_info, VOLATILE, TRANSIENT_LOCAL (latched) or both, as its publishers.

    A VOLATILE subscription gets no message from before it. A TRANSIENT_LOCAL one does not match
    VOLATILE publishers, which would log a warning: it exists only while there is a publisher for
    it. `check` follows the publishers.
    """

    def __init__(self, node: Node, topic: str, on_camera_info: Callable[[CameraInfo], None]):
        self._node = node
        self._topic = topic
        self._on_camera_info = on_camera_info
        self._subscriptions: dict[bool, Subscription] = {}  # is latched -> subscription
        self.check()

    def check(self) -> None:
        """Call once a second: subscribe as the publishers offer."""
        topic = self._node.resolve_topic_name(self._topic)
        publishers = self._node.get_publishers_info_by_topic(topic)
        wanted = {_is_latched(publisher) for publisher in publishers} or {False}
        for latched in wanted - self._subscriptions.keys():
            self._subscriptions[latched] = self._subscribe(latched)
        for latched in self._subscriptions.keys() - wanted:
            self._node.destroy_subscription(self._subscriptions.pop(latched))

    def destroy(self) -> None:
        """Unsubscribe."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.popitem()[1])

    def _subscribe(self, latched: bool) -> Subscription:
        qos: QoSProfile = LATCHED_CAMERA_INFOS if latched else CAMERA_INFOS
        # The parameters of an override belong to the topic: they are of the usual subscription.
        overrides = None if latched else QoSOverridingOptions.with_default_policies()
        return self._node.create_subscription(
            CameraInfo,
            self._topic,
            self._on_camera_info,
            qos,
            qos_overriding_options=overrides,
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
        )


def _is_latched(publisher: TopicEndpointInfo) -> bool:
    """True if a publisher sends its last messages to later subscriptions."""
    qos = publisher.qos_profile
    return bool(
        qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        and qos.reliability == ReliabilityPolicy.RELIABLE
    )
