"""Find out from the ROS graph why a camera's images do not arrive."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

TYPES = {Image: 'sensor_msgs/msg/Image', CompressedImage: 'sensor_msgs/msg/CompressedImage'}
MAX_LISTED = 8  # image topics that a message names


def reason_for_missing_images(
    node: Node, topic: str, kind: type[Image] | type[CompressedImage], reliable: bool
) -> str:
    """
    Return one sentence that says why no images arrive on a topic, and what to do.

    topic: full name. kind: message type of the subscription. reliable: its reliability.
    """
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:
        return f'{topic}: no publisher{_alternatives(node, topic, kind)}'
    other_types = sorted({p.topic_type for p in publishers if p.topic_type != TYPES[kind]})
    if len(other_types) == len({p.topic_type for p in publishers}):
        return (
            f'{topic}: published as {", ".join(other_types)}, expected {TYPES[kind]}: set the '
            'parameter image_transport, or rename the topic'
        )
    if reliable and any(
        p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for p in publishers
    ):
        return (
            f'{topic}: its publisher is BEST_EFFORT, which a RELIABLE subscription does not '
            f'match: set the parameter qos_overrides.{topic}.subscription.reliability to '
            'best_effort'
        )
    nodes = sorted({f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in publishers})
    return f'{topic}: published by {", ".join(nodes)}, but no message arrives'


def _alternatives(node: Node, topic: str, kind: type[Image] | type[CompressedImage]) -> str:
    """Name the topics that carry images, and what to set for the camera's own other transport."""
    found = {
        name: types
        for name, types in node.get_topic_names_and_types()
        if set(types) & set(TYPES.values()) and _is_published_by_others(node, name)
    }
    compressed = f'{topic}/compressed'
    if kind is Image and compressed in found:
        return f'; {compressed} has one: set the parameter image_transport to compressed'
    raw = topic.removesuffix('/compressed')
    if kind is CompressedImage and raw in found:
        return f'; {raw} has one: set the parameter image_transport to raw'
    if not found:
        return '; no image topic has one: is the camera driver running in this ROS domain?'
    listed = ', '.join(f'{name} [{", ".join(found[name])}]' for name in sorted(found)[:MAX_LISTED])
    return f'; image topics with a publisher: {listed}: launch with image:=TOPIC, or remap'


def _is_published_by_others(node: Node, topic: str) -> bool:
    own = (node.get_name(), node.get_namespace())
    publishers = node.get_publishers_info_by_topic(topic)
    return any((p.node_name, p.node_namespace) != own for p in publishers)
